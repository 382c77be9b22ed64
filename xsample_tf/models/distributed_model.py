"""What Keras's `fit` and `evaluate` lack under `tf.distribute`, in one place (Keras 3.15)."""

import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Any

import keras
import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.tensorflow_errors import as_input_errors


class DistributedModel(keras.Model):
    """A model whose own steps `fit` and `evaluate` run on every replica of any strategy.

    Keras 3.15 calls a model symbolically before its first step, on batches that are none of any
    replica; its `steps_per_execution` fails under `MirroredStrategy`, and its `fit` fails under
    `MultiWorkerMirroredStrategy`. Here a step returns scalars by name, which are averaged over the
    replicas, and nothing is called beforehand: the model is built when it is made.

    Attributes:
        seconds_waiting: How long steps have waited for data.
    """

    seconds_waiting = 0.0
    _made_for: Any = None

    def build(self, input_shape: Any = None) -> None:
        """Does nothing: all parts are built already."""

    def _maybe_symbolic_build(self, *unused: Any, **arguments: Any) -> None:
        """Does nothing, as all is built."""

    def fit(self, x: Any = None, *arguments: Any, **options: Any) -> keras.callbacks.History:
        """As Keras's; refuses a model and a dataset that do not fit the strategy in force.

        Raises:
            InputError: The model, or a part of it, was made outside of the strategy's scope, or
                several workers would not share the batches by rows.
        """
        self._check_scope()
        check_sharding(self.distribute_strategy, x)
        return super().fit(x, *arguments, **options)

    def _check_scope(self) -> None:
        """Refuses a model of which the strategy in force, or its own, does not know all weights."""
        strategy = self.distribute_strategy
        if tf.distribute.has_strategy():
            strategy = tf.distribute.get_strategy()
        check_scope(strategy, self.variables)
        optimizer = getattr(self, "optimizer", None)  # Keras sets it in `compile`.
        if optimizer is not None:
            check_scope(strategy, optimizer.variables, "optimizer")

    def make_train_function(self, force: bool = False) -> Callable:
        """Makes the function of an iterator that `fit` calls."""
        if not self.optimizer.built:  # A second time, the scale of float16 would start anew.
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)
        # What was made for other trainable variables would go on with them in silence.
        key = self._function_key()
        if self.train_function is None or force or key != self._made_for:
            self.train_function = self._function(self.train_step, training=True)
            self._made_for = key
        return self.train_function

    def _function_key(self) -> Any:
        """What the training function depends on and can change after `compile`."""
        return [id(variable) for variable in self.trainable_variables]

    def make_test_function(self, force: bool = False) -> Callable:
        """Makes the function of an iterator that `evaluate` calls."""
        if self.test_function is None or force:
            self.test_function = self._function(self.test_step, training=False)
        return self.test_function

    def _admitted(self, data: Any, training: bool) -> Any:
        """The batch that the step gets, of what the dataset gives, looked at on the host."""
        del training
        return data

    def _remarks(self, data: Any) -> dict[str, tf.Tensor]:
        """Values by row of an admitted batch that the host looks at after the step, by name."""
        del data
        return {}

    def _take_remarks(self, data: Any, remarks: dict[str, Any]) -> None:
        """Looks at the remarks on what the dataset gave; must not wait for the step."""

    def _function(self, step: Callable[[Any], dict[str, tf.Tensor]], training: bool) -> Callable:
        strategy = self.distribute_strategy

        def one(data: Any) -> tuple[dict[str, tf.Tensor], dict[str, Any]]:
            results = strategy.run(step, args=(data,))
            means = {name: strategy.reduce("MEAN", value, None) for name, value in results.items()}
            return means, strategy.run(self._remarks, args=(data,))

        def several(*batches: Any) -> list[tuple[dict[str, tf.Tensor], dict[str, Any]]]:
            return [one(data) for data in batches]

        if not self.run_eagerly:
            # XLA holds no collectives: on several replicas only parts of a step are compiled.
            compiled = self.jit_compile and strategy.num_replicas_in_sync == 1
            one = tf.function(one, jit_compile=compiled, autograph=False, reduce_retracing=True)
            several = tf.function(several, autograph=False)

        def function(iterator: Any) -> dict[str, tf.Tensor]:
            # Fetched here and not inside a `tf.function`, where an iterator of a strategy does not
            # know the size of a replica's batch, which XLA and the loss's tiles need.
            start = time.perf_counter()
            given = [next(iterator)]
            with contextlib.suppress(StopIteration):
                while len(given) < self.steps_per_execution:
                    given.append(next(iterator))
            self.seconds_waiting += time.perf_counter() - start
            batches = [self._admitted(data, training) for data in given]
            for batch in batches:
                _check_shares(strategy, batch)
            with as_input_errors():
                whole = 1 < len(batches) == self.steps_per_execution
                done = several(*batches) if whole else [one(data) for data in batches]
            for data, (_, remarks) in zip(given, done, strict=True):
                self._take_remarks(data, remarks)
            return _last([results for results, _ in done])

        return function


def _last(results: list[dict[str, tf.Tensor]]) -> dict[str, tf.Tensor]:
    """The last step's results; the loss of one before it that was not finite still shows."""
    last = dict(results[-1])
    if len(results) > 1 and "loss" in last:
        last["loss"] += sum(0 * each["loss"] for each in results[:-1])
    return last


def check_scope(
    strategy: tf.distribute.Strategy, variables: Iterable[keras.Variable], what: str = "model"
) -> None:
    """Raises `InputError` where a variable was not made within the strategy's scope."""
    for variable in variables:
        if not strategy.extended.variable_created_in_scope(variable.value):
            name = type(strategy).__name__
            received = f"received {variable.path} from outside; make"
            raise InputError(
                f"strategy: expected an optimizer made within {name}.scope(), {received} it there"
                if what == "optimizer"
                else f"strategy: expected a model whose parts are all made within {name}.scope(), "
                f"{received} encoder, projector and model in it"
            )


def check_sharding(strategy: tf.distribute.Strategy, dataset: Any) -> None:
    """Refuses a dataset whose policy would change the global batch with the number of workers."""
    # A strategy without workers has no resolver, or one without a cluster.
    resolver = strategy.cluster_resolver
    cluster = resolver.cluster_spec().as_dict() if resolver else {}
    if sum(map(len, cluster.values())) < 2 or not isinstance(dataset, tf.data.Dataset):
        return
    policies = tf.data.experimental.AutoShardPolicy
    policy = dataset.options().experimental_distribute.auto_shard_policy
    if policy != policies.DATA:
        raise InputError(
            f"dataset: expected the sharding policy DATA on several workers, received "
            f"{policies(policy).name}, by which they would not share one batch; set "
            "options.experimental_distribute.auto_shard_policy, or give each worker its own rows "
            "by strategy.distribute_datasets_from_function and data.load(..., share=(i, n))"
        )


def _check_shares(strategy: tf.distribute.Strategy, batch: Any) -> None:
    """Refuses a batch that the replicas of this process cannot share equally."""
    if strategy.num_replicas_in_sync == 1:
        return
    values = strategy.experimental_local_results(tf.nest.flatten(batch)[0])
    shares = {value.shape[0] for value in values}
    if len(shares) > 1:
        raise InputError(
            f"batch: expected images that {strategy.num_replicas_in_sync} replicas share equally, "
            f"received shares of {', '.join(map(str, sorted(shares)))}; choose a batch size that "
            "they divide, and batch with drop_remainder=True"
        )
