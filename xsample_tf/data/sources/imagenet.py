"""ImageNet as it is handed out: a tar of a thousand tars, a tar of validation images, a devkit."""

import collections
import hashlib
import io
import os
import pathlib
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import scipy.io
from tqdm import tqdm

from xsample_tf.data.sources.archives import DAMAGED
from xsample_tf.data.sources.base import Classes, Options, Sample, Source, clean_key, register
from xsample_tf.data.sources.byte_ranges import ByteRange, tar_members
from xsample_tf.errors import InputError

TRAIN, VAL = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
DEVKIT = "ILSVRC2012_devkit_t12"
_TRUTH = "ILSVRC2012_validation_ground_truth.txt"


@register("imagenet")
class ImageNet(Source):
    """ImageNet's original tars, whose images are read where they lie: imagenet:DIR.

    Labels are the places of the WordNet ids in their order; names are `Options.class_names`, else
    the devkit's first word for each, else the WordNet ids. The classes of validation images are
    those of the devkit, or of a text file with `val` in its name that has a WordNet id on each line
    for the images in the order of their names, or beside each name.

    Samples have the order and the keys that `folder:` gives the unpacked images.

    Args:
        where: The folder of the tars; without the validation tar, the training images are split.
        options: Class names and the seed of the order.
        classes: Classes that the labels must be of.

    Raises:
        InputError: no training tar, no class of the validation images, or a list of them that is
            not one.
    """

    shuffled = True

    def __init__(self, where: str, options: Options, classes: Classes | None):
        self._root = pathlib.Path(where)
        self.rejected = collections.Counter()
        if not (self._root / TRAIN).is_file():
            raise InputError(f"source: no {TRAIN} in {where}; unpacked images go through folder:")
        inner = [(pathlib.PurePath(name).stem, piece) for name, piece in self._members(TRAIN)]
        devkit = _read_devkit(self._root)
        if classes is None:
            keys = tuple(sorted(wnid for wnid, _ in inner))
            names = {wnid: words.split(",")[0] for wnid, words in devkit.values()}
            classes = Classes(keys, tuple(names.get(key, key) for key in keys))
        self.classes = classes
        rows = [self._train_rows(wnid, piece) for wnid, piece in tqdm(inner, TRAIN, disable=None)]
        self._rows = {"train": self._ordered(np.concatenate([_rows((), len), *rows]), options)}
        if (self._root / VAL).is_file():
            found = list(self._members(VAL))
            wnids = _validation_classes(self._root, devkit, len(found))
            rows = _rows(found, lambda name: classes.label(wnids(name)))
            self._rows["val"] = self._ordered(rows, options)
        else:
            self._rows = {"all": self._rows["train"]}
        self.counts = {split: len(rows) for split, rows in self._rows.items()}
        digest = hashlib.sha256(repr(classes.names).encode())
        for rows in self._rows.values():
            digest.update(np.sort(rows, order=["label", "name"]).tobytes())
        self.fingerprint = digest.hexdigest()[:16]

    def understanding(self) -> list[str]:
        """See `Source`."""
        held_out = VAL if "val" in self._rows else "a part of the training images"
        lines = [f"imagenet: {self._root}, validation: {held_out}"]
        return [*lines, "captions: none"]

    def samples(self, split: str, start: int, stop: int) -> Iterator[Sample]:
        """See `Source`."""
        tar = VAL if split == "val" else TRAIN
        folder = "val" if split == "val" else "train"
        for name, offset, size, label in self._rows[split][start:stop].tolist():
            key = self.classes.keys[label] if label >= 0 else "unknown"
            image = ByteRange(str(self._root / tar), offset, size)
            yield Sample(f"{folder}/{key}/{clean_key(name.decode())}", image, (), label)

    def _train_rows(self, wnid: str, tar: ByteRange) -> np.ndarray:
        label = self.classes.label(wnid)
        members = self._members(TRAIN, tar.offset, tar.offset + tar.size)
        return _rows(members, lambda _: label)

    def _members(
        self, tar: str, start: int = 0, stop: int | None = None
    ) -> Iterator[tuple[str, ByteRange]]:
        for member in tar_members(str(self._root / tar), start, stop):
            if member is None:
                self.rejected[DAMAGED] += 1
            else:
                yield member

    def _ordered(self, rows: np.ndarray, options: Options) -> np.ndarray:
        rows = rows[np.lexsort((rows["name"], self._places(rows)))]
        return rows[np.random.default_rng(options.seed).permutation(len(rows))]

    def _places(self, rows: np.ndarray) -> np.ndarray:
        """Returns where the class of each row stands among the WordNet ids in their order."""
        places = np.argsort(np.argsort(self.classes.keys))
        return np.append(places, len(places))[rows["label"]]


