"""Runs evaluation tasks on an encoder, beside an untrained one and chance."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras

from xsample_tf.data.text_encoder import TextEncoder
from xsample_tf.errors import InputError, suggest
from xsample_tf.evaluation.candidates import Candidate, TextEmbedder
from xsample_tf.evaluation.caption_map import CaptionMap
from xsample_tf.evaluation.features import Embed, Extractor, image_size_of
from xsample_tf.evaluation.measures import base as measures
from xsample_tf.evaluation.results import (
    BASELINES,
    DATA_DIRECTORY,
    UNTRAINED,
    Evaluation,
    Outcome,
    Score,
    checked,
    enter,
    key_of,
    meta_of,
)
from xsample_tf.evaluation.runner import Runner
from xsample_tf.evaluation.settings import Settings
from xsample_tf.evaluation.splits import Splits
from xsample_tf.evaluation.tasks.base import TASKS, Task
from xsample_tf.evaluation.verdict import collapse, decide


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
    candidate = Candidate(
        encoder, projector, text_embedder or TextEmbedder.of_strings(settings.embed_texts)
    )
    beside = None if baseline is None else Candidate(baseline, baseline_projector)
    return compare({"trained": candidate}, tasks, settings, beside, baseline_name)["trained"]


def compare(
    candidates: Mapping[str, Candidate],
    tasks: Sequence[str],
    settings: Settings,
    baseline: Candidate | None = None,
    baseline_name: str = UNTRAINED,
) -> dict[str, Evaluation]:
    """Evaluates encoders of one image size; images are decoded once for all of them.

    Args:
        candidates: The encoders by name, one or more.
        tasks: As for `run_tasks`.
        settings: As for `run_tasks`.
        baseline: What each of them is compared with; a projector that it has not is a fresh one.
            Defaults to None.
        baseline_name: As for `evaluate`. Defaults to "untrained".

    Returns:
        By name what `run_tasks` gives of that encoder.

    Raises:
        InputError: As `run_tasks`.

    Example:
        >>> found = compare({"early": Candidate(early), "late": Candidate(late)}, ["shards"], ours)
        >>> found["late"].verdict["sentence"]
    """
    made = {name: _make_task(name, settings) for name in dict.fromkeys(tasks)}
    chosen = measures.make(settings.probes, settings.values)
    if baseline_name not in BASELINES:
        raise InputError(
            f"baseline_name: received {baseline_name!r}, {suggest(baseline_name, BASELINES)}"
        )
    first = next(iter(candidates.values()))
    everyone = dict(candidates) | ({} if baseline is None else {baseline_name: baseline})
    everyone = {name: one.opened() for name, one in everyone.items()}
    extractor = Extractor(
        {name: one.embedder() for name, one in everyone.items()},
        settings,
        image_size_of(everyone[next(iter(candidates))].encoder, settings.image_size),
    )
    runners = [
        Runner(
            name, extractor, one.projection(first.projector, settings), chosen, one.text_embedder
        )
        for name, one in everyone.items()
    ]
    checksums = {name: one.checksum() for name, one in everyone.items()}
    failed: dict[str, InputError] = {}
    for name, task in made.items():
        with _noted(name, failed):
            task.check(runners[0])
    scores: dict[str, dict[str, Score]] = {name: {} for name in everyone}
    entries = [TASKS[name] for name in made] + [measures.MEASURES[name] for name in chosen]
    metas = {name: meta_of(settings, extractor.image_size, entries) for name in candidates}
    for name in [name for name in made if name not in failed]:
        with _noted(name, failed):
            outcomes = {runner.encoder: _run(name, made[name], runner) for runner in runners}
            for encoder, outcome in outcomes.items():
                scores[encoder] |= {key_of(name, key): one for key, one in outcome.scores.items()}
                if encoder in metas:
                    enter(metas[encoder], name, outcome)
        extractor.release()
    if failed and len(failed) == len(made):
        raise next(iter(failed.values()))
    for name, error in failed.items():
        settings.log(f"task {name} is left out: {error}")
    for name, one in everyone.items():
        if one.checksum() != checksums[name]:
            raise InputError(
                f"encoder ({name}): its weights changed while it was evaluated; it must not be in "
                "training mode, where batch normalisation moves"
            )
    beside = {} if baseline is None else {baseline_name: scores[baseline_name]}
    measured = DATA_DIRECTORY in made and DATA_DIRECTORY not in failed
    splits = {runner.encoder: runner.data for runner in runners} if measured else {}
    return {
        runner.encoder: _evaluation(
            {"trained": scores[runner.encoder]} | beside,
            metas[runner.encoder] | {"kl_of": "projection" if one.projector else "embedding"},
            failed,
            runner.caption_map if measured else None,
            {one: splits[one] for one in (runner.encoder, *beside) if one in splits},
        )
        for runner, one in zip(runners, candidates.values(), strict=False)
    }


def _evaluation(
    scores: dict[str, dict[str, Score]],
    meta: dict[str, Any],
    failed: Mapping[str, InputError],
    caption_map: CaptionMap | None,
    splits: Mapping[str, Splits],
) -> Evaluation:
    """What was found of one encoder, with the verdict."""
    meta["left_out"] |= {f"task {name}": str(error) for name, error in failed.items()}
    verdict = decide(scores, measures.figures())
    warning = collapse(scores, verdict)
    if warning is not None:
        meta.setdefault("warnings", []).append(warning)
    return Evaluation(scores, meta, verdict, caption_map, splits)


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


def _make_task(name: str, settings: Settings) -> Task:
    task = TASKS.make(name, values=settings.values)
    if not isinstance(task, Task):
        raise InputError(f"task {name!r}: expected a subclass of Task, received {task!r}")
    return task
