"""Which devices a run uses."""

import tensorflow as tf

from xsample_tf.errors import InputError

STRATEGIES = ("auto", "one_device", "mirrored")


def make_strategy(name: str) -> tf.distribute.Strategy:
    """The strategy of a run on this machine.

    Args:
        name: "one_device" is TensorFlow's own choice of one device, "mirrored" is all GPUs, or
            where there is none all logical CPU devices, and "auto" is "mirrored" where there are
            several GPUs, else "one_device".

    Raises:
        InputError: "mirrored" where there is one device.

    Example:
        >>> with make_strategy("auto").scope():
        ...     model = models.XSampleModel(models.backbone("resnet18"), models.projector(512))
    """
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
