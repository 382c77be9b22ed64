"""What options and devices must agree on before the first step."""

from xsample_tf.errors import InputError
from xsample_tf.training.options import Options


def total_steps_of(options: Options, steps_per_epoch: int) -> int:
    """Returns the run's length in steps.

    Raises:
        InputError: Neither epochs nor steps are given.
    """
    if options.steps is None and options.epochs is None:
        raise InputError("expected the length of the run: give epochs or steps")
    return options.steps if options.steps is not None else options.epochs * steps_per_epoch


def check_batch(options: Options, replicas: int) -> None:
    """Raises `InputError` where the replicas cannot share the batch."""
    if options.batch_size % replicas:
        raise InputError(
            f"batch_size: expected a multiple of the {replicas} replicas, received "
            f"{options.batch_size}"
        )


def check_microbatches(options: Options, replicas: int) -> None:
    """Raises `InputError` unless microbatches divide the replica's share of the batch."""
    share = options.batch_size // replicas
    if options.microbatch_size and share % options.microbatch_size:
        raise InputError(
            f"microbatch_size: expected a divisor of the {share} images of each of {replicas} "
            f"replica{'s' if replicas > 1 else ''}, received {options.microbatch_size}"
        )
