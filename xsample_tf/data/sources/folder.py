"""A folder of images for each class, as a source."""

import os
import pathlib
from collections.abc import Iterator

from xsample_tf.data.sources.base import Classes, FileList, Options, Sample, clean_key, permuted
from xsample_tf.errors import InputError


def open_folders(where: str, options: Options, classes: Classes | None) -> FileList:
    """Opens DIR/CLASS/**/IMAGE, or DIR/train/CLASS/... with DIR/val, DIR/validation or DIR/test.

    Raises:
        InputError: no such folder, or no class folders with files in it.
    """
    root = pathlib.Path(where)
    if not root.is_dir():
        raise InputError(f"source: no folder {where}; expected one folder per class in it")
    names = {entry.name for entry in root.iterdir() if entry.is_dir()}
    held_out = [name for name in ("val", "validation", "test") if name in names]
    if "train" in names and names <= {"train", "val", "validation", "test"}:
        folders = {"train": "train"} | ({"val": held_out[0]} if held_out else {})
        if not held_out:
            folders = {"all": "train"}
    else:
        folders = {"all": ""}
    if classes is None:
        keys = tuple(sorted(_class_folders(root / next(iter(folders.values())))))
        classes = Classes(keys, tuple(clean_key(key) for key in keys))
    splits = {}
    for split, folder in folders.items():
        samples = list(_class_images(root, root / folder, classes))
        if not samples:
            raise InputError(
                f"source: expected class folders of images in {root / folder}, found none; "
                "images that have no class folder go through table:"
            )
        splits[split] = permuted(samples, options.seed)
    return FileList(splits, classes, captioned=False)


def _class_folders(folder: pathlib.Path) -> list[str]:
    return [e.name for e in os.scandir(folder) if e.is_dir() and not e.name.startswith(".")]


def _class_images(root: pathlib.Path, folder: pathlib.Path, classes: Classes) -> Iterator[Sample]:
    for name in sorted(_class_folders(folder)):
        label = classes.label(name)
        for parent, folders, files in os.walk(folder / name, followlinks=True):
            folders.sort()
            for file in sorted(files):
                if not file.startswith("."):
                    path = os.path.join(parent, file)
                    yield Sample(clean_key(os.path.relpath(path, root)), path, (), label)
