"""Vectors of a folder's images, kept in a file, and the images nearest to a caption."""

import collections
import dataclasses
import hashlib
import os
import pathlib
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from xsample_tf.data import image_files
from xsample_tf.errors import InputError
from xsample_tf.evaluation import nearest
from xsample_tf.files import atomic_file, walk, writing
from xsample_tf.progress import Progress
from xsample_tf.search.model import SearchModel

_BATCH = 32  # Images that are decoded and embedded at a time.


@dataclasses.dataclass(frozen=True)
class Found:
    """An image that was found.

    Attributes:
        path: Its file.
        cosine: Of its vector and the caption's.
    """

    path: pathlib.Path
    cosine: float


class Index:
    """The images of a folder, to be searched.

    Args:
        model: What embeds captions.
        paths: The images' files, N of them.
        vectors: Theirs, float `[N, P]`.
        left_out: How many files cannot be used, by reason.

    Attributes:
        paths: As given.
        vectors: As given.
        left_out: As given.

    Example:
        >>> index = index_folder(load("runs/photos"), "photos")
        >>> index.find(["a dog on a beach"])[0][0]
        Found(path=PosixPath('photos/4711.jpg'), cosine=0.41)
    """

    def __init__(
        self,
        model: SearchModel,
        paths: Sequence[pathlib.Path],
        vectors: np.ndarray,
        left_out: collections.Counter,
    ):
        self._model = model
        self.paths, self.vectors, self.left_out = paths, vectors, left_out

    def find(self, captions: Sequence[str], top: int = 16) -> list[list[Found]]:
        """Returns for each caption the images nearest to it, the nearest first.

        Args:
            captions: K texts.
            top: How many images, all of them where there are fewer. Defaults to 16.

        Raises:
            InputError: No caption, or one that says nothing.
        """
        if isinstance(captions, str):
            captions = [captions]
        queries = self._model.embed_captions(captions)
        cosines, rows = nearest(self.vectors, queries, min(top, len(self.paths)))
        return [
            [Found(self.paths[row], float(cosine)) for row, cosine in zip(*best, strict=True)]
            for best in zip(rows, cosines, strict=True)
        ]


def index_folder(
    model: SearchModel,
    folder: str | os.PathLike,
    cache_dir: str | os.PathLike | None = None,
    log: Callable[[str], None] = print,
) -> Index:
    """Embeds the images in a folder and in the folders in it; hidden files never count.

    Args:
        model: What embeds images.
        folder: Where they are.
        cache_dir: Keeps the vectors in a file here, named after model and folder. The next call
            takes from it every file of the same path, size and time of change. Defaults to None,
            which keeps nothing.
        log: Receives lines for the user. Defaults to `print`.

    Raises:
        InputError: No such folder, no file in it, or none that is an image.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise InputError(f"images: expected a folder of images, received {str(folder)!r}")
    files = [_file(path) for path in walk(folder)]
    if not files:
        raise InputError(f"images: expected a folder of images, received an empty one, {folder}")
    entries: _Entries = {}
    cache = None
    if cache_dir is not None:
        key = f"{model.identity} {folder.absolute()}"
        name = f"vectors-{hashlib.sha256(key.encode()).hexdigest()[:12]}.npz"
        cache = pathlib.Path(cache_dir, name)
        known = _read(cache, log)
        entries = {file: known[file] for file in files if file in known}
    missing = [file for file in files if file not in entries]
    try:
        _embed(model, missing, entries, folder, log)
    finally:  # What is done stays done where the rest is not.
        if cache is not None and missing:
            _write(cache, entries)
    if cache is not None:
        log(f"{len(files):,} files, {len(missing):,} of them embedded now; vectors are in {cache}")
    left_out = collections.Counter(entry for entry in entries.values() if isinstance(entry, str))
    images = [file for file in files if not isinstance(entries[file], str)]
    if not images:
        reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
        raise InputError(f"images: expected images in {folder}, received none ({reasons})")
    paths, vectors = [file.path for file in images], np.stack([entries[file] for file in images])
    return Index(model, paths, vectors, left_out)


class _File(NamedTuple):
    """A file in one state; a time of change of 0 is that of one that is gone."""

    path: pathlib.Path
    size: int
    changed: int


# The vector of each file, or the reason why it has none.
_Entries = dict[_File, np.ndarray | str]


def _file(path: str) -> _File:
    try:
        state = os.stat(path)
    except OSError:  # A link to nowhere.
        return _File(pathlib.Path(path), 0, 0)
    return _File(pathlib.Path(path), state.st_size, state.st_mtime_ns)


def _embed(
    model: SearchModel,
    files: Sequence[_File],
    entries: _Entries,
    folder: pathlib.Path,
    log: Callable[[str], None],
) -> None:
    """Adds the entries of files, a batch at a time."""
    with (
        Progress(f"vectors of {folder}", len(files), "files", log) as progress,
        ThreadPoolExecutor() as pool,
    ):
        for first in range(0, len(files), _BATCH):
            batch = files[first : first + _BATCH]
            found = dict(zip(batch, pool.map(_content, batch), strict=True))
            images = [file for file, content in found.items() if isinstance(content, bytes)]
            if images:
                vectors = model.embed_files([found[file] for file in images])
                found |= dict(zip(images, vectors, strict=True))
            entries |= found
            progress.advance(len(batch))


def _content(file: _File) -> bytes | str:
    """The image as JPEG or PNG, as viewers show it; or the reason why there is none."""
    try:
        return image_files.normalize(file.path.read_bytes())[0]
    except OSError:
        return "unreadable"
    except image_files.ImageError as error:
        return str(error)


def _write(cache: pathlib.Path, entries: _Entries) -> None:
    reasons = [entry if isinstance(entry, str) else "" for entry in entries.values()]
    vectors = [entry for entry in entries.values() if not isinstance(entry, str)]
    with writing(cache, setting="output"):
        cache.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(cache) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                paths=np.array([str(one.path) for one in entries]),
                states=np.array([(one.size, one.changed) for one in entries], np.int64),
                reasons=np.array(reasons),
                vectors=np.array(vectors, np.float32),
            )


def _read(cache: pathlib.Path, log: Callable[[str], None]) -> _Entries:
    """What a file of vectors has; nothing where there is none, or one that is damaged."""
    if not cache.exists():
        return {}
    try:
        with np.load(cache) as content:
            vectors = iter(content["vectors"])
            rows = zip(content["paths"], content["states"], content["reasons"], strict=True)
            return {
                _File(pathlib.Path(path), int(size), int(changed)): str(reason) or next(vectors)
                for path, (size, changed), reason in rows
            }
    except (OSError, KeyError, ValueError, StopIteration, zipfile.BadZipFile) as error:
        log(f"cannot read {cache} ({error}); all images are embedded again")
        return {}
