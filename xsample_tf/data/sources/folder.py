"""A folder of images for each class, as a source."""

import collections
import dataclasses
import os
import pathlib
from collections.abc import Iterable, Iterator

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
from xsample_tf.data.sources.interpretation.sampled import NONE
from xsample_tf.errors import InputError, listing
from xsample_tf.files import is_hidden, walk

TEXT_ENDINGS = (".txt", ".caption")
# Endings of files that are something else, and need not be opened to see it.
_OTHER_ENDINGS = (".txt", ".json", ".csv", ".xml", ".md", ".db", ".ini", ".caption")
# Folders of a data set for detection or captions, which are no classes.
_NO_CLASSES = {"images", "image", "imgs", "jpegimages", "labels", "annotations", "masks"}
_NO_CLASSES |= {"captions", "texts"}


@dataclasses.dataclass(frozen=True)
class _ClassFolder:
    """A folder of images of one class."""

    key: str
    path: pathlib.Path


@dataclasses.dataclass
class _Layout:
    """The class folders of each use and of the splits that are left out, and what to say of them.

    Attributes:
        used: By "train" and "val", or "all".
        left_out: By split.
        lines: What was understood.
    """

    used: dict[str, list[_ClassFolder]]
    left_out: dict[str, list[_ClassFolder]] = dataclasses.field(default_factory=dict)
    lines: list[str] = dataclasses.field(default_factory=list)


@register("folder")
class ClassFolders(SampleList):
    """A folder of images for each class, folder:DIR: DIR/CLASS/IMAGE or DIR/SPLIT/CLASS/IMAGE.

    Folders that are called as splits are (`train`, `valid`, `test2014`, ...) are splits where there
    is one for training, also inside each class folder: DIR/CLASS/SPLIT/IMAGE. Hidden files and
    folders never count.

    Raises:
        InputError: No such folder, no class folders with images in them, other folders beside the
            splits, or texts beside the images, unless `caption_columns` is ("none",).
    """

    def __init__(self, where: str, options: Options, classes: Classes | None):
        root = pathlib.Path(where)
        if not root.is_dir():
            raise InputError(f"source: no folder {where}; expected one folder per class in it")
        self._where = where
        self._layout = _find_layout(root, options)
        if classes is None:
            first = next(iter(self._layout.used.values()))
            keys = tuple(sorted({folder.key for folder in first}))
            classes = Classes(keys, tuple(clean_key(key) for key in keys))
        files = _Files(root, classes)
        samples = {use: list(files.samples(own)) for use, own in self._layout.used.items()}
        empty = next((use for use, found in samples.items() if not found), None)
        if empty:
            folder = _parent(self._layout.used[empty], root)
            raise InputError(
                f"source: expected class folders of images in {folder}, found none; ",
                _hint(folder),
            )
        if options.caption_columns != (NONE,):
            files.refuse_texts(where)
        with_images = {s.label for found in samples.values() for s in found}
        bare = [name for i, name in enumerate(classes.names) if i not in with_images]
        if bare:
            self._layout.lines.append(f"classes without an image: {listing(bare)}")
        for split, own in self._layout.left_out.items():
            files.rejected[f"split_{split}"] += sum(1 for _ in files.samples(own))
        super().__init__(samples, options.seed, classes, rejected=files.rejected)
        self.examples = files.examples

    def understanding(self) -> list[str]:
        """See `Source`."""
        lines = [f"folder: {self._where}, one folder per class", *self._layout.lines]
        return [*lines, "captions: none"]


class _Files:
    """Lists the images of class folders, and counts the other files in them."""

    def __init__(self, root: pathlib.Path, classes: Classes):
        self._root, self._classes = root, classes
        self._images: set[str] = set()
        self._texts: list[str] = []
        self.rejected: collections.Counter = collections.Counter()
        self.examples: dict[str, str] = {}

    def samples(self, folders: Iterable[_ClassFolder]) -> Iterator[Sample]:
        """Yields a sample for each image."""
        for folder in folders:
            label = self._classes.label(folder.key)
            for path in walk(folder.path):
                if looks_like_image(path) or not path.lower().endswith(_OTHER_ENDINGS):
                    self._images.add(os.path.splitext(path)[0])
                    yield Sample(clean_key(os.path.relpath(path, self._root)), path, (), label)
                    continue
                is_text = path.lower().endswith(TEXT_ENDINGS)
                reason = "text_file" if is_text else "not_an_image"
                self.rejected[reason] += 1
                self.examples.setdefault(reason, path)
                if is_text:
                    self._texts.append(path)

    def refuse_texts(self, where: str) -> None:
        """Raises `InputError` where texts have the names of images: they may be the captions."""
        paired = [text for text in self._texts if self._is_beside_an_image(text)]
        if paired:
            raise InputError(
                f"source: {len(paired):,} images have texts beside them, such as {paired[0]}; give "
                "--caption_column=none to take class names, or to take the texts ",
                f"pairs:{where}",
            )

    def _is_beside_an_image(self, text: str) -> bool:
        stem = os.path.splitext(text)[0]
        return stem in self._images or os.path.splitext(stem)[0] in self._images


