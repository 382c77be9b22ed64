"""Frozen features of a data set as one encoder sees them: what measures and heads work on."""

import dataclasses
import functools
from collections.abc import Callable, Collection

import numpy as np

from xsample_tf.evaluation import neighbours
from xsample_tf.evaluation.caption_map import CaptionMap, fit_caption_map
from xsample_tf.evaluation.probes.gradient_descent import SGD_EPOCHS, fit_by_gradient_descent
from xsample_tf.evaluation.probes.logistic_regression import LinearProbe, fit_linear_probe
from xsample_tf.evaluation.settings import Settings
from xsample_tf.progress import say

NEEDS = ("train", "labels", "captions")


@dataclasses.dataclass(frozen=True)
class Queries:
    """Captions that look for their images.

    Attributes:
        images: Int `[K]`, the row of each caption's image.
        content: The captions: vectors float `[K, T]`, or strings `[K]`.
    """

    images: np.ndarray
    content: np.ndarray

    def where(self, keep: np.ndarray) -> "Queries":
        """Returns the captions of the images of a mask `[N]`, whose rows are counted anew."""
        kept = keep[self.images]
        rows = np.cumsum(keep) - 1
        return Queries(rows[self.images[kept]], self.content[kept])


class Split:
    """The images of one split.

    Args:
        embeddings: Float32 `[N, D]`.
        labels: Int64 `[N]`, -1 where there is none.
        captions: Caption vectors float32 `[N, T]`, zero where there is none; None without vectors.
        project: Gives what training compared in place of the embeddings, float `[N, P]`. Defaults
            to None: the embeddings themselves.
        rows: Int `[N]`, see below. Defaults to all rows in order.
        queries: Vectors of the single captions, `captions` being their means. Defaults to None:
            `captions` themselves.
        project_texts: Gives captions as `Queries` in the space of `among_texts`, where a model of
            two towers is evaluated. Defaults to None.
        among_texts: Float `[N, P]`, the images in the space of texts. Defaults to None: their
            `projections` are there.
        hashes: Uint64 `[N]`, which tell the images apart; see `Features`. Defaults to None, where
            that is not known.

    Attributes:
        embeddings: As given.
        labels: As given.
        captions: As given.
        rows: The places of these images in the whole split.
        hashes: As given.
    """

    def __init__(
        self,
        embeddings: np.ndarray,
        labels: np.ndarray,
        captions: np.ndarray | None = None,
        project: Callable[[], np.ndarray] | None = None,
        rows: np.ndarray | None = None,
        queries: Queries | None = None,
        project_texts: Callable[[], Queries] | None = None,
        among_texts: np.ndarray | None = None,
        hashes: np.ndarray | None = None,
    ):
        self.embeddings, self.labels, self.captions = embeddings, labels, captions
        self.rows = np.arange(len(embeddings)) if rows is None else rows
        self.hashes = hashes
        self._project, self._queries, self._project_texts = project, queries, project_texts
        self._among_texts = among_texts

    def __len__(self) -> int:
        return len(self.embeddings)

    @functools.cached_property
    def projections(self) -> np.ndarray:
        """The projector's output `[N, P]` where it is at hand, else the embeddings."""
        return self.embeddings if self._project is None else self._project()

    @property
    def queries(self) -> Queries | None:
        """The vectors of single captions; None without caption vectors."""
        if self._queries is None and self.captions is not None:
            return Queries(np.arange(len(self)), self.captions)
        return self._queries

    @functools.cached_property
    def text_projections(self) -> Queries | None:
        """The captions where `among_texts` are; None but for a model of two towers."""
        return None if self._project_texts is None else self._project_texts()

    @property
    def among_texts(self) -> np.ndarray:
        """The images `[N, P]` where a model of two towers has its texts."""
        return self.projections if self._among_texts is None else self._among_texts

    @property
    def towers_apart(self) -> str:
        """Why images and texts of a model cannot be compared, where they cannot; else ""."""
        if self.text_projections is None:
            return ""
        sizes = self.among_texts.shape[1], self.text_projections.content.shape[1]
        if sizes[0] == sizes[1]:
            return ""
        return (
            f"texts are vectors of {sizes[1]}, images of {sizes[0]}; --output_name chooses the "
            "output that is compared with texts"
        )

    def where(self, keep: np.ndarray) -> "Split":
        """Returns the images of a mask `[N]`; itself, without a copy, where all are kept."""
        if keep.all():
            return self
        return Split(
            self.embeddings[keep],
            self.labels[keep],
            None if self.captions is None else self.captions[keep],
            None if self._project is None else lambda: self.projections[keep],
            self.rows[keep],
            None if self._queries is None else self._queries.where(keep),
            None if self._project_texts is None else lambda: self.text_projections.where(keep),
            None if self._among_texts is None else self._among_texts[keep],
            hashes=None if self.hashes is None else self.hashes[keep],
        )


