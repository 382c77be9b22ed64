"""Runs evaluation tasks on an encoder, beside an untrained one and chance."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from xsample_tf.data.text_encoder import TextEncoder
from xsample_tf.errors import InputError
from xsample_tf.evaluation.baseline import untrained
from xsample_tf.evaluation.features import Embed, Extractor, embedder, image_shape
from xsample_tf.evaluation.measures import base as measures
from xsample_tf.evaluation.results import Evaluation, Outcome, Score, checked
from xsample_tf.evaluation.runner import Runner
from xsample_tf.evaluation.settings import Settings
from xsample_tf.evaluation.tasks.base import TASKS, Task

# Its figures have bare names, as training and earlier results have them.
DATA_DIRECTORY = "shards"


def evaluate(
    encoder: keras.Model | Embed,
    data_dir: str | os.PathLike,
    probes: Sequence[str] | None = None,
    baseline: keras.Model | Embed | None = None,
    projector: keras.Model | None = None,
    batch_size: int = 256,
    image_size: int | None = None,
    embedding: str | TextEncoder | None = None,
    limit: int | None = None,
    seed: int = 0,
    temperature: float = 0.1,
    target_temperature: float = 0.1,
    log: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Evaluates frozen features of `train/` and `val/` by all measures.

    With labels: weighted kNN and a linear probe. With caption vectors: KL to the caption graph,
    mean caption cosine of an image's nearest neighbours, and image to caption recall of a linear
    map. Always: RankMe. Measures of your own that are registered in `MEASURES` join them. All that
    is fitted or chosen is so on `train/` alone; figures are of `val/`.

    Args:
        encoder: Keras model or callable, float32 images `[B, S, S, 3]` in [0, 1] to `[B, D]`.
        data_dir: A data directory.
        probes: Which of the measures that need labels, as "knn" and "linear". Defaults to None: all
            of them, where there are labels.
        baseline: Evaluated alike, usually `untrained(encoder)`. Defaults to None.
        projector: What training put between the encoder and the loss, where it is at hand: the KL
            is then of its output, which is what the loss compares, and of a fresh one's for the
            baseline. Defaults to None, which takes the KL of the embedding.
        batch_size: Images at a time; changes no figure. Defaults to 256.
        image_size: S. Defaults to None: the encoder's.
        embedding: Which text encoder's caption vectors; or a text encoder, where none are stored.
            Defaults to None: the only one, if any.
        limit: At most so many images of each split. Defaults to None: all.
        seed: Seed of the held-out parts of the training set. Defaults to 0.
        temperature: tau of the KL. Defaults to 0.1.
        target_temperature: tau_s of the KL. Defaults to 0.1.
        log: Receives lines on what takes long. Defaults to `print`.

    Returns:
        "trained", "untrained" (with a baseline) and "chance": figures by measure, None where there
        is none; "meta": what they were computed from and with, and what was left out. JSON-able.
        Accuracies and recalls are shares of 1, KL is in nats. Chance is, for an accuracy, that of
        always naming the most frequent classes of `train/`; for the KL, that of relating all images
        alike.

    Raises:
        InputError: Unknown probe, probes without labels, no such data, split or caption vectors, or
            embeddings that are not finite.

    Example:
        >>> evaluate(encoder, "data/flickr8k", baseline=untrained(encoder))["trained"]["kl"]
    """
    settings = Settings(
        data_dir=str(data_dir),
        probes=probes,
        batch_size=batch_size,
        image_size=image_size,
        embedding=embedding,
        limit=limit,
        seed=seed,
        temperature=temperature,
        target_temperature=target_temperature,
        log=log,
    )
    return run_tasks(encoder, [DATA_DIRECTORY], settings, baseline, projector).as_dict()


