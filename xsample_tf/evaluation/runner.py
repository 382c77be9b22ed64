"""What a task asks of an evaluation: features, heads and measures of one encoder."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from xsample_tf.data.manifest import Dataset
from xsample_tf.data.text_encoder import TextEncoder
from xsample_tf.errors import InputError
from xsample_tf.evaluation.candidates import TextEmbedder
from xsample_tf.evaluation.caption_map import CaptionMap
from xsample_tf.evaluation.features import Embed, Extractor, Features
from xsample_tf.evaluation.measures.base import Measure
from xsample_tf.evaluation.probes.logistic_regression import LinearProbe
from xsample_tf.evaluation.results import Outcome, Score, checked
from xsample_tf.evaluation.settings import Settings
from xsample_tf.evaluation.splits import Queries, Split, Splits
from xsample_tf.progress import Progress

# What is left out for want of something, and why.
_LEFT_OUT = {
    "train": ("measures that are fitted", "no training split of 2 images or more"),
    "labels": ("probes", "fewer than 2 labelled images in a split"),
    "captions": (
        "measures of captions",
        "fewer than 2 images with a caption vector in a split",
    ),
}


class Runner:
    """An evaluation as a task sees it, for one encoder.

    Args:
        encoder: Its name, "trained", the baseline's or a checkpoint's.
        extractor: Of all encoders.
        project: From embeddings `[N, D]` to what training compared, `[N, P]`; None where that is
            not at hand.
        measures: Those to run, by name, in the order of reports.
        text_embedder: What embeds texts beside it; None without one.
    """

    def __init__(
        self,
        encoder: str,
        extractor: Extractor,
        project: Callable[[np.ndarray], np.ndarray] | None,
        measures: Mapping[str, Measure],
        text_embedder: TextEmbedder | None = None,
    ):
        self.encoder = encoder
        self._extractor, self._project, self._measures = extractor, project, measures
        self._text_embedder = text_embedder
        self._made: dict[str, Any] = {}

    @property
    def settings(self) -> Settings:
        """The settings of the evaluation: seed, batch size, log and so on."""
        return self._extractor.settings

    @property
    def image_size(self) -> int:
        """Side S of the images that the encoder takes, in pixels."""
        return self._extractor.image_size

    @property
    def dataset(self) -> Dataset:
        """The data directory; without one, `InputError`."""
        return self._extractor.dataset

    @property
    def captions(self) -> str | TextEncoder | None:
        """The text encoder of the data directory's caption vectors, or its name; None without."""
        return self._extractor.captions

    @property
    def embedder(self) -> Embed:
        """The encoder: images float32 `[B, S, S, 3]` in [0, 1] to embeddings `[B, D]`."""
        embed = self._extractor.embedders[self.encoder]

        def embeddings(images: tf.Tensor) -> np.ndarray:
            found = embed(images)  # Of two towers also the images among texts.
            return np.asarray(found[0] if isinstance(found, tuple) else found, np.float32)

        return embeddings

    def encode_captions(self, captions: Sequence[str]) -> np.ndarray:
        """Returns vectors float32 `[K, T]` of captions, as those of the data directory are.

        Raises:
            InputError: There are none, or their text encoder cannot be loaded.
        """
        return np.asarray(self._extractor.text_encoder(list(captions)), np.float32)

    @property
    def embed_texts(self) -> Callable[[Sequence[str]], np.ndarray] | None:
        """What embeds strings to float32 `[K, P]`, where the images of `Split.among_texts` are.

        None for an encoder of images alone, as an untrained one beside a text tower is.
        """
        tower = self._text_embedder
        if tower is None:
            return None

        def embed(texts: Sequence[str]) -> np.ndarray:
            content = np.array([text.encode() for text in texts], object)
            if tower.takes == "vectors":
                content = self.encode_captions(texts)
            rows = np.arange(len(texts))
            return tower.project(Queries(rows, content), self.settings.batch_size).content

        return embed

    def embed(self, name: str, images: tf.data.Dataset) -> Split:
        """Returns the features of a task's own images.

        Args:
            name: What the images are called in messages; one name for the same images.
            images: Single examples, dicts of "image" float32 `[S, S, 3]` in [0, 1], and where known
                "key" string, "label" int (-1 for none) and "embedding" float `[T]`, a caption
                vector.

        Raises:
            InputError: Other images, none, or embeddings that are not finite.
        """
        self._check_images(name, images)
        return self._split(self._extractor.images(name, images))

    def splits(self, train: Split | None, val: Split, classes: int = 0) -> Splits:
        """Returns what measures and heads are computed of.

        Args:
            train: What may be fitted on; None where there is nothing.
            val: What figures are of.
            classes: Number of classes. Defaults to 0: no labels.
        """
        return Splits(train, val, classes, self.settings)

    @functools.cached_property
    def data(self) -> Splits:
        """The features of the data directory."""
        train, val = (self._split(self._extractor.directory[split]) for split in ("train", "val"))
        return self.splits(train, val, len(self.dataset.class_names or ()))

    @property
    def head(self) -> LinearProbe:
        """The linear classifier that is fitted on `train/` of the data directory.

        Its scores are of `runner.dataset.class_names`. Without labels there, `InputError`.
        """
        return self.labelled.head

    @functools.cached_property
    def labelled(self) -> Splits:
        """The labelled images of the data directory; without any, `InputError`."""
        labelled = self.data.having(("train", "labels")) if self.dataset.class_names else None
        if labelled is None:
            raise InputError(
                f"data_dir: expected labelled images to fit a linear classifier on, received none "
                f"in {self.dataset.directory}"
            )
        return labelled

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """Returns what `make` gives, which is called once for all tasks of this encoder.

        Args:
            name: What it is; one name for the same thing.
            make: Makes it.
        """
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]

    def measure(self, splits: Splits) -> Outcome:
        """Runs all measures whose needs the data meets.

        Returns:
            Their scores; counts of images, labels and captions as "meta"; and what was left out.
        """
        scores: dict[str, Score] = {}
        left_out: dict[str, str] = {}
        log = self.settings.log
        with Progress(self.encoder, len(self._measures), "measures", log) as bar:
            for name, measure in self._measures.items():
                bar.note(name)
                found = splits.having(measure.needs)
                if found is None:
                    left_out |= _lack(name, measure, splits)
                else:
                    given = measure.run(found)
                    known = [figure.name for figure in measure.figures]
                    scores |= checked(
                        f"measure {name!r}", given, known, found.val.rows, found.val.hashes
                    )
                bar.advance()
        apart = splits.val.towers_apart
        if apart:
            left_out["text to image recall of the towers"] = apart
        meta = {
            "images": splits.counts(),
            "classes": splits.classes,
            "labelled": splits.counts("labels"),
            "captioned": splits.counts("captions"),
        }
        return Outcome(scores, meta, left_out)

    @functools.cached_property
    def caption_map(self) -> CaptionMap | None:
        """The linear map from embeddings to captions that is fitted on `train/`, where it can be.

        It is that of the measures.
        """
        captioned = self.data.having(("train", "captions"))
        return None if captioned is None else captioned.caption_map

    def _split(self, features: Features) -> Split:
        embeddings = features.embeddings[self.encoder]
        project = None if self._project is None else functools.partial(self._project, embeddings)
        tower, project_texts = self._text_embedder, None
        captions = None if tower is None else getattr(features, tower.takes)
        if captions is not None and len(captions.images):
            project_texts = functools.partial(tower.project, captions, self.settings.batch_size)
        return Split(
            embeddings,
            features.labels,
            features.captions,
            project,
            queries=features.vectors,
            project_texts=project_texts,
            among_texts=features.among_texts.get(self.encoder),
            hashes=features.hashes,
        )

    def _check_images(self, name: str, images: tf.data.Dataset) -> None:
        spec = images.element_spec
        image = spec.get("image") if isinstance(spec, dict) else None
        expected = [self.image_size, self.image_size, 3]
        if image != tf.TensorSpec(expected, tf.float32):
            raise InputError(
                f"images of {name}: expected single examples, dicts of 'image' float32 {expected}, "
                f"received {spec}"
            )


def _lack(name: str, measure: Measure, splits: Splits) -> dict[str, str]:
    """What to say of a measure whose needs are not met; nothing of labels where none are known."""
    for need in measure.needs:
        if splits.having((need,)) is None:
            silent = need == "labels" and not splits.classes
            return {} if silent else dict([_LEFT_OUT[need]])
    return {name: f"fewer than 2 images with {' and '.join(measure.needs)} in a split"}
