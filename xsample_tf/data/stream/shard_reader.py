"""The shards of a split, opened for reading: which files there are, and whether they fit."""

import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from xsample_tf.data import manifest, records
from xsample_tf.data.feature_columns import FeatureColumn
from xsample_tf.data.shards import Shard
from xsample_tf.errors import InputError

Directories = str | os.PathLike | Sequence[str | os.PathLike]


@dataclasses.dataclass(frozen=True, eq=False)
class Parts:
    """Where the parts of a subset lie, P of them.

    Attributes:
        shard: int64 `[P]`, the shard of each.
        begin: int64 `[P]`, the first record of each in its shard.
        image_bytes: int64 `[P, 2]` where each part is one record: the bytes before it in its file,
            and its own; else None.
        vector_bytes: The same of its caption vectors; None without these too.
    """

    shard: np.ndarray
    begin: np.ndarray
    image_bytes: np.ndarray | None = None
    vector_bytes: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Shards:
    """The shards of a split, over one or several data directories.

    Attributes:
        where: Split and directories, for messages.
        images: Paths of the image shards.
        vectors: Paths of the caption vectors beside them, empty without vectors.
        counts: Records in each; of a subset, in each of its parts.
        size: T, the length of a caption vector, or 0 without vectors.
        classes: C, the number of class names, or 0 without.
        features: What the records call their parts.
        columns: Feature columns that the records of all directories have.
        image_vectors: Paths of the image vectors beside the images, empty where none are wanted.
        image_vector_size: D, the length of an image vector, or 0 without.
        parts: Where the parts of a subset lie; None where the shards themselves are the parts.
    """

    where: str
    images: tuple[str, ...]
    vectors: tuple[str, ...]
    counts: tuple[int, ...]
    size: int
    classes: int
    features: records.FeatureNames
    columns: tuple[FeatureColumn, ...] = ()
    image_vectors: tuple[str, ...] = ()
    image_vector_size: int = 0
    parts: Parts | None = None

    @property
    def total(self) -> int:
        """Records of all shards."""
        return sum(self.counts)

    def steps(self, batch_size: int) -> int:
        """Full batches in an epoch; raises `InputError` where there is none."""
        if not 1 <= batch_size <= self.total:
            raise InputError(
                f"batch_size: expected 1 to {self.total:,}, the images of {self.where}, "
                f"received {batch_size:,}"
            )
        return self.total // batch_size


def open_shards(
    directories: Directories,
    split: str,
    embedding: str | None,
    vectors: bool = True,
    image_embedding: str | None = None,
) -> Shards:
    """Reads the manifests, checks the files against them and lines the shards up.

    Args:
        directories: What `prepare` wrote, or several of them.
        split: "train" or "val".
        embedding: Name of the text encoder; None for the only one, if there is any.
        vectors: Whether caption vectors are wanted at all.
        image_embedding: Name of the encoder whose image vectors are wanted, "" for the only one;
            None for none.

    Raises:
        InputError: nothing there, files that do not fit `dataset.json`, an unknown split or
            embedding, or directories whose records or vectors do not go together.
    """
    if isinstance(directories, str | os.PathLike):
        directories = [directories]
    datasets = [manifest.read_dataset(directory) for directory in directories]
    if not datasets:
        raise InputError("data_dir: expected a data directory, received none")
    where = f"{split} in {', '.join(dataset.directory for dataset in datasets)}"
    if sum(dataset.records(split) for dataset in datasets) == 0:
        raise InputError(f"data_dir: expected images, received none of {where}")
    _require_same_features(datasets, where)
    encoders = _choose_encoders(datasets, embedding) if vectors else []
    image_encoders = []
    if image_embedding is not None:
        image_encoders = [dataset.image_encoder(image_embedding or None) for dataset in datasets]
    for of_kind in filter(None, (encoders, image_encoders)):
        _require_same_encoder(of_kind)
        _require_aligned(datasets, of_kind, split)
    image_shards = [dataset.splits[split] for dataset in datasets]
    vector_shards = [encoder.shards[split] for encoder in encoders]
    image_vector_shards = [encoder.shards[split] for encoder in image_encoders]
    return Shards(
        where=where,
        images=_paths(datasets, image_shards),
        vectors=_paths(datasets, vector_shards) if encoders else (),
        counts=tuple(shard.records for shards in image_shards for shard in shards),
        size=encoders[0].size if encoders else 0,
        classes=_class_count(datasets),
        features=datasets[0].features,
        columns=_common_columns(datasets),
        image_vectors=_paths(datasets, image_vector_shards) if image_encoders else (),
        image_vector_size=image_encoders[0].size if image_encoders else 0,
    )