def run_tasks(
    encoder: keras.Model | Embed,
    tasks: Sequence[str],
    settings: Settings,
    baseline: keras.Model | Embed | None = None,
    projector: keras.Model | None = None,
) -> Evaluation:
    """Runs tasks by name.

    Args:
        encoder: As for `evaluate`.
        tasks: Names of registered tasks.
        settings: What `evaluate` takes as arguments, and the options of measures and tasks.
        baseline: As for `evaluate`. Defaults to None.
        projector: As for `evaluate`. Defaults to None.

    Returns:
        Scores of the encoder and of the baseline, with their chance and per-image scores.

    Raises:
        InputError: Unknown task, and as `evaluate`.

    Example:
        >>> settings = Settings(data_dir="data/photos")
        >>> run_tasks(encoder, ["shards", "mine"], settings).as_dict()["trained"]["mine/top1"]
    """
    made = {name: _make_task(name, settings) for name in dict.fromkeys(tasks)}
    chosen = measures.make(settings.probes, settings.values)
    encoders = {"trained": encoder} | ({} if baseline is None else {"untrained": baseline})
    extractor = Extractor(
        {name: embedder(model) for name, model in encoders.items()},
        settings,
        _image_size(encoder, settings.image_size),
    )
    projections = _projections(projector, settings)
    runners = [Runner(name, extractor, projections.get(name), chosen) for name in encoders]
    for task in made.values():
        task.check(runners[0])
    scores: dict[str, dict[str, Score]] = {name: {} for name in encoders}
    meta = _meta(settings, extractor.image_size)
    meta["kl_of"] = "embedding" if projector is None else "projection"
    for name, task in made.items():
        known = [*(figure.name for figure in task.figures), *measures.figures()]
        for runner in runners:
            outcome = task.run(runner)
            if not isinstance(outcome, Outcome):
                raise InputError(f"task {name!r}: expected an Outcome, received {outcome!r}")
            given = checked(f"task {name!r}", outcome.scores, known)
            scores[runner.encoder] |= {_key(name, figure): one for figure, one in given.items()}
            if runner is runners[0]:  # The data are the same for all.
                _enter(meta, name, outcome)
        extractor.release()
    return Evaluation(scores, meta)


def _make_task(name: str, settings: Settings) -> Task:
    task = TASKS.make(name, values=settings.values)
    if not isinstance(task, Task):
        raise InputError(f"task {name!r}: expected a subclass of Task, received {task!r}")
    return task


def _meta(settings: Settings, image_size: int) -> dict[str, Any]:
    """What an evaluation is computed with, JSON-able."""
    meta = {
        "data_dir": settings.data_dir,
        "image_size": image_size,
        "limit": settings.limit,
        "seed": settings.seed,
        "temperature": settings.temperature,
        "target_temperature": settings.target_temperature,
        "left_out": {},
    }
    return meta | ({"options": dict(settings.values)} if settings.values else {})


def _key(task: str, name: str) -> str:
    return name if task == DATA_DIRECTORY else f"{task}/{name}"


def _enter(meta: dict[str, Any], task: str, outcome: Outcome) -> None:
    """Adds what a task's scores were computed from to that of the evaluation."""
    if task == DATA_DIRECTORY:
        meta |= outcome.meta
        meta["left_out"] |= outcome.left_out
    else:
        meta.setdefault("tasks", {})[task] = outcome.meta
        meta["left_out"] |= {f"{task}: {what}": why for what, why in outcome.left_out.items()}


def _projections(
    projector: keras.Model | None, settings: Settings
) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """The projector of each encoder as a function of its embeddings `[N, D]`; none without one."""
    if projector is None:
        return {}

    def applied(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
        def project(features: np.ndarray) -> np.ndarray:
            # The projector's `predict` would share the work with the workers of a run.
            size = settings.batch_size
            batches = np.split(features, range(size, len(features), size))
            return np.concatenate([np.asarray(model(batch, training=False)) for batch in batches])

        return project

    fresh = untrained(projector, settings.seed)
    return {"trained": applied(projector), "untrained": applied(fresh)}


def _image_size(encoder: keras.Model | Embed, image_size: int | None) -> int:
    """The side of the images; the encoder's own where it is fixed and none is given."""
    own = image_shape(encoder)[0]
    size = image_size or own
    if size is None:
        raise InputError(
            "image_size: expected the side of the images, received none, and the encoder takes any"
        )
    if size < 1 or own not in (None, size):
        raise InputError(f"image_size: expected {own or 'a side > 0'}, received {size}")
    return size
