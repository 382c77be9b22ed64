"""The second pass: records in a source's order become shards in an order of the seed.

For sources that cannot be read in any order at a bearable speed, such as tars, and where images
that came before are left out. Records are copied as they stand, checksums and all.
"""

import dataclasses
import hashlib
import os
import pathlib
import shutil
import zlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from xsample_tf.data import records
from xsample_tf.data.preparation.blocks import PARTS, SourceRange, rows_path
from xsample_tf.data.preparation.shard_writer import finish
from xsample_tf.errors import InputError
from xsample_tf.files import temporary_path

_ROW = np.dtype([("part", "<u4"), ("offset", "<u8"), ("size", "<u4"), ("crc", "<u4")])
_SPLITS = ("train", "val")


@dataclasses.dataclass(frozen=True)
class Arrangement:
    """Which records stand in which shard.

    Attributes:
        counts: Records by split.
        duplicates: Records that are left out, since their image came before.
        example: Key of one of them.
        identity: A hash of it, which differs where a shard would.
    """

    counts: dict[str, int]
    duplicates: int
    example: str
    identity: str


def arrange(
    output: pathlib.Path,
    blocks: Sequence[tuple[SourceRange, dict]],
    seed: int | None,
    deduplicate: bool,
) -> Arrangement:
    """Decides the order, and writes it beside the parts for whoever writes the shards.

    Args:
        output: The data directory.
        blocks: All blocks in order, each with its entry of the journal.
        seed: Of the order; None keeps that of the parts.
        deduplicate: Whether images that came before are left out.
    """
    parts = [shard["path"] for _, entry in blocks for shard in entry["shards"].values()]
    tables = [np.load(rows_path(output, part)) for part in parts]
    table = np.concatenate(tables) if tables else np.zeros(0)
    part = np.repeat(np.arange(len(parts)), [len(rows) for rows in tables])
    kept = np.arange(len(table))
    if deduplicate and len(table):
        kept = np.sort(np.unique(table["digest"], return_index=True)[1])  # The first of each.
    counts, digest = {}, hashlib.sha256(repr(parts).encode())
    for number, split in enumerate(_SPLITS):
        chosen = kept[table["val"][kept] == (split == "val")] if len(table) else kept
        if not len(chosen):
            continue
        if seed is not None:
            chosen = chosen[np.random.default_rng([seed, number]).permutation(len(chosen))]
        order = np.empty(len(chosen), _ROW)
        order["part"] = part[chosen]
        for name in ("offset", "size", "crc"):
            order[name] = table[name][chosen]
        digest.update(split.encode() + order.tobytes())
        np.save(_order_path(output, split), order)
        counts[split] = len(chosen)
    left_out = np.setdiff1d(np.arange(len(table)), kept, assume_unique=True)
    example = ""
    if len(left_out):
        row = table[left_out[0]]
        frame = _frame(output / parts[part[left_out[0]]], row)
        example = records.parse(tf.constant(frame[12:-4]))["key"].numpy().decode()
    return Arrangement(counts, len(left_out), example, digest.hexdigest()[:16])


@dataclasses.dataclass(frozen=True)
class ShardArranger:
    """Writes shards from parts; can be pickled.

    Attributes:
        output: The data directory.
        parts: Paths of the parts, in order.
        size: Records in a shard, all but the last.
        identity: Of the arrangement; entries of another one do not count.
    """

    output: pathlib.Path
    parts: tuple[str, ...]
    size: int
    identity: str

    def __call__(self, path: str) -> dict:
        """Writes the shard of this path, and returns what the journal says of it.

        Raises:
            InputError: A part is not what it was.
        """
        split, name = path.split("/")
        start = int(name.partition(".")[0]) * self.size
        order = np.load(_order_path(self.output, split), mmap_mode="r")[start : start + self.size]
        frames: list[bytes] = [b""] * len(order)
        for place in np.lexsort([order["offset"], order["part"]]):  # Each part from front to back.
            row = order[place]
            frames[place] = _frame(self.output / self.parts[row["part"]], row)
        place = self.output / path
        place.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary_path(place), "wb") as file:
            file.writelines(frames)
        shard = finish(self.output, path, len(order))
        return {"arrangement": self.identity, "shard": dataclasses.asdict(shard)}

    def is_done(self, path: str, entry: dict | None) -> bool:
        """Whether the shard of this path is there, of this arrangement, by its entry if any."""
        return bool(
            entry and entry.get("arrangement") == self.identity and (self.output / path).is_file()
        )


def shard_paths(counts: dict[str, int], size: int) -> list[str]:
    """Returns the paths of the shards of so many records."""
    return [
        f"{split}/{number:05d}.tfrecord"
        for split, count in counts.items()
        for number in range(-(-count // size))
    ]


def check_space(output: pathlib.Path, needed: int) -> None:
    """Raises `InputError` unless so many bytes are free."""
    free = shutil.disk_usage(output).free
    if free < needed:
        raise InputError(
            f"output: expected {needed / 1e9:,.1f} GB free at {output}, where records are put in "
            f"their final order, received {free / 1e9:,.1f} GB; make room, and give the same "
            "command again"
        )


def _order_path(output: pathlib.Path, split: str) -> pathlib.Path:
    return output / PARTS / f"order-{split}.npy"


def _frame(part: pathlib.Path, row: np.void) -> bytes:
    """Returns a record with its length and checksums, as it stands in a TFRecord file."""
    size = int(row["size"])
    try:
        with open(part, "rb") as file:
            frame = os.pread(file.fileno(), size, int(row["offset"]))
    except FileNotFoundError:
        frame = b""
    if len(frame) != size or zlib.crc32(frame[12:-4]) != row["crc"]:
        raise InputError(f"output: {part} is gone or changed; start over with --overwrite")
    return frame
