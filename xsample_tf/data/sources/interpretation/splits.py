"""Splits of a source: what people call them, and which are used for what."""

import math
import pathlib
import re
from collections.abc import Iterable

from xsample_tf.errors import InputError

# Karpathy's "restval" are images of COCO's validation set that all papers train on.
_NAMES = {
    "train": ("train", "training", "restval"),
    "val": ("val", "valid", "validation", "dev", "eval"),
    "test": ("test", "testing"),
}
_CANONICAL = {name: split for split, names in _NAMES.items() for name in names}
# Where a source has no split: the least share that validates, and how many images are enough, of
# how many there have to be.
_SHARE, _ENOUGH, _FEW = 0.05, 1000, 5000
_SPLIT = re.compile(
    r"(?:(?:images?|imgs|data)[-_ ])?([a-z]+?)[-_ ]?(?:set|images|imgs|data|split)?[-_ ]?\d*"
)


def canonical(name: str) -> str | None:
    """Returns "train", "val" or "test" for what a split is called, None for anything else.

    Example:
        >>> canonical("Validation"), canonical("train2014"), canonical("test_set")
        ('val', 'train', 'test')
    """
    found = _SPLIT.fullmatch(name.strip().lower())
    return _CANONICAL.get(found[1]) if found else None


def choose(
    found: Iterable[str], validation_split: str | None
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Decides which splits are trained on and which validates.

    Args:
        found: "train", "val" and "test", those that the source has.
        validation_split: The split that validates, where it is not "val"; None takes "val" if
            there is one.

    Returns:
        The use of each split, "train" or "val", or {"train": "all"} where a part of it is to be
        held out; and lines that say what is left out.

    Raises:
        InputError: Nothing to train on, or no such split.

    Example:
        >>> choose(["train", "test"], None)
        ({'train': 'all'}, ("split 'test' is left out (--validation_split=test validates on it)",))
    """
    found = list(found)
    held_out = canonical(validation_split) if validation_split else "val"
    if validation_split and held_out not in found:
        raise InputError(
            f"validation_split: expected a split of the source, {' or '.join(found)}, received "
            f"{validation_split!r}"
        )
    if "train" not in found:
        if len(found) != 1:
            raise InputError(f"source: expected a split 'train', found {' and '.join(found)}")
        return {found[0]: "all"}, ()
    uses = {"train": "train"} | ({held_out: "val"} if held_out in found else {})
    notes = []
    for split in found:
        if split not in uses:
            hint = "" if held_out in found else f" (--validation_split={split} validates on it)"
            notes.append(f"split {split!r} is left out{hint}")
    if "val" not in uses.values():
        uses = {"train": "all"}
    return uses, tuple(notes)


def split_of_file(name: str) -> str | None:
    """Returns the split in the name of a file, or of its folder, as the hub names them.

    Example:
        >>> split_of_file("data/validation-00000-of-00001.parquet")
        'val'
        >>> split_of_file("captions_train2014.json")
        'train'
    """
    path = pathlib.PurePath(name)
    words = re.findall(r"[A-Za-z]+", path.name)
    found = dict.fromkeys(filter(None, map(canonical, words)))
    return next(iter(found)) if len(found) == 1 else canonical(path.parent.name)


def default_fraction(images: int) -> float:
    """Returns the share of images without splits that validate where none is given.

    It is 5 %, and of 5,000 images or more what gives 1,000: below that an accuracy is good to two
    points only. The hash gives somewhat fewer or more than its share; a seventh is added for that,
    and for images that cannot be used.
    """
    if images < _FEW:
        return _SHARE
    return max(_SHARE, math.ceil(1e4 * _ENOUGH * 8 / 7 / images) / 1e4)
