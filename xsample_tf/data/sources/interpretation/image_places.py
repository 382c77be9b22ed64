"""Finds image files by the paths that a table has for them."""

import itertools
import os
import pathlib
import re
import urllib.parse
from collections.abc import Iterator, Sequence

_LOOKED_AT = 200  # Paths that are tried: each way of reading them is a look at the disk.
_ENDINGS = ("", ".jpg", ".jpeg", ".png", ".webp", ".JPG", ".JPEG", ".PNG")


def _without_number(path: str) -> str:
    return re.sub(r"#\d+$", "", path)


def _stripped(path: str) -> str:
    return path.strip().removeprefix("file://")


def _with_slashes(path: str) -> str:
    return re.sub(r"/+", "/", path.replace("\\", "/"))


def _relative(path: str) -> str:
    return re.sub(r"^([A-Za-z]:)?/+", "", path)


# Ways of reading a path, each with its description, in the order in which they are combined.
_WAYS = (
    (_stripped, "without outer spaces and file://"),
    (_without_number, "without #0, #1, ... at the end"),
    (_with_slashes, "with / for \\"),
    (urllib.parse.unquote, "with %20 and the like decoded"),
    (_relative, "relative to the image root"),
    (os.path.basename, "by the file's name alone"),
)


class ImagePlaces:
    r"""Where the images of a table lie: how their paths are to be read, found on the first ones.

    Paths are taken as they are where that finds the most files. Else `\` is a slash, a caption's
    number behind `#` is left out, `%2E` is decoded, a leading slash or drive is left out, and a
    missing ending is added, whatever finds more.

    Args:
        root: Folder that relative paths are relative to.
        sample: Paths of the first rows.
        own_root: Whether the user named the root: the file's name alone may then be enough.

    Attributes:
        note: How paths are read, where not as they are; else "".
    """

    def __init__(self, root: str, sample: Sequence[str], own_root: bool):
        self._root = root
        self._sample = list(dict.fromkeys(sample))[:_LOOKED_AT]
        self._chosen: tuple[int, ...] = ()
        self._ending = ""
        self.found = self._count(root, (), "")
        if self.found < len(self._sample):
            self._choose(own_root)
        words = [_WAYS[way][1] for way in self._chosen]
        words += [f"with {self._ending} added"] if self._ending else []
        self._by_name: dict[str, str] = {}  # Paths by the file's name, where that alone is read.
        self.note = f"paths are read {', '.join(words)}" if words else ""

    def key(self, text: str) -> str:
        """Returns a path as it is read, before the root: it names the image."""
        return os.path.normpath(self._read(text, self._chosen)) if text else text

    def path(self, text: str) -> str:
        """Returns the path of the file for a path in the table."""
        return os.path.normpath(
            os.path.join(self._root, self._read(text, self._chosen) + self._ending)
        )

    def is_ambiguous(self, text: str) -> bool:
        """Whether another path was asked for before whose file has the same name.

        That is so only where paths are read by the file's name alone.
        """
        if len(_WAYS) - 1 not in self._chosen:
            return False
        return self._by_name.setdefault(self.key(text), text) != text

    def describe_missing(self) -> str:
        """Returns where was looked, and where files of these names are; "" where some were found.

        Example:
            "looked for data/images/0.jpg; --image_root=data/raw has 200 of the first 200"
        """
        if self.found or not self._sample:
            return ""
        looked = f"no file is there; looked for {self.path(self._sample[0])}"
        counts = [(self._best_count(root), root) for root in self._other_roots()]
        count, root = max(counts, key=lambda pair: pair[0], default=(0, ""))
        if not count:
            return f"{looked}; name the folder that they are relative to with --image_root"
        return f"{looked}; --image_root={root} has {count} of the first {len(self._sample)}"

    def _choose(self, own_root: bool) -> None:
        best = self.found
        numbers = range(len(_WAYS) if own_root else len(_WAYS) - 1)
        combinations = itertools.chain.from_iterable(
            itertools.combinations(numbers, size) for size in range(len(numbers) + 1)
        )
        for ways in combinations:
            for ending in _ENDINGS:
                count = self._count(self._root, ways, ending)
                if count > best and not self._merges(ways):
                    best, self._chosen, self._ending = count, ways, ending
            if best == len(self._sample):
                break
        self.found = best

    def _merges(self, ways: tuple[int, ...]) -> bool:
        """Whether paths of different images would become one by their names alone."""
        names = {self._read(text, ways) for text in self._sample}
        without = {
            self._read(text, [way for way in ways if way < len(_WAYS) - 1]) for text in self._sample
        }
        return len(names) < len(without)

    def _count(self, root: str, ways: tuple[int, ...], ending: str) -> int:
        # Where the first few are all absent, the others are as well.
        count = 0
        for number, text in enumerate(self._sample):
            if number == 20 and not count:
                break
            count += os.path.isfile(os.path.join(root, self._read(text, ways) + ending))
        return count

    def _best_count(self, root: str) -> int:
        return ImagePlaces(root, self._sample, own_root=True).found

    def _other_roots(self) -> Iterator[str]:
        """Folders near the root: those in it, those above it, and those beside it."""
        root = pathlib.Path(self._root or ".")
        above = [root.parent, root.parent.parent] if root.parent != root else []
        for folder in (root, *above):
            if folder != root:
                yield str(folder)
            try:
                inner = sorted(entry for entry in folder.iterdir() if entry.is_dir())
            except OSError:
                continue
            yield from (str(entry) for entry in inner[:20] if not entry.name.startswith("."))

    @staticmethod
    def _read(text: str, ways: Sequence[int]) -> str:
        for way in ways:
            text = _WAYS[way][0](text)
        return text
