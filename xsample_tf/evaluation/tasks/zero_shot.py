"""Classification of the data directory by the names of its classes, for models of two towers."""

import pathlib

from xsample_tf.errors import InputError
from xsample_tf.evaluation import tables
from xsample_tf.evaluation.heads.imagenet import CLASSES, imagenet_places
from xsample_tf.evaluation.heads.zero_shot import (
    check_texts,
    zero_shot_scores,
    zero_shot_weights,
)
from xsample_tf.evaluation.ranking import hits
from xsample_tf.evaluation.results import Figure, Outcome, Score
from xsample_tf.evaluation.runner import Runner
from xsample_tf.evaluation.tasks.base import TASKS, Task
from xsample_tf.registry import Option

SINGLE = "a photo of a {}."


@TASKS.register(
    "zero_shot",
    options=[
        Option(
            "templates",
            "imagenet1k",
            f"Prompts: {', '.join(tables.prompt_templates())}, or a file with one on each line and "
            "{} for the class.",
        ),
        Option(
            "prompt_names",
            "",
            "A file with what prompts call each class, a line each; else the data's class names, "
            "of ImageNet those of CLIP.",
        ),
    ],
)
class ZeroShot(Task):
    """Accuracy on val by prompts of the classes, of all templates together and of one."""

    figures = (
        Figure("top1", "top-1 accuracy, mean of the prompts", "{:.1%}"),
        Figure("top5", "top-5 accuracy, mean of the prompts", "{:.1%}"),
        Figure("single_top1", f"top-1 accuracy, {SINGLE.replace('{}', '...')!r} alone", "{:.1%}"),
    )

    def __init__(self, templates: str, prompt_names: str):
        self._templates_from, self._names_from = templates, prompt_names
        self._templates: list[str] = []
        self._names: list[str] = []

    def check(self, runner: Runner) -> None:
        """Reads templates and names.

        Raises:
            InputError: A model of images alone, data without classes, or files that do not fit.
        """
        check_texts(runner, "zero_shot")
        known = tables.prompt_templates()
        self._templates = known.get(self._templates_from) or _lines(
            "templates", self._templates_from
        )
        classes = runner.dataset.class_names
        if not classes:
            raise InputError(
                f"zero_shot: expected images with classes, received none in "
                f"{runner.dataset.directory}"
            )
        self._names = _names(classes)
        if self._names_from:
            self._names = _lines("prompt_names", self._names_from)
        if len(self._names) != len(classes):
            raise InputError(
                f"prompt_names: expected {len(classes)} names, one for each class, received "
                f"{len(self._names)} in {self._names_from}"
            )

    def run(self, runner: Runner) -> Outcome:
        """Returns the accuracies of the model; nothing of an untrained one, which has no texts."""
        if runner.embed_texts is None:
            return Outcome({})
        labelled = runner.data.having(("labels",))
        if labelled is None:
            raise InputError("zero_shot: expected 2 labelled images or more, received fewer")
        val, embed, found = labelled.val, runner.embed_texts, {}
        for prefix, templates in (("", self._templates), ("single_", [SINGLE])):
            weights = zero_shot_weights(embed, self._names, templates)
            scores = zero_shot_scores(val.among_texts, weights)
            for top in (1, 5) if not prefix and len(self._names) > 5 else (1,):
                right = hits(scores, val.labels, top).astype("float32")
                chance = top / len(self._names)
                found[f"{prefix}top{top}"] = Score(
                    float(right.mean()), chance, right, val.rows, val.hashes
                )
        meta = {
            "images": len(val),
            "templates": f"{len(self._templates)} of {self._templates_from}",
            "names": self._names[:3],
        }
        return Outcome(found, meta)


def _names(classes: tuple[str, ...]) -> list[str]:
    """What prompts call the classes: of ImageNet's those of CLIP, else themselves."""
    names = [name.replace("_", " ") for name in classes]
    places = imagenet_places(classes)
    if len(classes) == CLASSES and (places >= 0).all():
        for place, one in zip(places, tables.imagenet_classes(), strict=True):
            names[place] = one.name
    return names


def _lines(option: str, where: str) -> list[str]:
    try:
        text = pathlib.Path(where).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{option}: expected "
            + ("" if option != "templates" else f"{', '.join(tables.prompt_templates())}, or ")
            + f"a text file, received {where!r}, which cannot be read"
        ) from error
    return [line.strip() for line in text.splitlines() if line.strip()]
