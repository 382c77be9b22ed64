"""Words for the generated scenes: captions from templates, several ways to say the same."""

import numpy as np

SIZE_WORDS = {
    "small": ("small", "little", "tiny"),
    "medium": (),
    "large": ("large", "big", "huge"),
}

# Every phrase holds the name of its background, so that whoever counts words sees what they share.
PLACES = {
    "sky": ("in the blue sky", "against a cloudy sky", "up in the sky"),
    "sunset": ("at sunset", "in front of a sunset", "against the orange sunset"),
    "night": ("at night", "under the night stars", "in a starry night"),
    "sea": ("on the sea", "in the waves of the sea", "over the open sea"),
    "sand": ("on the sand", "on rippled sand", "in the desert sand"),
    "grass": ("on the grass", "in tall grass", "on green grass"),
    "snow": ("in the snow", "in falling snow", "on white snow"),
    "bricks": ("on a wall of bricks", "in front of red bricks", "against bricks"),
    "planks": ("on wooden planks", "against brown planks", "on a floor of planks"),
    "tiles": ("on black and white tiles", "on a floor of tiles", "on tiles"),
    "mountains": ("in the mountains", "in front of mountains", "before snowy mountains"),
    "curtain": ("in front of a curtain", "on a red curtain", "before the stage curtain"),
}

_TEMPLATES = (
    "a photo of {thing} {place}",
    "{thing} {place}",
    "there is {thing} {place}",
    "{place}, {thing}",
    "a picture of {thing} {place}",
    "{thing} can be seen {place}",
    "{place} there is {thing}",
    "this is {thing} {place}",
)


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _choose(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(rng.random() * len(choices))]


def caption(
    rng: np.random.Generator, name: str, colour: str, texture: str, scale: str, background: str
) -> str:
    """Writes one caption; always the object and the background, mostly colour, often the rest.

    Args:
        rng: Source of the choices.
        name: Object, e.g. "star".
        colour: Colour, e.g. "red".
        texture: Texture, e.g. "striped", or "plain", which is mostly left unsaid.
        scale: Key of `SIZE_WORDS`.
        background: Key of `PLACES`.

    Returns:
        For instance "a photo of a large red striped star in tall grass".
    """
    chance = rng.random(3)
    adjectives = []
    if SIZE_WORDS[scale] and chance[0] < 0.6:
        adjectives.append(_choose(rng, SIZE_WORDS[scale]))
    said_colour = chance[1] < 0.85
    if said_colour:
        adjectives.append(colour)
    if texture != "plain" and chance[2] < 0.7 or not said_colour:
        adjectives.append(texture)
    thing = _with_article(" ".join([*adjectives, name]))
    return _choose(rng, _TEMPLATES).format(thing=thing, place=_choose(rng, PLACES[background]))
