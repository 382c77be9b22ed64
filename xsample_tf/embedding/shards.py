"""Vectors of images as files: shards of vectors, a table of keys, what was left out."""

import collections
import csv
import json
import pathlib
import shutil
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from xsample_tf import files
from xsample_tf.data.preparation.journal import Journal
from xsample_tf.embedding.images import Images
from xsample_tf.embedding.stream import Block, Placed
from xsample_tf.errors import InputError

JOURNAL, DESCRIPTION = "embed.jsonl", "embeddings.json"
KEYS, LEFT_OUT, VECTORS = "keys.parquet", "left_out.csv", "vectors"
BROWSE = "browse.parquet"
_PARTS = "parts"  # The keys of each shard, until there are those of all.
_SCHEMA = pa.schema(
    {
        "key": pa.string(),
        "split": pa.string(),
        "position": pa.int64(),
        "path": pa.string(),
        "label": pa.int64(),
        "captions": pa.list_(pa.string()),
    }
)


class VectorDirectory:
    """A directory of vectors that is being written, or is done.

    Args:
        path: The directory; new, empty, or written before with the same configuration.
        configuration: What the vectors depend on, JSON values.
        overwrite: Deletes what was written there before.

    Raises:
        InputError: The directory holds something else, or was written with another configuration.
    """

    def __init__(self, path: pathlib.Path, configuration: dict, overwrite: bool):
        self.path = path
        if path.exists() and not path.is_dir():
            raise InputError(f"output: expected a folder, received the file {path}")
        ours = (path / JOURNAL).is_file()
        if path.is_dir() and any(path.iterdir()) and not ours:
            raise InputError(f"output: {path} holds something else; choose a new or empty folder")
        if ours and overwrite:
            for name in (DESCRIPTION, KEYS, LEFT_OUT, BROWSE):
                (path / name).unlink(missing_ok=True)
            for name in (VECTORS, _PARTS):
                shutil.rmtree(path / name, ignore_errors=True)
            (path / JOURNAL).unlink()  # Last: while it is there, the folder is ours.
        self._journal = Journal(path / JOURNAL, configuration)
        (path / VECTORS).mkdir(exist_ok=True)

    def description(self) -> dict | None:
        """Returns what `finish` wrote; None before.

        Raises:
            InputError: A shard has gone since.
        """
        place = self.path / DESCRIPTION
        if not place.is_file():
            return None
        described = json.loads(place.read_text(encoding="utf-8"))
        for shard in described["shards"]:
            if not (self.path / shard["path"]).is_file():
                raise InputError(
                    f"output: {self.path / shard['path']} has gone; start over with --overwrite"
                )
        return described

    def is_done(self, block: Block) -> bool:
        """Whether a block has been written."""
        entry = self._journal.entries.get(_name(block))
        if entry is None:
            return False
        shard, part = self._paths(block)
        return not entry["rows"] or (shard.is_file() and part.is_file())

    def write(
        self,
        block: Block,
        rows: Sequence[Placed],
        vectors: Sequence[np.ndarray],
        left_out: Sequence[tuple[Placed, str]],
    ) -> None:
        """Writes the shard of a block.

        Args:
            block: Which one.
            rows: The images that have vectors.
            vectors: Theirs, one after the other, each `[n, D]`.
            left_out: The others, with the reason.
        """
        shard, part = self._paths(block)
        if rows:
            with files.atomic_file(shard) as temporary, temporary.open("wb") as file:
                np.save(file, np.concatenate(vectors))
            part.parent.mkdir(exist_ok=True)
            with files.atomic_file(part) as temporary:
                pyarrow.parquet.write_table(_keys(rows), temporary)
        entries = [(one.entry.key, one.entry.place, reason) for one, reason in left_out]
        self._journal.add(_name(block), {"rows": len(rows), "left_out": entries})

    def finish(self, blocks: Sequence[Block], images: Images, described: dict) -> dict:
        """Writes the keys of all shards, what was left out, and the description.

        Args:
            blocks: All of them, written.
            images: Where they are from.
            described: What else the description says.

        Returns:
            The description.

        Raises:
            InputError: No image has a vector.
        """
        entries = [(block, self._journal.entries[_name(block)]) for block in blocks]
        reasons = collections.Counter(
            reason for _, entry in entries for _, _, reason in entry["left_out"]
        )
        written = [(block, entry["rows"]) for block, entry in entries if entry["rows"]]
        if not written:
            found = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
            raise InputError(f"source: expected images, received none that can be used ({found})")
        self._write_keys([block for block, _ in written], images.class_names())
        self._write_left_out(entries)
        first = np.load(self._paths(written[0][0])[0], mmap_mode="r")
        described = {
            "format": 1,
            **described,
            "rows": sum(rows for _, rows in written),
            "size": first.shape[1],
            "dtype": first.dtype.name,
            "left_out": dict(reasons.most_common()),
            "not_listed": images.rejected,
            "class_names": images.class_names(),
            "shards": [
                {"path": self._paths(block)[0].relative_to(self.path).as_posix(), "rows": rows}
                for block, rows in written
            ],
        }
        content = json.dumps(described, indent=1) + "\n"
        files.write_atomic(self.path / DESCRIPTION, content.encode())
        shutil.rmtree(self.path / _PARTS)
        return described

    def _paths(self, block: Block) -> tuple[pathlib.Path, pathlib.Path]:
        """The files of a block: vectors and keys."""
        name = f"{block.number:05d}"
        return self.path / VECTORS / f"{name}.npy", self.path / _PARTS / f"{name}.parquet"

    def _write_keys(self, blocks: Sequence[Block], names: Sequence[str] | None) -> None:
        """Joins the shards' keys, with the row of each, and the name of its class."""
        columns = [("row", pa.int64()), *zip(_SCHEMA.names, _SCHEMA.types, strict=True)]
        schema = pa.schema([*columns, ("class", pa.string())])
        first = 0
        with (
            files.atomic_file(self.path / KEYS) as temporary,
            pyarrow.parquet.ParquetWriter(temporary, schema) as writer,
        ):
            for block in blocks:
                table = pyarrow.parquet.read_table(self._paths(block)[1])
                labels = table["label"].to_pylist()
                classes = [_class(names, label) for label in labels]
                rows = pa.array(range(first, first + len(labels)), pa.int64())
                table = table.add_column(0, "row", rows)
                table = table.append_column("class", pa.array(classes, pa.string()))
                writer.write_table(table.cast(schema))
                first += len(labels)

    def _write_left_out(self, entries: Sequence[tuple[Block, dict]]) -> None:
        with (
            files.atomic_file(self.path / LEFT_OUT) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.writer(file)
            writer.writerow(("split", "key", "place", "reason"))
            for block, entry in entries:
                writer.writerows((block.split, *left_out) for left_out in entry["left_out"])


def read_rows(directory: pathlib.Path, described: dict, rows: np.ndarray) -> np.ndarray:
    """Returns the vectors of some rows, float32 `[M, D]`, of a directory that is done.

    Args:
        directory: The directory.
        described: Its description.
        rows: Which, in rising order.
    """
    parts, first = [], 0
    for shard in described["shards"]:
        inside = rows[(rows >= first) & (rows < first + shard["rows"])] - first
        parts.append(np.load(directory / shard["path"], mmap_mode="r")[inside].astype(np.float32))
        first += shard["rows"]
    return np.concatenate(parts)


def _name(block: Block) -> str:
    return f"{block.split}/{block.start}-{block.stop}"


def _class(names: Sequence[str] | None, label: int | None) -> str | None:
    known = names is not None and label is not None and label < len(names)
    return names[label] if known else None


def _keys(rows: Sequence[Placed]) -> pa.Table:
    entries = [row.entry for row in rows]
    columns = {
        "key": [entry.key for entry in entries],
        "split": [row.block.split for row in rows],
        "position": [row.position for row in rows],
        "path": [entry.path or None for entry in entries],
        "label": [entry.label for entry in entries],
        "captions": [list(entry.captions) for entry in entries],
    }
    return pa.table(columns, _SCHEMA)
