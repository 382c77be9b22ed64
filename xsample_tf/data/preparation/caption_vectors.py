"""Captions in shards -> vectors beside them, for one text encoder after another."""

import collections
import dataclasses
import io
import os
import pathlib
import re
import shutil
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from xsample_tf import files, templates
from xsample_tf.arrays import unit_rows
from xsample_tf.data import manifest, records
from xsample_tf.data.preparation.journal import JOURNAL, Journal, whole_lines
from xsample_tf.data.preparation.shard_writer import ShardWriter, as_input_errors, local
from xsample_tf.data.shards import Shard, read_records
from xsample_tf.data.text_encoder import TextEncoder
from xsample_tf.errors import InputError
from xsample_tf.progress import Progress

_CHUNK = 512  # Captions per call, sorted by length so that little of a batch is padding.
PROBE = "a photo of a dog in front of a red house"  # Tells encoders of one name apart.
_REMEMBERED = 1 << 20  # Captions whose vectors are kept: 0.8 GB at T = 384.


@as_input_errors()
def add_embeddings(
    directory: str | os.PathLike,
    encoders: Sequence[TextEncoder],
    *,
    template: str | None = None,
    overwrite: bool = False,
    log: Callable[[str], None] = print,
) -> manifest.Dataset:
    """Adds each encoder's vectors to a data directory, a file of them beside each shard.

    Vectors are stored at unit length. One that is not finite is stored as zeros, which relate to
    nothing, and counted as "embedding_not_finite:NAME"; one that is zero as "embedding_zero:NAME".
    A directory that has an encoder's vectors keeps them; a pass that was killed goes on.

    Args:
        directory: The data directory.
        encoders: Text encoders with `name`, `handle` and `size`; each is called with up to 512
            captions.
        template: Makes captions of class names for the table of class vectors; None is the one
            that made the records' captions, else the paper's "a photo of a {}".
        overwrite: Replaces the vectors of an encoder of the same name.
        log: Receives a line per encoder, and how far it is where there is no terminal for a bar.

    Raises:
        InputError: no captions, another template than the records' captions have, two encoders of
            one name or another one's vectors under it, vectors of another shape than `[K, size]`,
            or a shard that cannot be read.

    Example:
        >>> add_embeddings("data/photos", [text.load_encoder("lexical")]).encoders.keys()
        dict_keys(['all-MiniLM-L6-v2', 'lexical'])
    """
    dataset = manifest.read_dataset(local(directory))
    template = template_of(dataset, template)
    check_names(encoders)
    for encoder in encoders:
        _check(dataset, encoder, overwrite)
    for encoder in encoders:
        if encoder.name not in dataset.encoders or overwrite:
            dataset = EmbeddingJob(dataset, encoder, overwrite).run(template, log)
            manifest.write_dataset(dataset)
            log(f"{'caption vectors':<24}{encoder.name}, {encoder.size} values each")
    return dataset


def check_names(encoders: Sequence[TextEncoder]) -> None:
    """Raises InputError unless the names can be those of folders, one for each encoder.

    Example:
        >>> check_names([text.load_encoder("lexical"), text.load_encoder("lexical")])
        InputError: text encoder: expected distinct names, received 'lexical' twice; ...
    """
    seen = set()
    for name in [encoder.name for encoder in encoders]:
        if not re.fullmatch(r"[\w.-]+", name) or name.startswith("."):
            raise InputError(f"text encoder: expected a name safe for files, received {name!r}")
        if name in seen:
            raise InputError(
                f"text encoder: expected distinct names, received {name!r} twice; rename one"
            )
        seen.add(name)


def _check(dataset: manifest.Dataset, encoder: TextEncoder, overwrite: bool) -> None:
    if not dataset.captions_per_image and not dataset.class_names:
        raise InputError(f"text encoder: {dataset.directory} has no captions and no class names")
    known = dataset.encoders.get(encoder.name)
    if known and not overwrite and (known.handle, known.size) != (encoder.handle, encoder.size):
        raise InputError(
            f"text encoder: {dataset.directory} has vectors {encoder.name!r} of size {known.size} "
            f"from {known.handle!r}, now size {encoder.size} from {encoder.handle!r}; replace them "
            "with --embeddings_only --overwrite"
        )


