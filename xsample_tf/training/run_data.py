"""The data of a run: prepared, opened, its length in steps, and the graph that is built from it."""

import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from xsample_tf import data, graphs, text
from xsample_tf.data.manifest import CaptionVectors, read_manifest
from xsample_tf.errors import InputError
from xsample_tf.graphs.base import Side, feature_names
from xsample_tf.registry import own_values
from xsample_tf.templates import CLASS_TEMPLATE
from xsample_tf.training.options import Options
from xsample_tf.training.stream import caption_vectors, class_weights, side_information, subset_of

# Of what a run prepares itself: small data, whose figures need some hundreds of images.
_VALIDATION_FRACTION = 0.2


def prepare_data(options: Options, log: Callable[[str], None]) -> None:
    """Prepares the data where a source is given and the data is not there yet."""
    if not options.data_dir:
        return
    first = options.data_dir[0]
    # A preparation that was killed may have left images without captions' vectors.
    there = tf.io.gfile.exists(os.path.join(first, "dataset.json"))
    if options.source and not (there and data.read_dataset(first).encoders):
        log(f"preparing {first} from {options.source}")
        data.prepare(
            options.source,
            first,
            encoders=[text.load_encoder(options.text_encoder)],
            options=data.SourceOptions(validation_fraction=_VALIDATION_FRACTION),
            log=log,
        )


def open_dataset(options: Options) -> data.Dataset:
    """The data; one that stands for all directories."""
    if not options.data_dir:
        raise InputError("data_dir: expected a directory that tools/prepare_data.py wrote")
    first = options.data_dir[0]
    dataset = data.read_dataset(first)
    if not dataset.splits.get("val"):
        raise InputError(
            f"data_dir: expected images in val/ of {first} to evaluate on, received none; prepare "
            "it with a larger --validation_fraction, or with --validation_source"
        )
    return dataset


def describe_data(options: Options) -> str:
    """Where the images are and how many, and what several directories do not share."""
    sets = [read_manifest(directory) for directory in options.data_dir]
    images = sum(dataset.records("train") for dataset in sets)
    line = f"data: {', '.join(options.data_dir)}, {images} images"
    if subset_of(options) is not None:
        line += f" of which {count_images(options)} are trained on"
    if len(sets) == 1:
        return line
    line += f", evaluated on {options.data_dir[0]}"
    if not options.encode_captions and all(dataset.encoders for dataset in sets):
        handles = [dataset.encoder(options.embedding or None).handle for dataset in sets]
        if len(set(handles)) > 1:
            line += f" (warning: caption vectors are from {', '.join(handles)})"
    return line


def count_images(options: Options) -> int:
    """Returns the number of images that are trained on."""
    return data.steps_per_epoch(options.data_dir, "train", 1, subset_of(options))


def steps_per_epoch(options: Options) -> int:
    """Returns the steps of an epoch.

    Raises:
        InputError: The images that are trained on are fewer than a batch.
    """
    return data.steps_per_epoch(options.data_dir, "train", options.batch_size, subset_of(options))


def read_records_once(options: Options, log: Callable[[str], None]) -> None:
    """Reads keys and labels of all records where the run needs them, and says what it made of them.

    What is read is kept, so that all else finds it.

    Raises:
        InputError: There are no labels, or the list of images does not fit the data.
    """
    subset = subset_of(options)
    if not options.class_balance and not (subset and subset.needs_index):
        return
    data.read_labels(options.data_dir, "train", log=log)
    if options.class_balance:
        weights = class_weights(options)
        log(
            f"class_balance: images weigh {weights.min():.3g} to {weights.max():.3g}, by the "
            "number of images of their class"
        )


