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
    """The object with one of its attributes, or now and then two, so that none outweighs it."""
    patterns = () if texture == "plain" else (texture,)
    sayable = [words for words in (SIZE_WORDS[scale], (colour,), patterns) if words]
    count = 2 if rng.random() < 0.2 else 1
    chosen = sorted(rng.permutation(len(sayable))[:count])
    return _with_article(" ".join([*(_choose(rng, sayable[i]) for i in chosen), name]))