def template_of(dataset: manifest.Dataset, template: str | None) -> str:
    """Returns the template for class names, which must be the one in the records' captions."""
    journal = pathlib.Path(dataset.directory, JOURNAL)
    lines = whole_lines(journal)
    recorded = lines[0]["template"] if lines else None
    if template and recorded and template != recorded:
        raise InputError(
            f"template: expected {recorded!r}, of which the captions in {dataset.directory} were "
            f"made, received {template!r}; prepare another directory for it"
        )
    return template or recorded or templates.CLASS_TEMPLATE


class EmbeddingJob:
    """One encoder over all shards; each distinct caption is encoded once."""

    def __init__(self, dataset: manifest.Dataset, encoder: TextEncoder, overwrite: bool):
        self._dataset, self._encoder = dataset, encoder
        self._directory = pathlib.Path(dataset.directory)
        self._folder = f"embeddings/{encoder.name}"
        if overwrite and encoder.name in dataset.encoders:
            del dataset.encoders[encoder.name]  # First: the manifest must not name what is gone.
            manifest.write_dataset(dataset)
            shutil.rmtree(self._directory / self._folder, ignore_errors=True)
        identity = {"handle": encoder.handle, "size": encoder.size}
        self._journal = Journal(self._directory / self._folder / "embed.jsonl", identity)
        self._known: dict[str, np.ndarray] = {}

    def run(self, template: str, log: Callable[[str], None]) -> manifest.Dataset:
        """Writes the vectors, and returns the data set with the encoder in it."""
        splits = self._dataset.splits
        total = sum(self._dataset.records(split) for split in splits)
        sums, count = np.zeros(self._encoder.size, np.float64), 0
        what = f"caption vectors of {self._encoder.name}"
        with Progress(what, total, "images", log) as progress:
            done = 0
            for split, number, shard in [
                (name, *numbered) for name in splits for numbered in enumerate(splits[name])
            ]:
                captions = self._captions(shard, template)
                vectors = self._stored(shard, captions)
                if vectors is None:
                    whole = os.path.isabs(shard.path)  # It is used where it lies.
                    path = f"{split}/{number:05d}.tfrecord" if whole else shard.path

                    def encoded(share: float, done=done, records=shard.records) -> None:
                        progress.reach(done + int(share * records))

                    vectors = self._write(shard, captions, path, encoded)
                if split == "train":
                    sums += sum(rows.astype(np.float64).sum(axis=0) for rows in vectors)
                    count += sum(np.any(rows, axis=1).sum() for rows in vectors)
                done += shard.records
                progress.reach(done)
        if self._dataset.class_names:
            self._write_classes(template)
        return self._enter(template, sums / max(count, 1))

    def _stored(self, shard: Shard, captions: list[list[str]]) -> list[np.ndarray] | None:
        """Returns the vectors of a shard that an earlier run finished."""
        entry = self._journal.entries.get(shard.path)
        if entry is None or not (self._directory / entry["shard"]["path"]).is_file():
            return None
        content = read_records(self._directory, Shard(**entry["shard"]))
        vectors = [np.frombuffer(row, "<f2").reshape(-1, self._encoder.size) for row in content]
        for texts, rows in zip(captions, vectors, strict=True):
            self._remember({text: row for text, row in zip(texts, rows, strict=True) if row.any()})
        return vectors

    def _captions(self, shard: Shard, template: str) -> list[list[str]]:
        """Returns the captions of each record of a shard, else those that its class name gives."""
        captions, names, kinds = [], self._dataset.class_names or (), self._dataset.features
        for record in read_records(self._directory, shard):
            features = tf.train.Example.FromString(record).features.feature
            stored = features[kinds.captions].bytes_list.value if kinds.captions in features else ()
            texts = [text.decode("utf-8", "replace") for text in stored]
            if not texts and kinds != records.DEFAULT_FEATURES and kinds.label in features:
                labels = features[kinds.label].int64_list.value[:1]
                texts = [
                    templates.class_caption(template, names[i])
                    for i in labels
                    if 0 <= i < len(names)
                ]
            captions.append(texts)
        return captions

    def _write(
        self,
        shard: Shard,
        captions: list[list[str]],
        path: str,
        encoded: Callable[[float], None],
    ) -> list[np.ndarray]:
        """Encodes what is new in a shard and writes its vectors under a path."""
        texts = {text for of_image in captions for text in of_image}
        found = self._encode(texts, encoded)
        writer = ShardWriter(self._directory, f"{self._folder}/{path}")
        vectors, rejected = [], collections.Counter()
        for of_image in captions:
            rows = np.array([found[text] for text in of_image], "<f2")
            rows = rows.reshape(-1, self._encoder.size)
            finite = np.isfinite(rows).all(axis=1)
            rejected["embedding_not_finite"] += int(np.sum(~finite))
            rejected["embedding_zero"] += int(np.sum(~rows.any(axis=1)))
            rows[~finite] = 0
            writer.write(rows.tobytes())
            vectors.append(rows)
        written = dataclasses.asdict(writer.close())
        self._journal.add(shard.path, {"shard": written, "rejected": +rejected})
        return vectors

    def _remember(self, vectors: dict[str, np.ndarray]) -> None:
        if len(self._known) < _REMEMBERED:
            self._known |= vectors

    def _encode(
        self, captions: set[str], encoded: Callable[[float], None] = lambda share: None
    ) -> dict[str, np.ndarray]:
        """Returns float16 unit rows; zeros and what is not finite stay so.

        Args:
            captions: What to encode.
            encoded: Receives now and then the share of them that is done.
        """
        rows = {text: self._known[text] for text in captions if text in self._known}
        fresh = sorted(captions - rows.keys(), key=lambda text: (len(text), text))
        for start in range(0, len(fresh), _CHUNK):
            chunk = fresh[start : start + _CHUNK]
            vectors = np.asarray(self._encoder(chunk), np.float32)
            if vectors.shape != (len(chunk), self._encoder.size):
                raise InputError(
                    f"text encoder: expected vectors [{len(chunk)}, {self._encoder.size}], "
                    f"received {list(vectors.shape)} from {self._encoder.handle}"
                )
            rows |= zip(chunk, unit_rows(vectors).astype("<f2"), strict=True)
            encoded(len(rows) / len(captions))
        self._remember(rows)
        return rows

    def _write_classes(self, template: str) -> None:
        """Writes the class names' vectors, `classes.npy`."""
        names = self._dataset.class_names
        captions = [templates.class_caption(template, name) for name in names]
        rows = self._encode(set(captions))
        table = np.nan_to_num(np.array([rows[text] for text in captions], np.float32))
        buffer = io.BytesIO()
        np.save(buffer, unit_rows(table))  # Again, since float16 rounded them.
        path = self._directory / self._folder / "classes.npy"
        files.write_atomic(path, buffer.getvalue())

    def _enter(self, template: str, mean: np.ndarray) -> manifest.Dataset:
        """Returns the data set with this encoder."""
        name = self._encoder.name
        entries = self._journal.entries
        rejected = collections.Counter()
        for entry in entries.values():
            rejected.update({f"{reason}:{name}": n for reason, n in entry["rejected"].items()})
        of_others = {
            reason: count
            for reason, count in self._dataset.rejected.items()
            if not reason.endswith(f":{name}")
        }
        encoder = manifest.CaptionVectors(
            name=name,
            handle=self._encoder.handle,
            size=self._encoder.size,
            template=template if self._dataset.class_names else None,
            mean=_floats(mean),
            probe=_floats(np.nan_to_num(self._encode({PROBE})[PROBE])),
            shards={
                split: tuple(Shard(**entries[shard.path]["shard"]) for shard in shards)
                for split, shards in self._dataset.splits.items()
            },
        )
        return dataclasses.replace(
            self._dataset,
            encoders=self._dataset.encoders | {name: encoder},
            rejected=of_others | dict(rejected),
        )


def _floats(vector: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in vector.astype(np.float32))