class Splits:
    """Both splits of a data set.

    Args:
        train: What may be fitted on; None where there is nothing.
        val: What figures are of.
        classes: Number of classes C; labels are 0 .. C - 1. 0 without classes.
        settings: The seed, the temperatures and the log.

    Attributes:
        train: As given.
        val: As given.
        classes: As given.
        settings: As given.
    """

    def __init__(self, train: Split | None, val: Split, classes: int, settings: Settings):
        self.train, self.val, self.classes, self.settings = train, val, classes, settings
        self._nearest: tuple[np.ndarray, np.ndarray] | None = None
        self._having: dict[tuple[bytes, ...], Splits] = {}

    def counts(self, *needs: str) -> dict[str, int]:
        """Returns by split how many images there are that have "labels", "captions" or both."""
        return {name: int(self._has(split, needs).sum()) for name, split in self._named()}

    def having(self, needs: Collection[str]) -> "Splits | None":
        """Returns the images that have all that is needed.

        Args:
            needs: Of "train", "labels" and "captions".

        Returns:
            Itself where all images have it, and the same object for the same images, so that
            neighbours and heads are computed once. None where a split has fewer than two.
        """
        if "train" in needs and self.train is None:
            return None
        keep = [self._has(split, needs) for _, split in self._named()]
        if needs and min(rows.sum() for rows in keep) < 2:
            return None
        if all(rows.all() for rows in keep):
            return self
        key = tuple(rows.tobytes() for rows in keep)
        if key not in self._having:
            train = None if self.train is None else self.train.where(keep[0])
            val = self.val.where(keep[-1])
            self._having[key] = Splits(train, val, self.classes, self.settings)
        return self._having[key]

    @property
    def neighbours(self) -> tuple[np.ndarray, np.ndarray]:
        """Cosines float32 and training rows int32 `[Q, 20]` nearest to each image of `val`."""
        return self.nearest(neighbours.NEIGHBOURS)

    def nearest(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """As `neighbours`, of k images or all there are; fewer are a part of what was found."""
        k = min(k, len(self.train))
        if self._nearest is None or self._nearest[0].shape[1] < k:
            self._nearest = neighbours.nearest(self.train.embeddings, self.val.embeddings, k)
        cosines, rows = self._nearest
        return cosines[:, :k], rows[:, :k]

    @functools.cached_property
    def caption_map(self) -> CaptionMap:
        """The linear map from embeddings to captions, fitted on `train`, all of which has some."""
        return fit_caption_map(self.train.embeddings, self.train.captions, self.settings.seed)

    @functools.cached_property
    def head(self) -> LinearProbe:
        """The linear classifier that is fitted on `train`, all of which has labels."""
        count, size = self.train.embeddings.shape
        say(
            self.settings.log,
            f"fitting a linear probe: {count:,} images, {size:,} features, "
            f"{self.classes:,} classes",
        )
        return fit_linear_probe(
            self.train.embeddings, self.train.labels, self.classes, seed=self.settings.seed
        )

    @functools.cached_property
    def sgd_head(self) -> LinearProbe:
        """As `head`, fitted by gradient descent in passes over the features: for large sets."""
        return fit_by_gradient_descent(
            self.train.embeddings,
            self.train.labels,
            self.classes,
            epochs=SGD_EPOCHS.check(self.settings.values.get(SGD_EPOCHS.name, SGD_EPOCHS.default)),
            seed=self.settings.seed,
            log=self.settings.log,
        )

    def _named(self) -> list[tuple[str, Split]]:
        named = [("train", self.train), ("val", self.val)]
        return [(name, split) for name, split in named if split is not None]

    def _has(self, split: Split, needs: Collection[str]) -> np.ndarray:
        """Which images of a split have labels and captions, as far as they are needed."""
        keep = np.ones(len(split), bool)
        if "labels" in needs:
            keep &= (split.labels >= 0) & (split.labels < self.classes)
        if "captions" in needs:
            keep &= False if split.captions is None else split.captions.any(axis=1)
        return keep
