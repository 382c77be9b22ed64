"""Which devices a run uses, of this machine or of several."""

import os
from collections.abc import Callable

import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.training.distributed import cluster

STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker", "tpu")


def make_strategy(name: str, log: Callable[[str], None] = print) -> tf.distribute.Strategy:
    """The strategy of a run. For several workers it has to be made before TensorFlow does anything.

    Args:
        name: "one_device" is TensorFlow's own choice of one device; "mirrored" is all GPUs of this
            machine, or where there is none all logical CPU devices; "multi_worker" is all GPUs of
            the machines that `TF_CONFIG` names, or of the SLURM job step, and returns when all
            have come; "tpu" is the TPU that the variable `TPU_NAME` names, or this machine's own.
            "auto" is "multi_worker" where `TF_CONFIG` names several workers, "mirrored" where
            there are several GPUs, else "one_device".
        log: Gets a line now and then while workers are missing.

    Raises:
        InputError: There are no such devices, or `TF_CONFIG` has a mistake.

    Example:
        >>> with make_strategy("auto").scope():
        ...     model = models.XSampleModel(models.backbone("resnet18"), models.projector(512))
    """
    found = cluster.cluster_from_environment(name)
    if found is not None:
        cluster.wait_for_workers(found, log)
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "tpu":
        return _tpu()
    gpus = tf.config.list_logical_devices("GPU")
    if name == "one_device" or (name == "auto" and len(gpus) < 2):
        return tf.distribute.get_strategy()
    devices = gpus or tf.config.list_logical_devices("CPU")
    if len(devices) < 2:
        raise InputError(
            f"strategy: expected several devices for 'mirrored', received {devices[0].name}; use "
            "auto or one_device"
        )
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def _tpu() -> tf.distribute.Strategy:
    name = os.environ.get("TPU_NAME", "local")
    try:
        return tf.distribute.TPUStrategy(
            tf.distribute.cluster_resolver.TPUClusterResolver.connect(name)
        )
    except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"strategy: expected a TPU, TPU_NAME={name} has none: {reason}") from None
