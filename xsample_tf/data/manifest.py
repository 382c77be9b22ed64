"""`dataset.json`: what a data directory contains."""

import dataclasses
import io
import json
import os
import pathlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from xsample_tf.data.feature_columns import FeatureColumn
from xsample_tf.data.records import DEFAULT_FEATURES, FeatureNames
from xsample_tf.data.shards import Shard, check_size
from xsample_tf.errors import InputError, suggest
from xsample_tf.files import read_file, write_atomic

MANIFEST = "dataset.json"
# Folders beside the shards that can be made again.
IMAGE_VECTORS, INDEX = "image_embeddings", "index"


FORMAT = 1


_STATS = 32  # Files that are looked at at once: on gs:// each look takes its time.


_PREPARE = "python tools/prepare_data.py --source=KIND:WHERE --output=DIR --text_encoder=HANDLE"


@dataclasses.dataclass(frozen=True)
class CaptionVectors:
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
        columns: Feature columns of the records.
        image_encoders: Image vectors by the name of the encoder that made them, a record of one
            vector for each image; their fields are those of caption vectors.
        vocabulary: SHA-256 of `vocabulary.txt`, the tokens that were learned from the captions; ""
            where there is none.
        validation_fraction: Share of the images that was given to "val". Defaults to None: the
            source had splits, or the directory is older.
    """

    directory: str
    splits: dict[str, tuple[Shard, ...]]
    class_names: tuple[str, ...] | None
    captions_per_image: int
    encoders: dict[str, CaptionVectors]
    rejected: dict[str, int]
    source: str
    features: FeatureNames = DEFAULT_FEATURES
    columns: tuple[FeatureColumn, ...] = ()
    image_encoders: dict[str, CaptionVectors] = dataclasses.field(default_factory=dict)
    vocabulary: str = ""
    validation_fraction: float | None = None

    def records(self, split: str) -> int:
        """Returns the number of records of `split`; raises `InputError` for an unknown split."""
        if split not in self.splits:
            raise InputError(
                f"split: expected a split of {self.directory}, received {split!r}; "
                + suggest(split, self.splits)
            )
        return sum(shard.records for shard in self.splits[split])

    @property
    def all_vectors(self) -> list[CaptionVectors]:
        """Caption vectors and image vectors, of all encoders."""
        return [*self.encoders.values(), *self.image_encoders.values()]

    def encoder(self, name: str | None) -> CaptionVectors:
        """Returns the encoder called `name`, or with None the only one.

        Raises:
            InputError: there is none, none of that name, or several and no name.
        """
        advice = "--text_encoder=HANDLE, or train with --encode_captions=HANDLE"
        return self._chosen("embedding", "caption", self.encoders, name, advice)

    def image_encoder(self, name: str | None) -> CaptionVectors:
        """Returns the image encoder called `name`, or with None the only one.

        Raises:
            InputError: there is none, none of that name, or several and no name.
        """
        advice = "--image_encoder=SAVED_MODEL"
        return self._chosen("image_embedding", "image", self.image_encoders, name, advice)

    def _chosen(
        self,
        setting: str,
        kind: str,
        encoders: dict[str, CaptionVectors],
        name: str | None,
        advice: str,
    ) -> CaptionVectors:
        """Returns the vectors of a name, or with None the only ones."""
        if not encoders:
            raise InputError(
                f"{setting}: {self.directory} has no {kind} vectors; add them with "
                f"tools/prepare_data.py --embeddings_only {advice}"
            )
        if name is None:
            if len(encoders) > 1:
                raise InputError(
                    f"{setting}: {self.directory} has several encoders' {kind} vectors; "
                    f"name one of {', '.join(sorted(encoders))}"
                )
            return next(iter(encoders.values()))
        if name not in encoders:
            raise InputError(
                f"{setting}: no {kind} vectors {name!r} in {self.directory}; "
                + suggest(name, encoders)
            )
        return encoders[name]

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
        for splits in (dataset.splits, *(encoder.shards for encoder in dataset.all_vectors))
        for split in splits.values()
        for shard in split
    ]
    with ThreadPoolExecutor(_STATS) as pool:
        for _ in pool.map(lambda shard: check_size(dataset.directory, shard), shards):
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


def write_dataset(dataset: Dataset) -> None:
    """Writes `dataset.json` of `dataset.directory`, in one piece or not at all."""
    content = {"format": FORMAT} | dataclasses.asdict(dataset)
    del content["directory"]
    if dataset.features == DEFAULT_FEATURES:
        del content["features"]
    for name in ("columns", "vocabulary", "image_encoders"):
        if not content[name]:
            del content[name]
    if dataset.validation_fraction is None:
        del content["validation_fraction"]
    text = json.dumps(content, indent=1, ensure_ascii=False)
    write_atomic(pathlib.Path(dataset.directory, MANIFEST), (text + "\n").encode())


def _from_json(directory: str, content: dict) -> Dataset:
    if content["format"] != FORMAT:
        raise ValueError(f"format {content['format']}, this version reads {FORMAT}")
    names = content["class_names"]
    return Dataset(
        directory=directory,
        splits=_shards(content["splits"]),
        class_names=None if names is None else tuple(names),
        captions_per_image=int(content["captions_per_image"]),
        encoders=_encoders(content["encoders"]),
        rejected=dict(content["rejected"]),
        source=str(content["source"]),
        features=FeatureNames(**content.get("features", {})),
        columns=tuple(FeatureColumn(**entry) for entry in content.get("columns", ())),
        image_encoders=_encoders(content.get("image_encoders", {})),
        vocabulary=str(content.get("vocabulary", "")),
        validation_fraction=content.get("validation_fraction"),
    )


def _encoders(content: dict) -> dict[str, CaptionVectors]:
    return {
        name: CaptionVectors(
            **entry
            | {"mean": tuple(entry["mean"]), "shards": _shards(entry["shards"])}
            | {"probe": tuple(entry.get("probe", ()))}
        )
        for name, entry in content.items()
    }


def _shards(splits: dict) -> dict[str, tuple[Shard, ...]]:
    return {split: tuple(Shard(**entry) for entry in entries) for split, entries in splits.items()}
