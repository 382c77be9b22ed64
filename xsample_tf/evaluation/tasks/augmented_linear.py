"""The linear probe of papers: on frozen features of images that are cropped and flipped anew.

Nothing is stored but a held-out part: images stream from the data directory in every epoch.
"""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from xsample_tf import data
from xsample_tf.data import views
from xsample_tf.data.stream.examples import key_hash
from xsample_tf.errors import InputError
from xsample_tf.evaluation.features import embed_batches
from xsample_tf.evaluation.linear_algebra import Standardization
from xsample_tf.evaluation.probes.gradient_descent import MOST_HELD, RATES, Classifiers, cosine
from xsample_tf.evaluation.probes.logistic_regression import LinearProbe
from xsample_tf.evaluation.ranking import accuracies
from xsample_tf.evaluation.results import BASELINES, Figure, Outcome, of_images
from xsample_tf.evaluation.runner import Runner
from xsample_tf.evaluation.splits import Split
from xsample_tf.evaluation.tasks.base import TASKS, Task
from xsample_tf.progress import Progress
from xsample_tf.registry import Option


@TASKS.register(
    "augmented_linear",
    options=[
        Option("augmented_epochs", 90, "Epochs of the linear probe with crops.", minimum=1),
    ],
)
class AugmentedLinear(Task):
    """The linear probe with random crops and flips, 90 epochs of train; takes as many passes."""

    figures = tuple(
        Figure(f"top{top}", f"linear probe with crops and flips, top-{top} accuracy", "{:.1%}")
        for top in (1, 5)
    )

    def __init__(self, augmented_epochs: int):
        self._epochs = augmented_epochs

    def check(self, runner: Runner) -> None:
        """Looks for labelled images.

        Raises:
            InputError: There are none.
        """
        dataset = runner.dataset
        if not dataset.class_names or min(map(dataset.records, ("train", "val"))) < 2:
            raise InputError(
                f"augmented_linear: expected labelled images in train/ and val/, received none in "
                f"{dataset.directory}"
            )

    def run(self, runner: Runner) -> Outcome:
        """Returns the accuracies of the last epoch; nothing of a baseline, for its cost."""
        if runner.encoder in BASELINES:
            return Outcome({})
        classes = len(runner.dataset.class_names)
        held, keys = _embed(runner, "train", min(max(1, _images(runner) // 10), MOST_HELD))
        probe, seen = self._fit(runner, held, keys)
        val, _ = _embed(runner, "val", runner.settings.limit)
        scores = accuracies("linear", probe.scores(val.embeddings), val.labels, seen, classes)
        named = {name.removeprefix("linear_"): score for name, score in scores.items()}
        meta = {
            "head": probe.text,
            "images": {"train": len(seen), "val": len(val)},
            "held_out": len(held),
            "image_size": runner.image_size,
        }
        return Outcome(of_images(named, val.hashes), meta)

    def _fit(self, runner: Runner, held: Split, keys: np.ndarray) -> tuple[LinearProbe, np.ndarray]:
        """The best classifier on the held-out images, and the labels of an epoch `[N]`."""
        settings, directory = runner.settings, runner.dataset.directory
        subset = None
        if settings.limit is not None:
            fraction = min(1.0, settings.limit / runner.dataset.records("train"))
            subset = data.Subset(fraction=fraction, seed=settings.seed)
        # Of a subset there may be fewer images than asked for: its size is one of the mean.
        images = data.steps_per_epoch(directory, "train", 1, subset)
        batch_size = min(settings.batch_size, images)
        per_epoch = data.steps_per_epoch(directory, "train", batch_size, subset)
        size, steps = held.embeddings.shape[1], self._epochs * per_epoch
        # Features as they are, which is part of the protocol.
        as_it_is = Standardization(np.zeros(size, np.float32), np.ones(size, np.float32))
        classifiers = Classifiers(size, len(runner.dataset.class_names), RATES, batch_size)
        stream = data.load(
            directory,
            "train",
            batch_size,
            views.Crops(runner.image_size, views=1),
            settings.seed,
            subset=subset,
        )
        labels, embed = [], runner.embedder
        with Progress("linear probe with crops", steps, "steps", settings.log) as progress:
            for step, (images, side) in enumerate(stream.take(steps)):
                features = embed(images[:, 0])
                own = side["label"].numpy()
                if step < per_epoch:
                    labels.append(own)
                keep = ~np.isin(side["key_hash"].numpy(), keys)
                if not np.isfinite(features).all():
                    raise InputError(
                        f"encoder ({runner.encoder}): expected finite embeddings, received NaN or "
                        f"infinity for an image of {directory}; its weights have diverged"
                    )
                if keep.any():
                    classifiers.step(features[keep], own[keep], cosine(step / steps))
                progress.advance()
        probe = classifiers.best(
            [held.embeddings], held.labels, as_it_is, self._epochs, "augmented_linear", settings.log
        )
        return probe, np.concatenate(labels)


def _images(runner: Runner) -> int:
    """How many images of train there are, within the limit."""
    records, limit = runner.dataset.records("train"), runner.settings.limit
    return records if limit is None else min(records, limit)


def _embed(runner: Runner, split: str, limit: int | None) -> tuple[Split, np.ndarray]:
    """Features of the labelled images among the first of a split, and the hashes of all keys."""
    settings, keys = runner.settings, []
    images = data.load_images(
        runner.dataset.directory, split, settings.batch_size, runner.image_size, limit=limit
    )

    def noted() -> Iterator[dict[str, tf.Tensor]]:
        for batch in images:
            keys.append(key_hash(batch).numpy())
            yield batch

    records = runner.dataset.records(split)
    found = embed_batches(
        {runner.encoder: runner.embedder},
        noted(),
        f"{split} without crops",
        settings.batch_size,
        min(records, limit or records),
        settings.log,
    )
    split = Split(found.embeddings[runner.encoder], found.labels, hashes=found.hashes)
    known = (found.labels >= 0) & (found.labels < len(runner.dataset.class_names))
    return split.where(known), np.concatenate(keys)
