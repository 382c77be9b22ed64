"""The data directory itself."""

from xsample_tf.errors import InputError
from xsample_tf.evaluation.measures.base import MEASURES, names
from xsample_tf.evaluation.results import Outcome
from xsample_tf.evaluation.runner import Runner
from xsample_tf.evaluation.tasks.base import TASKS, Task


@TASKS.register("shards")
class Shards(Task):
    """The data directory: all measures of `val/`; what is fitted is fitted on `train/`."""

    def check(self, runner: Runner) -> None:
        """Opens the data directory.

        Raises:
            InputError: There is none, its caption vectors are not those asked for, or probes are
                asked for without labels.
        """
        probes, dataset = runner.settings.probes, runner.dataset
        captioned = runner.captions is not None
        if probes and not dataset.class_names:
            absent = {"labels"} if captioned else {"labels", "captions"}
            left = [name for name in names() if absent.isdisjoint(MEASURES[name].make.needs)]
            raise InputError(
                f"probes: {' and '.join(probes)} need labels, and {dataset.directory} has none; "
                f"without probes it is measured by {', '.join(left)}"
            )

    def run(self, runner: Runner) -> Outcome:
        """Returns the scores of all measures."""
        outcome, limit = runner.measure(runner.data), runner.settings.limit
        unreadable = {}
        for split, found in outcome.meta["images"].items():
            records = runner.dataset.records(split)
            unreadable[split] = min(records, limit or records) - found
        left_out = {
            f"{count} images of {split}": "they cannot be decoded"
            for split, count in unreadable.items()
            if count
        }
        encoder = getattr(runner.captions, "name", runner.captions)
        meta = outcome.meta | {"unreadable": unreadable, "text_encoder": encoder}
        return Outcome(outcome.scores, meta, left_out | outcome.left_out)