def _require_same_features(datasets: Sequence[manifest.Dataset], where: str) -> None:
    """Raises `InputError` where the directories' records name their parts differently."""
    if len({dataset.features for dataset in datasets}) > 1:
        raise InputError(
            "data_dir: expected records of one kind, received copied ones and ones that are used "
            f"where they lie: {where}; prepare all with --in_place, or none"
        )


def _choose_encoders(
    datasets: Sequence[manifest.Dataset], embedding: str | None
) -> list[manifest.CaptionVectors]:
    """Returns each directory's caption vectors, or none where no directory has any.

    Raises:
        InputError: A directory without them where others have them or they are named, or with
            several where none is named.
    """
    if embedding or any(dataset.encoders for dataset in datasets):
        return [dataset.encoder(embedding) for dataset in datasets]
    return []


def _require_same_encoder(encoders: Sequence[manifest.CaptionVectors]) -> None:
    """Raises `InputError` unless the directories' vectors were made by one text encoder."""
    if len({(encoder.name, encoder.size) for encoder in encoders}) > 1:
        raise InputError(
            "embedding: expected the same text encoder in all directories, received "
            + ", ".join(f"{encoder.name} of size {encoder.size}" for encoder in encoders)
        )
    # Directories that were written before there were probes have none.
    probes = [encoder.probe for encoder in encoders if encoder.probe]
    if not all(np.allclose(probes[0], probe, atol=0.01) for probe in probes):
        raise InputError(
            f"embedding: expected vectors of one text encoder, received several of the name "
            f"{encoders[0].name!r} with other weights, from "
            + ", ".join(dict.fromkeys(encoder.handle for encoder in encoders))
            + "; add one encoder's to all directories with --embeddings_only --overwrite"
        )


def _require_aligned(
    datasets: Sequence[manifest.Dataset], encoders: Sequence[manifest.CaptionVectors], split: str
) -> None:
    """Raises `InputError` unless every image shard has vectors for as many records beside it."""
    for dataset, encoder in zip(datasets, encoders, strict=True):
        vectors = [shard.records for shard in encoder.shards.get(split, ())]
        images = [shard.records for shard in dataset.splits[split]]
        if vectors != images:
            raise InputError(
                f"embedding: expected vectors of {encoder.name} for every record of {split}, "
                f"received others in {dataset.directory}; add them again with --embeddings_only"
            )


def _class_count(datasets: Sequence[manifest.Dataset]) -> int:
    """Returns the number of class names, 0 unless all directories have the same ones."""
    names = datasets[0].class_names
    if names is None or any(dataset.class_names != names for dataset in datasets):
        return 0
    return len(names)


def _common_columns(datasets: Sequence[manifest.Dataset]) -> tuple[FeatureColumn, ...]:
    """Returns the feature columns that the records of all directories have.

    Raises:
        InputError: A column of one name is of another dtype or length in another directory.
    """
    by_name = [{column.name: column for column in dataset.columns} for dataset in datasets]
    common = []
    for name, column in by_name[0].items():
        found = [columns[name] for columns in by_name if name in columns]
        if len(found) < len(datasets):
            continue
        if len(set(found)) > 1:
            pairs = zip(found, datasets, strict=True)
            received = (f"{own.description} in {dataset.directory}" for own, dataset in pairs)
            raise InputError(
                f"feature_columns: expected {name!r} to be alike in all directories, received "
                + ", ".join(received)
                + f"; prepare all with {name}:float, or with vectors of one length"
            )
        common.append(column)
    return tuple(common)


def _paths(
    datasets: Sequence[manifest.Dataset], shards: Sequence[Sequence[Shard]]
) -> tuple[str, ...]:
    """Returns the paths of each directory's shards."""
    return tuple(
        os.path.join(dataset.directory, shard.path)
        for dataset, own in zip(datasets, shards, strict=True)
        for shard in own
    )