class RunData:
    """What a graph may ask of a run: a `graphs.GraphData`, which describes its methods.

    Args:
        options: The settings of the run.
        dataset: What its data directory says.
    """

    def __init__(self, options: Options, dataset: data.Dataset):
        self._options, self._dataset = options, dataset
        self.seed, self.batch_size = options.seed, options.batch_size
        self.views, self.exclude_self = options.views, options.exclude_self
        self.sides = 2 if options.text_tower else 1

    def center(self, features: str = "embedding") -> np.ndarray | None:
        """Returns the mean vector `[T]` where the run centres them, else None."""
        if not self._options.center:
            return None
        return np.asarray(self._stored(features).mean)

    def class_vectors(self) -> np.ndarray:
        """Returns the caption vector of each class, `[C, T]`; see `graphs.GraphData`."""
        self.check_labels()
        if not self._options.encode_captions:
            return self._dataset.class_embeddings(self._stored("embedding").name)
        captions = text.fill_template(CLASS_TEMPLATE, self._dataset.class_names)
        return caption_vectors(self._options)(captions)

    def class_names(self) -> tuple[str, ...]:
        """Returns the names of the classes in the order of their labels."""
        self.check_labels()
        return self._dataset.class_names

    def graph(self, name: str, **own: object) -> graphs.SimilarityGraph:
        """Returns another graph for the same data, with these options of its own."""
        entry = graphs.GRAPHS[name]
        self.check_features(entry.make.features)
        return entry.make.from_data(self, **own_values(entry, own))

    def side_information(self, features: str | tuple[str, ...], images: int) -> Side:
        """Returns what a graph with these features sees of the stream's first images."""
        return side_information(self._options, features, images)

    def target_temperature(self, graph: graphs.SimilarityGraph) -> float:
        """Returns the run's target temperature, the graph's own where the run names none."""
        given, mass = self._options.parse_target_temperature()
        if mass is not None:
            raise InputError(
                f"target_temperature: expected a number or 'graph' with graph "
                f"{self._options.graph!r}, which is made for one, received "
                f"{self._options.target_temperature!r}"
            )
        return graph.target_temperature if given is None else given

    def check_features(self, features: str | tuple[str, ...]) -> None:
        """Raises `InputError` where the data lacks labels or vectors that a graph needs."""
        names = feature_names(features)
        if "label" in names:
            self.check_labels()
        if "embedding" in names and not self._options.encode_captions:
            self._stored("embedding")
        if "image_embedding" in names:
            self._stored("image_embedding")

    def check_labels(self) -> None:
        """Raises `InputError` where the data has no labels."""
        if self._dataset.class_names is None:
            raise InputError(
                f"graph: {self._options.graph!r} needs labels, and {self._dataset.directory} has "
                "none; prepare the data with --label_column, or use --objective=xclr "
                "--graph=cosine"
            )

    def _stored(self, features: str) -> CaptionVectors:
        if features == "image_embedding":
            return self._dataset.image_encoder(self._options.image_embedding or None)
        return self._dataset.encoder(self._options.embedding or None)


def make_graph(options: Options, dataset: data.Dataset) -> graphs.SimilarityGraph:
    """Builds the similarity graph that the options name, or the blend of several, for this data.

    Raises:
        InputError: The data has no caption vectors, or no labels, where the graph needs them.
    """
    return RunData(options, dataset).graph(options.graph, **options.own)


def total_steps_of(options: Options, steps_per_epoch: int) -> int:
    """Returns the run's length in steps.

    Raises:
        InputError: Neither epochs nor steps are given.
    """
    if options.steps is None and options.epochs is None:
        raise InputError("expected the length of the run: give epochs or steps")
    return options.steps if options.steps is not None else options.epochs * steps_per_epoch


def check_batch(options: Options, replicas: int) -> None:
    """Raises `InputError` where the replicas cannot share the batch."""
    if options.batch_size % replicas:
        raise InputError(
            f"batch_size: expected a multiple of the {replicas} replicas, received "
            f"{options.batch_size}"
        )


def check_microbatches(options: Options, replicas: int) -> None:
    """Raises `InputError` unless microbatches divide the replica's share of the batch."""
    share = options.batch_size // replicas
    if options.microbatch_size and share % options.microbatch_size:
        raise InputError(
            f"microbatch_size: expected a divisor of the {share} images of each of {replicas} "
            f"replica{'s' if replicas > 1 else ''}, received {options.microbatch_size}"
        )
