"""Runs evaluation tasks on an encoder, beside an untrained one and chance."""

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from xsample_tf.data.manifest import CaptionVectors, read_dataset
from xsample_tf.data.text_encoder import TextEncoder
from xsample_tf.errors import InputError, suggest
from xsample_tf.evaluation.baseline import untrained
from xsample_tf.evaluation.caption_map import CaptionMap, fit_caption_map
from xsample_tf.evaluation.features import (
    Embed,
    Extractor,
    TextEmbedder,
    embedder,
    extract,
    image_shape,
)
from xsample_tf.evaluation.foreign import opened
from xsample_tf.evaluation.measures import base as measures
from xsample_tf.evaluation.results import (
    BASELINES,
    UNTRAINED,
    Evaluation,
    Outcome,
    Score,
    checked,
)
from xsample_tf.evaluation.runner import Runner
from xsample_tf.evaluation.settings import Settings
from xsample_tf.evaluation.tasks.base import TASKS, Task
from xsample_tf.evaluation.verdict import decide
from xsample_tf.registry import Entry

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
    baseline_name: str = UNTRAINED,
    baseline_projector: keras.Model | None = None,
    text_embedder: TextEmbedder | None = None,
) -> dict[str, Any]:
    """Evaluates frozen features of `train/` and `val/` by all measures.

    With labels: weighted kNN and a linear probe. With caption vectors: KL to the caption graph,
    mean caption cosine of an image's nearest neighbours, and recall of a linear map from images to
    captions, in both directions. With a text tower: text to image recall of the towers. Always:
    RankMe. Measures of your own that are registered in `MEASURES` join them. All that is fitted or
    chosen is so on `train/` alone; figures are of `val/`.

    Args:
        encoder: Keras model or callable, float32 images `[B, S, S, 3]` in [0, 1] to `[B, D]`; or
            what `tf.saved_model.load` gives, as `ForeignModel` takes it.
        data_dir: A data directory.
        probes: Which of the measures that need labels, as "knn" and "linear". Defaults to None: all
            of them, where there are labels.
        baseline: Evaluated alike, usually `untrained(encoder)`. Defaults to None.
        projector: What training put between the encoder and the loss, where it is at hand: the KL
            is then of its output, which is what the loss compares. Defaults to None, which takes
            the KL of the embedding.
        batch_size: Images at a time; changes no figure. Defaults to 256.
        image_size: S. Defaults to None: the encoder's.
        embedding: Which text encoder's caption vectors; or a text encoder, where none are stored.
            Defaults to None: the only one, if any.
        limit: At most so many images of each split. Defaults to None: all.
        seed: Seed of the held-out parts of the training set. Defaults to 0.
        temperature: tau of the KL. Defaults to 0.1.
        target_temperature: tau_s of the KL. Defaults to 0.1.
        log: Receives lines on what takes long. Defaults to `print`.
        baseline_name: What the baseline is called in the results: "untrained", the default, or
            "start", for the weights that training started from.
        baseline_projector: Stands behind the baseline. Defaults to a fresh one of the projector's
            architecture.
        text_embedder: What was trained to embed texts beside the encoder. Defaults to None.

    Returns:
        "trained", "untrained" or "start" (with a baseline) and "chance": figures by measure, None
        where there is none; "meta": what they were computed from and with, and what was left out;
        "verdict" (with a baseline, and captions or labels): whether training helped, as a sentence
        with an interval. JSON-able.
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
    found = run_tasks(
        encoder,
        [DATA_DIRECTORY],
        settings,
        baseline,
        projector,
        baseline_name,
        baseline_projector,
        text_embedder,
    )
    return found.as_dict()


def run_tasks(
    encoder: keras.Model | Embed,
    tasks: Sequence[str],
    settings: Settings,
    baseline: keras.Model | Embed | None = None,
    projector: keras.Model | None = None,
    baseline_name: str = UNTRAINED,
    baseline_projector: keras.Model | None = None,
    text_embedder: TextEmbedder | None = None,
) -> Evaluation:
    """Runs tasks by name.

    Args:
        encoder: As for `evaluate`.
        tasks: Names of registered tasks.
        settings: What `evaluate` takes as arguments, and the options of measures and tasks.
        baseline: As for `evaluate`. Defaults to None.
        projector: As for `evaluate`. Defaults to None.
        baseline_name: As for `evaluate`. Defaults to "untrained".
        baseline_projector: As for `evaluate`. Defaults to None.
        text_embedder: As for `evaluate`. Defaults to None.

    Returns:
        Scores of the encoder and of the baseline, with their chance and per-image scores, and the
        map from the encoder's images to captions. Where there are several tasks, one that cannot
        run is left out with its reason.

    Raises:
        InputError: Unknown task, none that can run, an encoder whose weights evaluation changes,
            and as `evaluate`.

    Example:
        >>> settings = Settings(data_dir="data/photos")
        >>> run_tasks(encoder, ["shards", "mine"], settings).as_dict()["trained"]["mine/top1"]
    """
    made = {name: _make_task(name, settings) for name in dict.fromkeys(tasks)}
    chosen = measures.make(settings.probes, settings.values)
    encoder = opened(encoder)
    if baseline_name not in BASELINES:
        raise InputError(
            f"baseline_name: received {baseline_name!r}, {suggest(baseline_name, BASELINES)}"
        )
    encoders = {"trained": encoder} | ({} if baseline is None else {baseline_name: baseline})
    extractor = Extractor(
        {name: embedder(model) for name, model in encoders.items()},
        settings,
        _image_size(encoder, settings.image_size),
    )
    projections = _projections({"trained": projector, baseline_name: baseline_projector}, settings)
    towers = {"trained": text_embedder}  # A fresh one has nothing to do with what is trained.
    runners = [
        Runner(name, extractor, projections.get(name), chosen, towers.get(name))
        for name in encoders
    ]
    checksums = {name: _checksum(model) for name, model in encoders.items()}
    failed: dict[str, InputError] = {}
    for name, task in made.items():
        with _noted(name, failed):
            task.check(runners[0])
    scores: dict[str, dict[str, Score]] = {name: {} for name in encoders}
    meta = _meta(settings, extractor.image_size, [TASKS[name] for name in made], chosen)
    meta["kl_of"] = "embedding" if projector is None else "projection"
    for name in [name for name in made if name not in failed]:
        with _noted(name, failed):
            outcomes = [_run(name, made[name], runner) for runner in runners]
            for runner, outcome in zip(runners, outcomes, strict=True):
                own = {_key(name, figure): one for figure, one in outcome.scores.items()}
                scores[runner.encoder] |= own
            _enter(meta, name, outcomes[0])  # The data are the same for all.
        extractor.release()
    _settle(meta, failed, len(made), settings.log)
    for name, model in encoders.items():
        if _checksum(model) != checksums[name]:
            raise InputError(
                f"encoder ({name}): its weights changed while it was evaluated; it must not be in "
                "training mode, where batch normalisation moves"
            )
    measured = DATA_DIRECTORY in made and DATA_DIRECTORY not in failed
    caption_map = runners[0].caption_map if measured else None
    splits = {runner.encoder: runner.data for runner in runners} if measured else {}
    return Evaluation(scores, meta, decide(scores, measures.figures()), caption_map, splits)


def map_to_captions(
    encoder: keras.Model | Embed,
    data_dir: str | os.PathLike,
    image_size: int | None = None,
    captions: CaptionVectors | TextEncoder | None = None,
    seed: int = 0,
    log: Callable[[str], None] = print,
    batch_size: int = 256,
) -> CaptionMap:
    """Fits the linear map from an encoder's images to captions, on `train/` alone.

    It is the map of an evaluation, without the rest of that.

    Args:
        encoder: As for `evaluate`.
        data_dir: A data directory.
        image_size: As for `evaluate`.
        captions: Whose vectors, or a text encoder where none are stored. Defaults to None: the
            only ones that are stored.
        seed: Of the held-out tenth. Defaults to 0.
        log: As for `evaluate`.
        batch_size: Images at a time. Defaults to 256.

    Raises:
        InputError: No such data, or fewer than 2 images that have captions.

    Example:
        >>> map_to_captions(encoder, "data/photos").of_images(features).shape
        (1000, 384)
    """
    encoder = opened(encoder)
    if captions is None:
        captions = read_dataset(data_dir).encoder(None)
    stored = captions.name if isinstance(captions, CaptionVectors) else captions
    size = _image_size(encoder, image_size)
    embed = {"trained": embedder(encoder)}
    features = extract(embed, str(data_dir), "train", size, batch_size, stored, log=log)
    known = features.captions.any(axis=1)
    if known.sum() < 2:
        raise InputError(
            f"data_dir: expected 2 images or more with captions in {data_dir}, received "
            f"{known.sum()}"
        )
    return fit_caption_map(features.embeddings["trained"][known], features.captions[known], seed)


@contextlib.contextmanager
def _noted(task: str, failed: dict[str, InputError]) -> Iterator[None]:
    """Notes why a task cannot run."""
    try:
        yield
    except InputError as error:
        failed[task] = error


def _run(name: str, task: Task, runner: Runner) -> Outcome:
    outcome = task.run(runner)
    if not isinstance(outcome, Outcome):
        raise InputError(f"task {name!r}: expected an Outcome, received {outcome!r}")
    known = [*(figure.name for figure in task.figures), *measures.figures()]
    return dataclasses.replace(outcome, scores=checked(f"task {name!r}", outcome.scores, known))


def _settle(
    meta: dict[str, Any], failed: dict[str, InputError], tasks: int, log: Callable[[str], None]
) -> None:
    """Enters tasks that did not run; raises the first one's error where none did."""
    if failed and len(failed) == tasks:
        raise next(iter(failed.values()))
    for name, error in failed.items():
        meta["left_out"][f"task {name}"] = str(error)
        log(f"task {name} is left out: {error}")


