"""The data directory: the schema of a record and `dataset.json`, which describes the shards.

Reading takes whatever TensorFlow reads, local paths and `gs://`.

DIR/dataset.json
DIR/train/00000.tfrecord                        tf.train.Example: image, key, captions?, label?
DIR/val/00000.tfrecord
DIR/embeddings/ENCODER/train/00000.tfrecord     raw little-endian float16 [K, T] per record
DIR/embeddings/ENCODER/classes.npy              float32 [C, T], unit rows, where names are known
"""

import dataclasses
import io
import json
import os
import pathlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from xsample_tf.errors import InputError, suggest

MANIFEST = "dataset.json"
FORMAT = 1
_STATS = 32  # Files that are looked at at once: on gs:// each look takes its time.
_PREPARE = "python tools/prepare_data.py --source=KIND:WHERE --output=DIR --text_encoder=HANDLE"


@dataclasses.dataclass(frozen=True)
class Features:
    """What a record calls its image, key, captions and label; empty where it has none."""

    image: str = "image"
    key: str = "key"
    captions: str = "captions"
    label: str = "label"


OWN = Features()


@dataclasses.dataclass(frozen=True)
class Shard:
    """One TFRecord file and what it must contain.

    `path` is relative to the data directory, or whole where the file is used where it lies.
    """

    path: str
    records: int
    bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Encoder:
    """One text encoder's caption vectors of a data directory.

    Attributes:
        name: Folder under `embeddings/`.
        handle: What `--text_encoder` was given.
        size: T, the length of a vector.
        template: What turned class names into captions, or None where captions were the source's.
        mean: Mean of all training vectors, `[T]`, for `CosineGraph(center=...)`.
        shards: The files of vectors by split, record for record beside the image shards.
        probe: Vector of a caption that is always the same, `[T]`; empty in older directories.
    """

    name: str
    handle: str
    size: int
    template: str | None
    mean: tuple[float, ...]
    shards: dict[str, tuple[Shard, ...]] = dataclasses.field(default_factory=dict)
    probe: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True)
class Dataset:
    """What `dataset.json` says of a data directory.

    Attributes:
        directory: The data directory.
        splits: Image shards by split, "train" and "val".
        class_names: C names, where labels are known.
        captions_per_image: Largest number of captions of one image, 0 when there are none.
        encoders: Caption vectors by encoder name.
        rejected: How much of the source was left out or mended, by reason.
        source: Where the records came from, as `--source` had it.
        features: What the records call their parts; other names where another program wrote them.
    """

    directory: str
    splits: dict[str, tuple[Shard, ...]]
    class_names: tuple[str, ...] | None
    captions_per_image: int
    encoders: dict[str, Encoder]
    rejected: dict[str, int]
    source: str
    features: Features = OWN

    def records(self, split: str) -> int:
        """Returns the number of records of `split`; raises `InputError` for an unknown split."""
        if split not in self.splits:
            raise InputError(
                f"split: expected a split of {self.directory}, received {split!r}; "
                + suggest(split, self.splits)
            )
        return sum(shard.records for shard in self.splits[split])

    def encoder(self, name: str | None) -> Encoder:
        """Returns the encoder called `name`, or with None the only one.

        Raises:
            InputError: there is none, none of that name, or several and no name.
        """
        if not self.encoders:
            raise InputError(
                f"embedding: {self.directory} has no caption vectors; add them with "
                "tools/prepare_data.py --embeddings_only --text_encoder=HANDLE, or train with "
                "--encode_captions=HANDLE"
            )
        if name is None:
            if len(self.encoders) > 1:
                raise InputError(
                    f"embedding: {self.directory} has several encoders' caption vectors; "
                    f"name one of {', '.join(sorted(self.encoders))}"
                )
            return next(iter(self.encoders.values()))
        if name not in self.encoders:
            raise InputError(
                f"embedding: no caption vectors {name!r} in {self.directory}; "
                + suggest(name, self.encoders)
            )
        return self.encoders[name]

    def class_embeddings(self, encoder_name: str | None = None) -> np.ndarray:
        """Returns the class names' vectors, float32 `[C, T]` of unit rows.

        Raises:
            InputError: no class names, no such encoder, or the file does not fit the manifest.
        """
        encoder = self.encoder(encoder_name)
        if not self.class_names:
            raise InputError(f"class vectors: {self.directory} has no class names")
        path = os.path.join(self.directory, "embeddings", encoder.name, "classes.npy")
        try:
            table = np.load(io.BytesIO(read_file(path)), allow_pickle=False)
        except (OSError, EOFError, ValueError) as error:
            raise InputError(f"class vectors: cannot read {path} ({error})") from error
        expected = (len(self.class_names), encoder.size)
        if table.shape != expected:
            raise InputError(
                f"class vectors: expected {expected}, received {table.shape} in {path}"
            )
        return table.astype(np.float32)


def read_dataset(directory: str | os.PathLike) -> Dataset:
    """Reads `dataset.json` and checks that every shard is there, of the size it should have.

    Args:
        directory: A data directory as `prepare` writes it.

    Raises:
        InputError: no `dataset.json`, a malformed one, or a shard that is missing or cut short.

    Example:
        >>> read_dataset("data/flickr8k").records("train")
        6000
    """
    dataset = read_manifest(directory)
    shards = [
        shard
        for splits in (dataset.splits, *(encoder.shards for encoder in dataset.encoders.values()))
        for split in splits.values()
        for shard in split
    ]
    with ThreadPoolExecutor(_STATS) as pool:
        for _ in pool.map(lambda shard: _check_size(dataset.directory, shard), shards):
            pass
    return dataset


