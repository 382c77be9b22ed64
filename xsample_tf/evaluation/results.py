"""What measures and tasks give: figures by name, how they are shown, and all of an evaluation."""

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from xsample_tf.errors import InputError
from xsample_tf.evaluation.caption_map import CaptionMap
from xsample_tf.evaluation.settings import Settings
from xsample_tf.registry import Entry

# The task whose figures have bare names, as training and earlier results have them.
DATA_DIRECTORY = "shards"
UNTRAINED, START = "untrained", "start"
# What a trained encoder is compared with, by its name in the results: its name in tables.
BASELINES = {UNTRAINED: "untrained", START: "starting weights"}


@dataclasses.dataclass(frozen=True)
class Figure:
    """How one number is named and shown.

    Attributes:
        name: Its key in `results.json`.
        title: Its name in tables; `{kl_of}` in it becomes what the loss compares, "projection" or
            "embedding".
        format: How the number is written, as for `str.format`. Defaults to three decimals.
        brief: Its name in the one-line summary during training. Defaults to None, which leaves it
            out of that line.
        last: Whether it stands below the other figures in tables, since it says little by itself.
            Defaults to False.

    Raises:
        InputError: A format that writes no number.

    Example:
        >>> Figure("knn_top1", "kNN top-1 accuracy (k 20, T 0.07)", "{:.1%}", brief="kNN")
    """

    name: str
    title: str
    format: str = "{:.3f}"
    brief: str | None = None
    last: bool = False

    def __post_init__(self):
        try:
            self.format.format(0.5)
        except (IndexError, KeyError, ValueError) as error:
            raise InputError(
                f"figure {self.name}: expected a format such as {{:.1%}}, received {self.format!r}"
            ) from error


@dataclasses.dataclass(frozen=True)
class Score:
    """The value of a figure for one encoder.

    Attributes:
        value: A finite number. None where the data gives none.
        chance: What an encoder that knows nothing would get. Defaults to None: not known.
        per_image: Float `[N]`, whose mean is the value, for paired comparisons. Defaults to None:
            the value is no mean over images.
        rows: Int `[N]`, the places in the split of the images of `per_image`; filled in where a
            measure is run.
        hashes: Uint64 `[N]`, which tell the images of `per_image` apart, as `Split.hashes` has
            them; filled in where a measure is run. Defaults to None: the scores are not
            compared with those of other runs.
    """

    value: float | None
    chance: float | None = None
    per_image: np.ndarray | None = None
    rows: np.ndarray | None = None
    hashes: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a task found for one encoder.

    Attributes:
        scores: By the name of the figure.
        meta: What they were computed from; JSON-able. Defaults to nothing.
        left_out: What was not measured or counted, with the reason. Defaults to nothing.
        warnings: What looks wrong about the scores, a line each. Defaults to nothing.
    """

    scores: dict[str, Score]
    meta: dict[str, Any] = dataclasses.field(default_factory=dict)
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The results of all tasks.

    Attributes:
        scores: By encoder, "trained" and one of `BASELINES`, then by figure. A figure of a task
            other than `shards` has the task's name before it, as in "mine/accuracy".
        meta: What they were computed from and with, and what was left out. JSON-able.
        verdict: Whether training helped, as `verdict.decide` says it. Defaults to None: there is
            no baseline, or neither captions nor labels.
        caption_map: The linear map from the encoder's images to the data directory's captions.
            Defaults to None, where it has none or was not evaluated on.
        splits: The data directory as each encoder sees it, `Splits` by encoder. Defaults to none,
            where that was not evaluated on.
    """

    scores: dict[str, dict[str, Score]]
    meta: dict[str, Any]
    verdict: dict[str, Any] | None = None
    caption_map: CaptionMap | None = None
    splits: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Returns the content of `results.json`: values by encoder, chance, meta and verdict."""
        values = {
            encoder: {name: _plain(score.value) for name, score in scores.items()}
            for encoder, scores in self.scores.items()
        }
        chance = {name: _plain(score.chance) for name, score in self.scores["trained"].items()}
        verdict = {} if self.verdict is None else {"verdict": self.verdict}
        return {**values, "chance": chance, "meta": self.meta, **verdict}


def checked(
    owner: str,
    scores: Mapping[str, Score],
    names: Collection[str],
    rows: np.ndarray | None = None,
    hashes: np.ndarray | None = None,
) -> dict[str, Score]:
    """Returns the scores of a measure or a task, with their rows.

    Args:
        owner: What gave them, to begin a message with.
        scores: By figure.
        names: Of the figures that it may give.
        rows: Places of the images in the split. Defaults to None: not known.
        hashes: Those of the images. Defaults to None: not known.

    Raises:
        InputError: Anything but scores, another figure, a value that is not finite, or scores of
            another number of images.
    """
    if not isinstance(scores, Mapping) or not all(
        isinstance(score, Score) for score in scores.values()
    ):
        raise InputError(f"{owner}: expected a dict of Score by figure, received {scores!r}")
    result = {}
    for name, score in scores.items():
        if name not in names:
            raise InputError(f"{owner}: expected figures {', '.join(names)}, received {name!r}")
        for value in (score.value, score.chance):
            if value is not None and not math.isfinite(value):
                raise InputError(
                    f"{owner}: {name}: expected a finite number or None, received {value}"
                )
        if rows is not None and score.per_image is not None:
            if len(score.per_image) != len(rows):
                raise InputError(
                    f"{owner}: {name}: expected scores of {len(rows)} images, received "
                    f"{len(score.per_image)}"
                )
            score = dataclasses.replace(score, rows=rows, hashes=hashes)
        result[name] = score
    return result


def of_images(scores: Mapping[str, Score], hashes: np.ndarray | None) -> dict[str, Score]:
    """Returns a task's scores with the hashes of their images.

    Args:
        scores: By figure.
        hashes: Of the images, uint64 `[N]`, among which a score's `rows` choose where it has them.
            None where they are not known.
    """
    if hashes is None:
        return dict(scores)
    return {
        name: score
        if score.per_image is None
        else dataclasses.replace(score, hashes=hashes if score.rows is None else hashes[score.rows])
        for name, score in scores.items()
    }


def meta_of(settings: Settings, image_size: int, entries: Sequence[Entry]) -> dict[str, Any]:
    """Returns what an evaluation is computed with; JSON-able.

    Args:
        settings: Of the evaluation.
        image_size: Side of the images in pixels.
        entries: The tasks and measures, whose options are recorded.
    """
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


def enter(meta: dict[str, Any], task: str, outcome: Outcome) -> None:
    """Adds what a task's scores were computed from to that of the evaluation."""
    if task == DATA_DIRECTORY:
        meta |= outcome.meta
        meta["left_out"] |= outcome.left_out
    else:
        meta.setdefault("tasks", {})[task] = outcome.meta
        meta["left_out"] |= {f"{task}: {what}": why for what, why in outcome.left_out.items()}
    if outcome.warnings:
        meta.setdefault("warnings", []).extend(f"{task}: {text}" for text in outcome.warnings)


def key_of(task: str, name: str) -> str:
    """Returns the key of a task's figure in `results.json`."""
    return name if task == DATA_DIRECTORY else f"{task}/{name}"


def _plain(value: float | None) -> float | None:
    return None if value is None else float(value)