def _find_layout(root: pathlib.Path, options: Options) -> _Layout:
    """Tells folders of splits from folders of classes."""
    names = _inner_folders(root)
    found = {name: split for name in names if (split := splits.canonical(name))}
    strangers = sorted(set(names) - found.keys())
    if "train" not in found.values() or (len(found) == 1 and strangers):
        # A class may be called train: one such folder among others is taken for a class.
        return _of_classes(root, names, options)
    if strangers:
        raise InputError(
            f"source: expected folders of splits in {root}, or folders of classes, received "
            f"{listing(sorted(found))} and beside them {listing(strangers)}; move them away, or "
            "give the folder of classes itself"
        )
    for name, split in found.items():
        if split == "train" and not _inner_folders(root / name):
            raise InputError(
                f"source: expected class folders of images in {root / name}, found none; ",
                _hint(root / name),
            )
    by_split: dict[str, list[_ClassFolder]] = {split: [] for split in found.values()}
    for name, split in sorted(found.items()):
        _refuse_no_classes(root / name)
        by_split[split] += _class_folders(root / name)
    layout = _of_splits(by_split, options)
    uses, _ = splits.choose(dict.fromkeys(found.values()), options.validation_split)
    layout.lines = [
        f"{use}: {', '.join(str(root / n) for n, s in sorted(found.items()) if s == split)}"
        for split, use in uses.items()
    ] + layout.lines
    return layout


def _of_classes(root: pathlib.Path, names: list[str], options: Options) -> _Layout:
    """The layout of a folder of classes, each of which may have folders of splits in it."""
    inner = {name: _inner_folders(root / name) for name in names}
    if len(names) == 1 and inner[names[0]] and not _has_images(root / names[0]):
        raise InputError(
            f"source: expected several class folders in {root}, received the only folder "
            f"{names[0]} with {listing(inner[names[0]])} in it; give ",
            f"folder:{root / names[0]}",
        )
    _refuse_no_classes(root)
    of_splits = {folder for own in inner.values() for folder in own}
    if "train" not in map(splits.canonical, of_splits) or not all(map(splits.canonical, of_splits)):
        return _Layout({"all": _class_folders(root)}, lines=[f"all: {root}"])
    by_split: dict[str, list[_ClassFolder]] = collections.defaultdict(list)
    for name in sorted(names):
        if _has_images(root / name):
            raise InputError(
                f"source: expected images in the folders {listing(sorted(of_splits))} of each "
                f"class, received images in {root / name} itself; move them"
            )
        for folder in sorted(inner[name]):
            path = root / name / folder
            by_split[splits.canonical(folder)].append(_ClassFolder(name, path))
    layout = _of_splits(by_split, options)
    layout.lines.insert(0, f"splits: the folders {listing(sorted(of_splits))} of each class")
    return layout


def _of_splits(by_split: dict[str, list[_ClassFolder]], options: Options) -> _Layout:
    uses, lines = splits.choose(by_split, options.validation_split)
    used: dict[str, list[_ClassFolder]] = {use: by_split[split] for split, use in uses.items()}
    left_out = {split: own for split, own in by_split.items() if split not in uses}
    return _Layout(used, left_out, list(lines))


def _refuse_no_classes(folder: pathlib.Path) -> None:
    """Raises `InputError` where the folders have names that no classes have."""
    names = _inner_folders(folder)
    if names and all(name.lower() in _NO_CLASSES for name in names):
        raise InputError(
            f"source: expected one folder per class in {folder}, received "
            f"{listing(sorted(names))}; ",
            _hint(folder / names[0]),
        )


def _hint(folder: pathlib.Path) -> str:
    """The next step for a folder without class folders."""
    files = [entry.name for entry in os.scandir(folder) if entry.is_file()]
    tables = [name for name in files if name.startswith("metadata.")]
    if tables:
        return f"table:{folder / tables[0]} reads the table beside the images"
    if any(name.lower().endswith(TEXT_ENDINGS) for name in files):
        return f"image files with captions beside them go through pairs:{folder}"
    return "images that have no class folder go through table: or pairs:"


def _parent(folders: list[_ClassFolder], root: pathlib.Path) -> pathlib.Path:
    return folders[0].path.parent if folders else root


def _class_folders(folder: pathlib.Path) -> list[_ClassFolder]:
    return [_ClassFolder(name, folder / name) for name in sorted(_inner_folders(folder))]


def _inner_folders(folder: pathlib.Path) -> list[str]:
    return [e.name for e in os.scandir(folder) if e.is_dir() and not is_hidden(e.name)]


def _has_images(folder: pathlib.Path) -> bool:
    return any(looks_like_image(entry.name) for entry in os.scandir(folder) if entry.is_file())
