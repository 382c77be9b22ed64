"""What every measure is, and the measures by name."""

import abc
from collections.abc import Collection, Mapping
from typing import Any

from xsample_tf.errors import InputError, suggest
from xsample_tf.evaluation.results import Figure, Score
from xsample_tf.evaluation.splits import NEEDS, Splits
from xsample_tf.registry import Registry

MEASURES = Registry("measure", "xsample_tf.evaluation.measures")


class Measure(abc.ABC):
    """One thing that is computed of frozen features.

    Attributes:
        figures: How each of its numbers is named and shown.
        needs: What it cannot do without: "train" (a split to fit on), "labels", "captions" (caption
            vectors). It is given the images that have all of it, and is left out, with the reason,
            where a split has fewer than two. Defaults to nothing.
        costly: Whether it runs only where `probes` names it. Defaults to False.

    Raises:
        InputError: At the definition of a class without figures, or with an unknown need.

    Example:
        >>> @MEASURES.register("spread")
        ... class Spread(Measure):
        ...     figures = (Figure("spread", "mean distance from the centre"),)
        ...
        ...     def run(self, features):
        ...         centred = features.val.embeddings - features.val.embeddings.mean(axis=0)
        ...         distance = np.linalg.norm(centred, axis=1)
        ...         return {"spread": Score(float(distance.mean()), per_image=distance)}
    """

    figures: tuple[Figure, ...] = ()
    needs: Collection[str] = ()
    costly: bool = False

    def __init_subclass__(cls, **more):
        super().__init_subclass__(**more)
        if not cls.figures or not all(isinstance(one, Figure) for one in cls.figures):
            raise InputError(
                f"measure {cls.__name__}: expected figures = (Figure(name, title), ...), received "
                f"{cls.figures!r}"
            )
        if isinstance(cls.needs, str) or not set(cls.needs) <= set(NEEDS):
            raise InputError(
                f"measure {cls.__name__}: expected needs as a tuple of {', '.join(NEEDS)}, "
                f"received {cls.needs!r}"
            )

    @abc.abstractmethod
    def run(self, features: Splits) -> dict[str, Score]:
        """Returns the scores of one encoder by the names of the figures; some may be absent.

        Args:
            features: `train` and `val`, each with `embeddings`, `projections`, `labels` and
                `captions`; the number of `classes`; the `neighbours` in `train` of each image of
                `val`, and the linear `head` that is fitted on `train`, both computed when asked
                for.
        """


def names() -> tuple[str, ...]:
    """Returns the names of all measures as reports list them: those of labels first."""

    def place(name: str) -> tuple[bool, bool, str]:
        needs = _class_of(name).needs
        return "labels" not in needs, "captions" not in needs, name

    return tuple(sorted(MEASURES.names(), key=place))


def of_labels() -> tuple[str, ...]:
    """Returns the names of the measures that need labels, among which `probes` chooses."""
    return tuple(name for name in names() if "labels" in _class_of(name).needs)


def make(probes: Collection[str] | None, values: Mapping[str, Any]) -> dict[str, Measure]:
    """Makes the measures of an evaluation, in the order of reports.

    Args:
        probes: Of the measures that need labels; None takes all that are not costly. The others are
            taken in any case.
        values: Values of the options that measures declare, by name.

    Raises:
        InputError: A probe that is no such measure, a bad value, or a figure that two measures
            have.
    """
    for probe in probes or ():
        if probe not in of_labels():
            raise InputError(f"probes: unknown probe {probe!r}; {suggest(probe, of_labels())}")
    figures()
    return {
        name: MEASURES.make(name, values=values)
        for name in names()
        if name in (probes or ())
        or (not _class_of(name).costly and (probes is None or name not in of_labels()))
    }


def figures() -> dict[str, Figure]:
    """Returns the figures of all measures by name.

    Raises:
        InputError: Two measures have a figure of one name.
    """
    found: dict[str, Figure] = {}
    for name in names():
        for figure in _class_of(name).figures:
            if figure.name in found:
                raise InputError(
                    f"measure {name!r}: its figure {figure.name!r} is another measure's; rename "
                    "one of them"
                )
            found[figure.name] = figure
    return found


def _class_of(name: str) -> type[Measure]:
    made = MEASURES[name].make
    if not (isinstance(made, type) and issubclass(made, Measure)):
        raise InputError(f"measure {name!r}: expected a subclass of Measure, received {made}")
    return made