def _checksum(encoder: keras.Model | Embed) -> str:
    """A hash of the weights, of those encoders that say which they have."""
    digest = hashlib.blake2b(digest_size=8)
    holder = encoder if hasattr(encoder, "variables") else getattr(encoder, "model", None)
    for variable in getattr(holder, "variables", ()):
        digest.update(np.ascontiguousarray(variable).tobytes())
    return digest.hexdigest()


def _make_task(name: str, settings: Settings) -> Task:
    task = TASKS.make(name, values=settings.values)
    if not isinstance(task, Task):
        raise InputError(f"task {name!r}: expected a subclass of Task, received {task!r}")
    return task


def _meta(
    settings: Settings, image_size: int, tasks: Sequence[Entry], chosen: Collection[str]
) -> dict[str, Any]:
    """What an evaluation is computed with, JSON-able."""
    entries = [*tasks, *(measures.MEASURES[name] for name in chosen)]
    declared = {option.name for entry in entries for option in entry.options}
    options = {name: value for name, value in settings.values.items() if name in declared}
    meta = {
        "data_dir": settings.data_dir,
        "image_size": image_size,
        "limit": settings.limit,
        "seed": settings.seed,
        "temperature": settings.temperature,
        "target_temperature": settings.target_temperature,
        "left_out": {},
    }
    return meta | ({"options": options} if options else {})


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
    if outcome.warnings:
        meta.setdefault("warnings", []).extend(f"{task}: {text}" for text in outcome.warnings)


def _projections(
    projectors: dict[str, keras.Model | None], settings: Settings
) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """The projector of each encoder as a function of its embeddings `[N, D]`; none without one."""
    trained = projectors["trained"]
    if trained is None:
        return {}

    def applied(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
        def project(features: np.ndarray) -> np.ndarray:
            # The projector's `predict` would share the work with the workers of a run.
            size = settings.batch_size
            batches = np.split(features, range(size, len(features), size))
            return np.concatenate([np.asarray(model(batch, training=False)) for batch in batches])

        return project

    return {
        name: applied(untrained(trained, settings.seed) if model is None else model)
        for name, model in projectors.items()
    }


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