def read_manifest(directory: str | os.PathLike) -> Dataset:
    """Reads `dataset.json` without a look at the files that it names.

    Raises:
        InputError: no `dataset.json`, or a malformed one.
    """
    path = os.path.join(directory, MANIFEST)
    try:
        content = json.loads(read_file(path))
    except FileNotFoundError as error:
        raise InputError(
            f"data directory: no {MANIFEST} in {directory}; prepare it with: {_PREPARE}"
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(f"data directory: cannot read {path} ({error})") from error
    try:
        dataset = _from_json(str(directory), content)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"data directory: {path} is not what prepare_data writes ({error!r}); prepare it again"
        ) from error
    return dataset


def read_file(path: str) -> bytes:
    """Returns the bytes of a local file or of one on `gs://`.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: It cannot be read.
    """
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            return file.read()
    except tf.errors.OpError as error:
        message = " ".join(error.message.split())
        absent = isinstance(error, tf.errors.NotFoundError) or "Not a directory" in message
        raise (FileNotFoundError if absent else OSError)(message) from error


def write_dataset(dataset: Dataset) -> None:
    """Writes `dataset.json` of `dataset.directory`, in one piece or not at all."""
    content = {"format": FORMAT} | dataclasses.asdict(dataset)
    del content["directory"]
    if dataset.features == OWN:
        del content["features"]
    text = json.dumps(content, indent=1, ensure_ascii=False)
    write_atomic(pathlib.Path(dataset.directory, MANIFEST), (text + "\n").encode())


def write_atomic(path: pathlib.Path, content: bytes) -> None:
    """Writes `content` to `path` so that a kill leaves either the old file or the new one."""
    aside = path.with_name(path.name + ".tmp")
    with open(aside, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)


def serialize(
    image: bytes, key: str, captions: Sequence[str] = (), label: int | None = None
) -> bytes:
    """Returns one record, a serialized `tf.train.Example`.

    Args:
        image: JPEG or PNG bytes.
        key: Name of the image, unique in the data directory.
        captions: 0..K captions.
        label: Index into the class names, or None where there is none.
    """
    features = {"image": _bytes_feature([image]), "key": _bytes_feature([key.encode()])}
    if captions:
        features["captions"] = _bytes_feature([caption.encode() for caption in captions])
    if label is not None:
        features["label"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[label]))
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(
        deterministic=True
    )


def parse(serialized: tf.Tensor, features: Features = OWN) -> dict[str, tf.Tensor]:
    """Parses one record (a string scalar) or a batch of them (`[N]`), in graph mode too.

    Args:
        serialized: The records.
        features: What they call their parts.

    Returns:
        "image" and "key", strings (empty where absent, but that records of other programs get a key
        of their image's bytes); "label", int64 (-1 where absent); "captions", strings `[K]`, for a
        batch a `RaggedTensor` `[N, (K)]`.
    """
    kinds = {
        "image": tf.io.FixedLenFeature([], tf.string, default_value=""),
        "key": tf.io.FixedLenFeature([], tf.string, default_value=""),
        "label": tf.io.FixedLenFeature([], tf.int64, default_value=-1),
        "captions": tf.io.RaggedFeature(tf.string, row_splits_dtype=tf.int64),
    }
    names = {part: getattr(features, part) or f"(no {part})" for part in kinds}
    parsed = tf.io.parse_example(serialized, {names[part]: kinds[part] for part in kinds})
    parts = {part: parsed[name] for part, name in names.items()}
    if features != OWN:
        of_image = tf.strings.to_hash_bucket_fast(parts["image"], tf.int64.max)
        keyless = tf.equal(parts["key"], "")
        parts["key"] = tf.where(keyless, tf.strings.as_string(of_image), parts["key"])
    return parts


def _bytes_feature(values: list[bytes]) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def _check_size(directory: str, shard: Shard) -> None:
    path = os.path.join(directory, shard.path)
    try:
        received = f"{tf.io.gfile.stat(path).length:,}"
    except tf.errors.NotFoundError:
        received = "no file"
    except tf.errors.OpError as error:
        received = " ".join(error.message.split())
    if received != f"{shard.bytes:,}":
        raise InputError(
            f"data directory: {MANIFEST} expects {shard.bytes:,} bytes, received {received} at "
            f"{path}; restore that file, or prepare the directory again with --overwrite"
        )


def _from_json(directory: str, content: dict) -> Dataset:
    if content["format"] != FORMAT:
        raise ValueError(f"format {content['format']}, this version reads {FORMAT}")
    names = content["class_names"]
    return Dataset(
        directory=directory,
        splits=_shards(content["splits"]),
        class_names=None if names is None else tuple(names),
        captions_per_image=int(content["captions_per_image"]),
        encoders={
            name: Encoder(
                **entry
                | {"mean": tuple(entry["mean"]), "shards": _shards(entry["shards"])}
                | {"probe": tuple(entry.get("probe", ()))}
            )
            for name, entry in content["encoders"].items()
        },
        rejected=dict(content["rejected"]),
        source=str(content["source"]),
        features=Features(**content.get("features", {})),
    )


def _shards(splits: dict) -> dict[str, tuple[Shard, ...]]:
    return {split: tuple(Shard(**entry) for entry in entries) for split, entries in splits.items()}
