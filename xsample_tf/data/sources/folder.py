"""A folder of images for each class, as a source."""

import collections
import os
import pathlib
from collections.abc import Iterator

from xsample_tf.data.sources.base import (
    Classes,
    Options,
    Sample,
    SampleList,
    clean_key,
    register,
)
from xsample_tf.data.sources.formats.cells import looks_like_image
from xsample_tf.data.sources.interpretation import splits
from xsample_tf.errors import InputError

TEXT_ENDINGS = (".txt", ".caption")


@register("folder")
class ClassFolders(SampleList):
    """A folder of images for each class, folder:DIR: DIR/CLASS/IMAGE or DIR/SPLIT/CLASS/IMAGE.

    Folders that are called as splits are (`train`, `valid`, `test`, ...) are splits where there is
    one for training. Hidden files and folders never count.

    Raises:
        InputError: No such folder, no class folders with images in them, or other folders beside
            the splits.
    """

    def __init__(self, where: str, options: Options, classes: Classes | None):
        root = pathlib.Path(where)
        if not root.is_dir():
            raise InputError(f"source: no folder {where}; expected one folder per class in it")
        self._where = where
        folders, self._notes = _split_folders(root, options)
        if classes is None:
            first = next(iter(folders.values()))
            keys = tuple(sorted({key for folder in first for key in _class_folders(folder)}))
            classes = Classes(keys, tuple(clean_key(key) for key in keys))
        rejected: collections.Counter = collections.Counter()
        samples = {}
        for use, own in folders.items():
            found = [s for folder in own for s in _class_images(root, folder, classes, rejected)]
            if not found:
                raise InputError(
                    f"source: expected class folders of images in {own[0]}, found none; "
                    + _hint(own[0])
                )
            samples[use] = found
        for folder in self._notes.pop("left out", ()):
            for sample in _class_images(root, folder, classes, rejected):
                split = splits.canonical(sample.key.split("/")[0])
                rejected[f"split_{split}"] += 1
        super().__init__(samples, options.seed, classes, rejected=rejected)

    def understanding(self) -> list[str]:
        """See `Source`."""
        lines = [f"folder: {self._where}, one folder per class"]
        lines += [f"{use}: {self._notes['used'][use]}" for use in self._notes["used"]]
        if self.rejected["text_file"]:
            lines.append(f"text files are left out (pairs:{self._where} reads them as captions)")
        return [*lines, *self._notes["lines"], "captions: none; class names fill the template"]


def _split_folders(root: pathlib.Path, options: Options) -> tuple[dict, dict]:
    """The folders of each use, and what was understood."""
    names = _class_folders(root)
    found = {name: split for name in names if (split := splits.canonical(name))}
    strangers = sorted(set(names) - found.keys())
    # A class may be called train: one such folder among others is taken for a class.
    one_of_many = len(found) == 1 and strangers
    if "train" not in found.values() or one_of_many or not _has_class_folders(root, found):
        used = {"all": str(root)}
        return {"all": [root]}, {"used": used, "lines": []}
    if strangers:
        raise InputError(
            f"source: expected folders of splits in {root}, or folders of classes, received "
            f"{', '.join(sorted(found))} and beside them {', '.join(strangers[:8])}; move them "
            "away, or give the folder of classes itself"
        )
    uses, lines = splits.choose(dict.fromkeys(found.values()), options.validation_split)
    folders: dict[str, list[pathlib.Path]] = {use: [] for use in uses.values()}
    for name, split in sorted(found.items()):
        if split in uses:
            folders[uses[split]].append(root / name)
    used = {use: ", ".join(map(str, own)) for use, own in folders.items()}
    left_out = [root / name for name, split in found.items() if split not in uses]
    return folders, {"used": used, "lines": list(lines), "left out": left_out}


def _has_class_folders(root: pathlib.Path, found: dict[str, str]) -> bool:
    """Whether the folders for training have folders of classes in them."""
    return all(_class_folders(root / name) for name, split in found.items() if split == "train")


def _hint(folder: pathlib.Path) -> str:
    """The next step for a folder without class folders."""
    files = [entry.name for entry in os.scandir(folder) if entry.is_file()]
    if any(name.endswith(TEXT_ENDINGS) for name in files):
        return f"image files with captions beside them go through pairs:{folder}"
    return "images that have no class folder go through table: or pairs:"


def _class_folders(folder: pathlib.Path) -> list[str]:
    return [e.name for e in os.scandir(folder) if e.is_dir() and not e.name.startswith(".")]


def _class_images(
    root: pathlib.Path, folder: pathlib.Path, classes: Classes, rejected: collections.Counter
) -> Iterator[Sample]:
    for name in sorted(_class_folders(folder)):
        label = classes.label(name)
        for path in walk(folder / name):
            if looks_like_image(path) or not _is_known(path):
                yield Sample(clean_key(os.path.relpath(path, root)), path, (), label)
            else:
                rejected["text_file" if path.endswith(TEXT_ENDINGS) else "not_an_image"] += 1


def _is_known(path: str) -> bool:
    """Whether a file is something else by its ending, and need not be opened to see it."""
    return path.lower().endswith(
        (".txt", ".json", ".csv", ".xml", ".md", ".db", ".ini", ".caption")
    )


def walk(folder: str | os.PathLike) -> Iterator[str]:
    """Yields the files in a folder and in the folders in it, sorted, hidden ones left out.

    Links are followed; a circle of them ends.
    """
    seen: set[str] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (
            os.path.join(parent, file) for file in sorted(files) if not file.startswith(".")
        )