def _rows(members: Iterable[tuple[str, ByteRange]], labels: Callable[[str], int]) -> np.ndarray:
    """Returns name, offset, size and label of each member, in a table: there are a million."""
    rows = [
        (os.path.basename(name).encode("utf-8", "backslashreplace"), p.offset, p.size, labels(name))
        for name, p in members
    ]
    longest = max((len(row[0]) for row in rows), default=1)
    fields = [("name", f"S{longest}"), ("offset", "<i8"), ("size", "<i8"), ("label", "<i4")]
    return np.array(rows, fields)


def _read_devkit(root: pathlib.Path) -> dict[int, tuple[str, str]]:
    """Returns WordNet id and words by the number that the devkit has for a class."""
    content = _devkit_file(root, "meta.mat")
    if content is None:
        return {}
    try:
        synsets = scipy.io.loadmat(io.BytesIO(content), squeeze_me=True)["synsets"]
        return {int(row["ILSVRC2012_ID"]): (str(row["WNID"]), str(row["words"])) for row in synsets}
    except Exception as error:  # Of many kinds, where the file is damaged or another.
        raise InputError(f"source: cannot read meta.mat of {DEVKIT} in {root} ({error})") from error


def _devkit_file(root: pathlib.Path, name: str) -> bytes | None:
    """Returns a file of the devkit, unpacked, packed, or beside the tars; None without one."""
    for path in (root / DEVKIT / "data" / name, root / name):
        if path.is_file():
            return path.read_bytes()
    packed = root / f"{DEVKIT}.tar.gz"
    if not packed.is_file():
        return None
    try:
        with tarfile.open(packed) as tar:
            return tar.extractfile(f"{DEVKIT}/data/{name}").read()
    except (KeyError, EOFError, OSError, tarfile.TarError) as error:
        raise InputError(f"source: cannot read {name} of {packed} ({error})") from error


def _validation_classes(root: pathlib.Path, devkit: dict[int, tuple[str, str]], count: int):
    """Returns a function from the name of a validation image to its WordNet id."""
    truth = _devkit_file(root, _TRUTH) if devkit else None
    if truth is not None:
        found = {str(n): devkit.get(int(line), ("",))[0] for n, line in enumerate(truth.split(), 1)}
    else:
        found = {}
        for path in sorted(root.glob("*val*.txt")) + sorted(root.glob("*val*.csv")):
            for line in path.read_text("utf-8", "replace").splitlines():
                wnid = re.search(r"\bn\d{8}\b", line)
                if wnid:
                    number = re.search(r"val_(\d{8})", line)
                    found[str(int(number[1])) if number else str(len(found) + 1)] = wnid[0]
            if found:
                break
    if len(found) < count:
        raise InputError(
            f"source: expected the classes of {count:,} images in {VAL}, found {len(found):,}; put "
            f"{DEVKIT}.tar.gz, or a text file of their WordNet ids, into {root}"
        )

    def wnid(name: str) -> str:
        number = re.search(r"(\d+)\.\w+$", name)
        return found.get(str(int(number[1])), "") if number else ""

    return wnid
