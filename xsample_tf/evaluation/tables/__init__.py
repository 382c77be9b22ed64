"""Tables that evaluation tasks need: classes, labels and subsets; README.md has their sources."""

import dataclasses
import functools
import json
import lzma
import pathlib

import numpy as np

_HERE = pathlib.Path(__file__).parent
IMAGENET_9 = (
    "dog",
    "bird",
    "wheeled vehicle",
    "reptile",
    "carnivore",
    "insect",
    "musical instrument",
    "primate",
    "fish",
)


@dataclasses.dataclass(frozen=True)
class ImageNetClass:
    """One of the 1,000 classes of ImageNet.

    Attributes:
        wnid: Its WordNet id.
        name: What prompts call it.
        group: Its place in `IMAGENET_9`, -1 where it is in none.
        subsets: "a" for ImageNet-A, "r" for ImageNet-R, "ar" for both, or nothing.
    """

    wnid: str
    name: str
    group: int
    subsets: str


@functools.cache
def imagenet_classes() -> tuple[ImageNetClass, ...]:
    """Returns the 1,000 classes in their order, which is that of their WordNet ids."""
    rows = [line.split("\t") for line in _lines("imagenet.tsv")]
    return tuple(ImageNetClass(wnid, name, int(group), marks) for wnid, name, group, marks in rows)


def imagenet_9_groups() -> np.ndarray:
    """Returns the group of each ImageNet class, int `[1000]`, -1 where it is in none."""
    return np.array([one.group for one in imagenet_classes()])


def imagenet_subset(letter: str) -> list[int]:
    """Returns the indices of the 200 classes of ImageNet-A ("a") or ImageNet-R ("r")."""
    return [index for index, one in enumerate(imagenet_classes()) if letter in one.subsets]


def real_labels() -> list[tuple[int, ...]]:
    """Returns the ReaL labels of validation image i + 1 at place i; empty ones are not scored."""
    return [tuple(map(int, line.split())) for line in _packed("imagenet_real.txt.xz")]


def few_labels(percent: int) -> frozenset[str]:
    """Returns SimCLR's training images of 1 or 10 percent of the labels, as file names."""
    return frozenset(_packed(f"imagenet_{percent}percent.txt.xz"))


def objectnet_folders() -> dict[str, tuple[int, ...]]:
    """Returns the indices of the ImageNet classes of each of ObjectNet's 113 shared folders."""
    rows = [line.split("\t") for line in _lines("objectnet.tsv")]
    return {folder: tuple(map(int, indices.split(","))) for folder, indices in rows}


def prompt_templates() -> dict[str, list[str]]:
    """Returns prompts by data set, `{}` in the place of the class."""
    return json.loads((_HERE / "templates.json").read_text(encoding="utf-8"))


def _lines(name: str) -> list[str]:
    lines = (_HERE / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


def _packed(name: str) -> list[str]:
    return lzma.decompress((_HERE / name).read_bytes()).decode().splitlines()
