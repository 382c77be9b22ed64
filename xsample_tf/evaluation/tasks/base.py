"""What every task is, and the tasks by name."""

import abc

from xsample_tf.evaluation.results import Figure, Outcome
from xsample_tf.evaluation.runner import Runner
from xsample_tf.registry import Registry

TASKS = Registry("task", "xsample_tf.evaluation.tasks")


class Task(abc.ABC):
    """One thing that an encoder is evaluated on: data, how it is prepared, and how it is scored.

    Attributes:
        figures: How its own numbers are named and shown. Those of measures are known without.
            Defaults to none.

    Example:
        >>> @TASKS.register("rotated", options=[Option("rotated_dir", "", "Rotated images.")])
        ... class Rotated(Task):
        ...     figures = (Figure("top1", "top-1 accuracy", "{:.1%}"),)
        ...
        ...     def __init__(self, rotated_dir):
        ...         self._directory = rotated_dir
        ...
        ...     def run(self, runner):
        ...         rotated = runner.embed("rotated", images_of(self._directory, runner.image_size))
        ...         right = hits(runner.head.scores(rotated.embeddings), rotated.labels)
        ...         return Outcome({"top1": Score(right.mean(), per_image=right)})
    """

    figures: tuple[Figure, ...] = ()

    def check(self, runner: Runner) -> None:  # noqa: B027  Most tasks have nothing to check.
        """Looks at data and settings before any task runs.

        Raises:
            InputError: The task cannot run on them.
        """

    @abc.abstractmethod
    def run(self, runner: Runner) -> Outcome:
        """Returns the scores of one encoder.

        Args:
            runner: Gives the features of the data directory (`data`) and of the task's own images
                (`embed`), a linear `head` that is fitted on the data directory, and all measures
                of any features (`measure`).
        """
