"""ImageNet's validation images by classifiers that are fitted on 1 % and 10 % of the labels."""

import numpy as np

from xsample_tf.data.stream.record_index import hash_of, name_of, read_index
from xsample_tf.errors import InputError
from xsample_tf.evaluation import tables
from xsample_tf.evaluation.images import ALLOW_PARTIAL, check_count
from xsample_tf.evaluation.ranking import accuracies
from xsample_tf.evaluation.results import Figure, Outcome, of_images
from xsample_tf.evaluation.runner import Runner
from xsample_tf.evaluation.tasks.base import TASKS, Task

PERCENT = (1, 10)


@TASKS.register("few_labels", options=[ALLOW_PARTIAL])
class FewLabels(Task):
    """Linear probes on SimCLR's lists of 1 % and 10 % of ImageNet's training images."""

    figures = tuple(
        Figure(f"percent{percent}_top{top}", f"linear top-{top}, {percent} % of labels", "{:.1%}")
        for percent in PERCENT
        for top in (1, 5)
    )

    def __init__(self, allow_partial: bool):
        self._partial = allow_partial
        self._listed: dict[int, np.ndarray] = {}
        self._left_out: dict[str, str] = {}

    def check(self, runner: Runner) -> None:
        """Looks for the listed images among the training images, by their file names.

        Raises:
            InputError: No classes, or images of a list that are not there.
        """
        directory, limit = runner.dataset.directory, runner.settings.limit
        if not runner.dataset.class_names:
            raise InputError(f"few_labels: expected labelled images, received none in {directory}")
        names = read_index(runner.dataset, "train", runner.settings.log).names[:limit]
        for percent in PERCENT:
            wanted = [hash_of(name_of(name)) for name in sorted(tables.few_labels(percent))]
            self._listed[percent] = np.isin(names, np.array(wanted, np.uint64))
            found = int(self._listed[percent].sum())
            self._left_out |= check_count(
                f"few_labels ({percent} %)",
                found,
                len(wanted),
                directory,
                self._partial,
                "training images such as n01440764_10026.JPEG",
            )

    def run(self, runner: Runner) -> Outcome:
        """Returns top-1 and, of more than 5 classes, top-5 accuracy of `val/`."""
        train, labelled = runner.data.train, runner.labelled
        scores, meta = {}, {}
        for percent, listed in self._listed.items():
            if len(listed) != len(train):
                raise InputError(
                    f"few_labels: expected {len(listed):,} training images, received "
                    f"{len(train):,} that can be decoded; the lists cannot be joined"
                )
            few = train.where(listed & (train.labels >= 0))
            head = runner.splits(few, labelled.val, labelled.classes).head
            found = accuracies(
                f"percent{percent}",
                head.scores(labelled.val.embeddings),
                labelled.val.labels,
                few.labels,
                labelled.classes,
            )
            scores |= of_images(found, labelled.val.hashes)
            meta[f"{percent} %"] = {"images": len(few), "head": head.text}
        return Outcome(scores, meta, self._left_out)
