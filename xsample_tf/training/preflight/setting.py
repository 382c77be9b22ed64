"""What a preflight looks at: the run's options with its data, graph and devices."""

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping

import keras
import tensorflow as tf

from xsample_tf import data, losses, text
from xsample_tf.errors import InputError
from xsample_tf.models.distributed_model import DistributedModel
from xsample_tf.training.distributed import cluster
from xsample_tf.training.distributed.strategy import make_strategy
from xsample_tf.training.execution import dtype_policy_scope
from xsample_tf.training.objectives import Objective, make_objective
from xsample_tf.training.options import Options
from xsample_tf.training.run_data import (
    check_batch,
    open_dataset,
    read_records_once,
    steps_per_epoch,
    total_steps_of,
)

_SCENES = 256  # Generated images, where the run's are not there yet.
_TOKENS = 512  # Of the vocabulary of their captions, at most.
# Why there may be nothing to compare one device with.
NOT_SPLIT = "there is one device, and TensorFlow had started before the CPU could be split"
_CHECK_SIZE = 64  # Pixels of the images in checks, at most: what they check does not depend on it.


@dataclasses.dataclass(frozen=True)
class OpenedRun:
    """The run, opened.

    Attributes:
        objective: The run's.
        images: What the images are, in words.
        generated: Whether they are stand-ins.
        strategy: The run's.
        several: What the checks compare one device with; None where the CPU could not be split.
        total_steps: The run's length.
        steps_per_epoch: Of the run.
    """

    objective: Objective
    images: str
    generated: bool
    strategy: tf.distribute.Strategy
    several: tf.distribute.Strategy | None
    total_steps: int
    steps_per_epoch: int

    @property
    def options(self) -> Options:
        """The run's options; where its data is not there yet, with that of stand-ins."""
        return self.objective.options

    @property
    def several_name(self) -> str:
        """Its devices, in words."""
        if self.several is None:
            return "several devices"
        kind = "replicas" if self.several is self.strategy else "logical CPU devices"
        return f"{self.several.num_replicas_in_sync} {kind}"

    def small(self) -> Objective:
        """The objective of checks that train: few images of few pixels."""
        replicas = self.several.num_replicas_in_sync if self.several else 1
        each = min(max(16 // replicas, 8), self.options.batch_size // replicas)
        size = self.options.image_size
        if not self.options.takes_encoder:  # Which may be of one size.
            size = min(size, _CHECK_SIZE)
        return self.objective.with_options(
            batch_size=each * replicas,
            image_size=size,
            shuffle_window=1,
            # Else several devices would rightly take another step than one.
            synchronized_batch_norm="auto",
            microbatch_size=0,
        )

    def loss(self, **changes: object) -> losses.ContrastiveLoss:
        """The run's loss, but for those of these arguments that it has."""
        return _changed(self.objective.make_loss(), changes)

    @property
    def loss_has_forms(self) -> bool:
        """Whether the run's loss can be computed dense and by tiles."""
        loss = self.objective.make_loss()
        return any(hasattr(one, "implementation") for one in getattr(loss, "losses", [loss]))

    def model(
        self,
        objective: Objective,
        strategy: tf.distribute.Strategy,
        policy: str,
        compiled: bool,
        make_optimizer: Callable[[], keras.Optimizer],
        loss: losses.ContrastiveLoss,
    ) -> DistributedModel:
        """The objective's model, ready for `fit`, on these devices and in this precision."""
        with dtype_policy_scope(policy), strategy.scope():
            model = objective.make_model()
            model.compile(make_optimizer(), loss, jit_compile=compiled)
        return model


def _changed(loss: losses.ContrastiveLoss, changes: Mapping[str, object]) -> losses.ContrastiveLoss:
    config = loss.get_config()
    own = {name: value for name, value in changes.items() if name in config}
    members = [_changed(one, changes) for one in getattr(loss, "losses", ())]
    if members:
        own["losses"] = [keras.saving.serialize_keras_object(one) for one in members]
    return type(loss).from_config(config | own)


@contextlib.contextmanager
def open_run(options: Options, log: Callable[[str], None]) -> Iterator[OpenedRun]:
    """Opens the run as `train` would, but for its directory.

    Raises:
        InputError: The options or the data cannot be used; the same that `train` would say. Or
            several machines are asked for.
    """
    if cluster.cluster_from_environment(options.strategy) is not None:
        raise InputError(
            "strategy: expected one machine, received several workers; unset TF_CONFIG and use "
            "--strategy=mirrored, on each machine by itself"
        )
    _split_cpu(options)
    with tempfile.TemporaryDirectory() as directory:
        images = ", ".join(options.data_dir)
        first = os.path.join(*options.data_dir[:1], "dataset.json")
        generated = bool(options.source) and not tf.io.gfile.exists(first)
        if generated:
            options = _with_scenes(options, directory)
            images = f"{_SCENES} generated scenes, since {images} is not there yet"
        dataset = open_dataset(options)
        read_records_once(options, log)
        per_epoch = steps_per_epoch(options)
        total_steps = total_steps_of(options, per_epoch)
        objective = make_objective(options, dataset)
        strategy = make_strategy(options.strategy)
        check_batch(options, strategy.num_replicas_in_sync)
        yield OpenedRun(
            objective,
            images,
            generated,
            strategy,
            _several(strategy),
            total_steps,
            per_epoch,
        )


def _with_scenes(options: Options, directory: str) -> Options:
    """The options with generated scenes for data, as often as a batch needs them."""
    size = min(max(options.image_size * 8 // 7, 16), 1024)  # As photographs, larger than a view.
    data.prepare(
        f"scenes:count={_SCENES},size={size}",
        directory,
        encoders=[text.load_encoder("lexical")],
        log=lambda line: None,
    )
    if options.text_tower not in ("", "frozen"):
        data.add_vocabulary(directory, _TOKENS, text.learn_vocabulary, log=lambda line: None)
    copies = -(-options.batch_size // _SCENES)
    all_images = {"train_fraction": 1.0, "per_class": 0, "train_list": ""}
    return dataclasses.replace(
        options, source="", data_dir=(directory,) * copies, embedding="", **all_images
    )


def _split_cpu(options: Options) -> None:
    """Makes two logical devices of the CPU, to compare one with where the run has one device.

    Not where the run would take all CPU devices itself, and not once TensorFlow has started.
    """
    cpu = tf.config.list_physical_devices("CPU")[0]
    if options.strategy == "mirrored" or tf.config.get_logical_device_configuration(cpu):
        return
    with contextlib.suppress(RuntimeError):
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )


def _several(strategy: tf.distribute.Strategy) -> tf.distribute.Strategy | None:
    """The run's strategy where it has several replicas, else one of two logical CPU devices."""
    if strategy.num_replicas_in_sync > 1:
        return strategy
    devices = [device.name for device in tf.config.list_logical_devices("CPU")[:2]]
    if len(devices) < 2:
        return None
    # The default's collectives allow one strategy in a process only.
    return tf.distribute.MirroredStrategy(devices, tf.distribute.ReductionToOneDevice())
