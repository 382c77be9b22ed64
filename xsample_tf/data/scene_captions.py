"""Words for the generated scenes: captions from templates, several ways to say the same."""

import numpy as np

SIZE_WORDS = {
    "small": ("small", "little", "tiny"),
    "medium": (),
    "large": ("large", "big", "huge"),
}

# Every phrase holds the name of its background and little else that counts as content, so that who
# compares words sees what two scenes share, and a background weighs no more than an object.
PLACES = {
    "sky": ("in the sky", "against the sky", "up in a cloudy sky"),
    "sunset": ("at sunset", "in front of a sunset", "against the sunset"),
    "night": ("at night", "in the night", "in a starry night"),
    "sea": ("on the sea", "in the sea", "over the open sea"),
    "sand": ("on the sand", "in the sand", "on rippled sand"),
    "grass": ("on the grass", "in the grass", "in tall grass"),
    "snow": ("in the snow", "on the snow", "in falling snow"),
    "bricks": ("in front of bricks", "against the bricks", "on a wall of bricks"),
    "planks": ("on planks", "against the planks", "on wooden planks"),
    "tiles": ("on tiles", "above the tiles", "on a floor of tiles"),
    "mountains": ("in the mountains", "in front of mountains", "before snowy mountains"),
    "curtain": ("in front of a curtain", "before the curtain", "against a drawn curtain"),
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
_PLACELESS_TEMPLATES = (
    "a photo of {thing}",
    "{thing}",
    "there is {thing} here",
    "a picture of {thing}",
    "{thing} can be seen",
    "this is {thing}",
)


def _with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _choose(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(rng.random() * len(choices))]


def captions(
    rng: np.random.Generator, name: str, colour: str, texture: str, scale: str, background: str
) -> tuple[str, str]:
    """Writes two captions, one with the place and one without, as people mention it or not.

    Args:
        rng: Source of the choices.
        name: Object, e.g. "star".
        colour: Colour, e.g. "red".
        texture: Texture, e.g. "striped", or "plain", which is left unsaid.
        scale: Key of `SIZE_WORDS`.
        background: Key of `PLACES`.

    Returns:
        For instance "a photo of a large red striped star in tall grass" and "this is a red star".
    """
    things = [_thing(rng, name, colour, texture, scale) for _ in range(2)]
    place = _choose(rng, PLACES[background])
    return (
        _choose(rng, _TEMPLATES).format(thing=things[0], place=place),
        _choose(rng, _PLACELESS_TEMPLATES).format(thing=things[1]),
    )


def _thing(rng: np.random.Generator, name: str, colour: str, texture: str, scale: str) -> str:
    """The object with at least one of its attributes."""
    chance = rng.random(3)
    adjectives = []
    if SIZE_WORDS[scale] and chance[0] < 0.4:
        adjectives.append(_choose(rng, SIZE_WORDS[scale]))
    says_texture = texture != "plain" and chance[1] < 0.5
    if chance[2] < 0.7 or not (adjectives or says_texture):
        adjectives.append(colour)
    if says_texture:
        adjectives.append(texture)
    return _with_article(" ".join([*adjectives, name]))
