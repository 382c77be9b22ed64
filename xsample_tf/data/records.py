"""The data directory: the schema of a record and `dataset.json`, which describes the shards.

Reading takes whatever TensorFlow reads, local paths and `gs://`.

DIR/dataset.json
DIR/train/00000.tfrecord                        tf.train.Example: image, key, captions?, label?
DIR/val/00000.tfrecord
DIR/embeddings/ENCODER/train/00000.tfrecord     raw little-endian float16 [K, T] per record
DIR/embeddings/ENCODER/classes.npy              float32 [C, T], unit rows, where names are known
"""

import dataclasses
from collections.abc import Mapping, Sequence

import tensorflow as tf

from xsample_tf.data.feature_columns import FeatureColumn


@dataclasses.dataclass(frozen=True)
class FeatureNames:
    """What a record calls its image, key, captions and label; empty where it has none."""

    image: str = "image"
    key: str = "key"
    captions: str = "captions"
    label: str = "label"


DEFAULT_FEATURES = FeatureNames()


def serialize(
    image: bytes,
    key: str,
    captions: Sequence[str] = (),
    label: int | None = None,
    numbers: Mapping[str, Sequence[int] | Sequence[float]] | None = None,
) -> bytes:
    """Returns one record, a serialized `tf.train.Example`.

    Args:
        image: JPEG or PNG bytes.
        key: Name of the image, unique in the data directory.
        captions: 0..K captions.
        label: Index into the class names, or None where there is none.
        numbers: Values of feature columns by stored name, all ints or all floats.
    """
    features = {"image": _bytes_feature([image]), "key": _bytes_feature([key.encode()])}
    if captions:
        features["captions"] = _bytes_feature([caption.encode() for caption in captions])
    if label is not None:
        features["label"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[label]))
    for name, values in (numbers or {}).items():
        if isinstance(values[0], int):
            features[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        else:
            features[name] = tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(
        deterministic=True
    )


def parse(
    serialized: tf.Tensor,
    features: FeatureNames = DEFAULT_FEATURES,
    columns: Sequence[FeatureColumn] = (),
) -> dict[str, tf.Tensor]:
    """Parses one record (a string scalar) or a batch of them (`[N]`), in graph mode too.

    Args:
        serialized: The records.
        features: What they call their parts.
        columns: Feature columns that they have.

    Returns:
        "image" and "key", strings (empty where absent, but that records of other programs get a key
        of their image's bytes); "label", int64 (-1 where absent); "captions", strings `[K]`, for a
        batch a `RaggedTensor` `[N, (K)]`; and the feature columns under their
        stored names.
    """
    kinds = {
        "image": tf.io.FixedLenFeature([], tf.string, default_value=""),
        "key": tf.io.FixedLenFeature([], tf.string, default_value=""),
        "label": tf.io.FixedLenFeature([], tf.int64, default_value=-1),
        "captions": tf.io.RaggedFeature(tf.string, row_splits_dtype=tf.int64),
    }
    names = {part: getattr(features, part) or f"(no {part})" for part in kinds}
    kinds = {names[part]: kinds[part] for part in kinds}
    kinds |= {column.stored_name: column.parser() for column in columns}
    parsed = tf.io.parse_example(serialized, kinds)
    parts = {part: parsed[name] for part, name in names.items()}
    parts |= {column.stored_name: parsed[column.stored_name] for column in columns}
    if features != DEFAULT_FEATURES:
        of_image = tf.strings.to_hash_bucket_fast(parts["image"], tf.int64.max)
        keyless = tf.equal(parts["key"], "")
        parts["key"] = tf.where(keyless, tf.strings.as_string(of_image), parts["key"])
    return parts


def key_of(serialized: bytes) -> str:
    """Returns the key of one of our records."""
    features = tf.train.Example.FromString(serialized).features.feature
    return features["key"].bytes_list.value[0].decode()


def _bytes_feature(values: list[bytes]) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
