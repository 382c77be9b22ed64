"""The loop of a run: steps, checkpoints and evaluations, from the newest checkpoint on."""

import math
from collections.abc import Callable

import tensorflow as tf

from xsample_tf import evaluation
from xsample_tf.models.distributed_model import DistributedModel
from xsample_tf.training.callbacks import LogIntervals
from xsample_tf.training.checkpoints import BEST, Checkpoints
from xsample_tf.training.distributed.workers import Workers
from xsample_tf.training.execution import explained, without_warnings_of_fit
from xsample_tf.training.interruption import Interrupted, StopSignals
from xsample_tf.training.logs import Logs
from xsample_tf.training.objectives import Objective
from xsample_tf.training.run_directory import RunDirectory


class TrainingLoop:
    """Trains a run's model to its last step, with what happens between the steps.

    Args:
        objective: What is trained for.
        model: The objective's model, compiled, with a built optimizer.
        directory: Where the run lives; entered.
        total_steps: Length of the run.
        steps_per_epoch: Steps in an epoch.
        evaluate: The evaluation of this run's encoder, given `limit` and `log`.
        signals: Asks the run to stop; entered.
        workers: The processes that train the run.

    Example:
        >>> step = TrainingLoop(objective, model, directory, ...).run()
    """

    def __init__(
        self,
        objective: Objective,
        model: DistributedModel,
        directory: RunDirectory,
        total_steps: int,
        steps_per_epoch: int,
        evaluate: Callable[..., evaluation.Evaluation],
        signals: StopSignals,
        workers: Workers,
    ):
        self._objective, self._options, self._model = objective, objective.options, model
        self._directory, self._evaluate = directory, evaluate
        self._total_steps, self._steps_per_epoch = total_steps, steps_per_epoch
        self._signals, self._workers, self._log = signals, workers, workers.log
        # Made when it is known that the run can go on.
        self._checkpoints: Checkpoints
        self._logs: Logs

    def run(self) -> int:
        """Trains what is left, and returns the last step.

        Raises:
            InputError: What is there does not fit the model, the loss is not finite, data cannot be
                read, or a write failed.
            Interrupted: A signal came, and the run has saved.
        """
        first = self._restore()
        if first >= self._total_steps:
            self._log("all steps are done; evaluating and exporting")
            return first
        self._logs = Logs(self._directory.path, first, self._workers.chief)
        self._evaluate_if_due(first)  # At 0 the untrained encoder, to compare the later ones with.
        last = self._fit(first)
        if last < self._total_steps:
            by = self._signals.received or "a signal to another worker"
            raise Interrupted(
                f"stopped by {by} at step {last} of {self._total_steps}, saved as "
                f"{self._checkpoints.newest}; the same command continues, or "
                f"--flagfile={self._directory.path / 'run.flags'}"
            )
        self._name_best(last)
        return last

    def _restore(self) -> int:
        """Restores the newest checkpoint and records the run's settings; returns the step."""
        with self._workers.together():
            self._checkpoints = Checkpoints(
                self._directory.path / "checkpoints", self._model, self._options.keep
            )
            first = self._checkpoints.restore(self._log)
        # Else run_dir is another directory there.
        self._workers.agree({"step of the newest checkpoint in run_dir": first})
        self._directory.begin()
        if first:
            self._log(f"continuing at step {first} from {self._checkpoints.newest}")
        return first

    def _fit(self, first: int) -> int:
        """Trains from a step to the last one or a signal, and returns the step it came to."""
        intervals = LogIntervals(
            logs=self._logs,
            checkpoints=self._checkpoints,
            options=self._options,
            shown=self._objective.progress,
            first_step=first,
            total_steps=self._total_steps,
            steps_per_epoch=self._steps_per_epoch,
            then=self._at_interval_end,
            stop=lambda: self._workers.any(self._signals.received is not None),
            log=self._log,
        )
        stream = self._distributed_stream(first)
        # One Keras epoch for what is left: epochs are a matter of the global step here, so that a
        # run can continue in the middle of one.
        with explained(self._options), without_warnings_of_fit(), self._signals.deferred():
            self._model.fit(
                stream,
                steps_per_epoch=self._total_steps - first,
                shuffle=False,
                verbose=0,
                callbacks=[intervals],
            )
        return intervals.step

    def _distributed_stream(self, first: int) -> tf.data.Dataset | tf.distribute.DistributedDataset:
        """The stream from a step on; each worker decodes its own rows of the batch."""

        def rows(context: tf.distribute.InputContext) -> tf.data.Dataset:
            workers = context.num_input_pipelines
            stream = self._objective.make_stream(first, (context.input_pipeline_id, workers))
            if context.num_replicas_in_sync == workers:
                return stream
            own = context.get_per_replica_batch_size(self._options.batch_size)
            return stream.rebatch(own, drop_remainder=True)

        return self._workers.strategy.distribute_datasets_from_function(rows)

    def _at_interval_end(self, step: int) -> None:
        """Saves a checkpoint where one is due, and evaluates after it."""
        every = self._options.checkpoint_every_steps
        passed = step // every > self._checkpoints.step // every
        kept = self._due(step, self._options.keep_every_epochs)
        # Before an evaluation as well, so that a kill during it costs no steps.
        evaluated = self._due(step, self._options.evaluate_every_epochs)
        if passed or kept or evaluated or step == self._total_steps:
            name = f"epoch-{step // self._steps_per_epoch:04d}" if kept else None
            path = self._checkpoints.save(step, name)
            if kept:
                self._log(f"kept checkpoint {path.name}")
        self._evaluate_if_due(step)

    def _evaluate_if_due(self, step: int) -> None:
        every = self._options.evaluate_every_epochs
        # The last one as well, so that it is compared with the best one before it.
        due = self._due(step, every) or (every and step == self._total_steps)
        if not due or self._logs.evaluated(step):
            return
        if self._signals.received or not self._workers.chief:
            return  # Continued, the run comes by here again; other workers wait in the next step.
        with self._signals.deferred(False):
            found = self._evaluate(limit=self._options.evaluate_limit, log=self._log)
        scores = found.as_dict()
        self._log(evaluation.summary(scores, step))
        self._keep_if_best(step, scores["trained"])
        # Last, so that what a kill cuts short is done again.
        self._logs.add_evaluation(step, scores["trained"])

    def _keep_if_best(self, step: int, values: dict[str, float | None]) -> None:
        decided, best = evaluation.deciding(values), self._logs.best()
        if not step or decided is None:
            return
        # A run of before may have evaluations, and no checkpoint of the best.
        if best is None or decided[1] > best[2] or not self._checkpoints.has_best:
            self._checkpoints.keep_best()

    def _name_best(self, last: int) -> None:
        """Says which evaluation was the best, where it was not the last one."""
        best = self._logs.best()
        if best is not None and best[0] != last and self._options.export != BEST:
            step, figure, value = best
            self._log(
                f"the best evaluation was that of step {step:,} ({figure} {value:.3f}), kept as "
                f"checkpoint {BEST!r}; tools/export.py --run_dir={self._directory.path} "
                f"--checkpoint={BEST} exports it"
            )

    def _due(self, step: int, every_epochs: int) -> bool:
        """Whether so many epochs end in the execution that ends with a step."""
        since = step % (every_epochs * self._steps_per_epoch) if every_epochs else math.inf
        return since < self._options.steps_per_execution
