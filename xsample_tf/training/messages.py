"""Lines that a run prints before its first step."""

from xsample_tf.models.distributed_model import DistributedModel
from xsample_tf.training.execution import compile_step, precision_policy
from xsample_tf.training.options import Options


def _describe_compilation(model: DistributedModel, why: str) -> str:
    """Returns what of the model's step XLA compiles, and why."""
    if not model.jit_compile:
        return f"XLA: off, but for the tiled loss; {why}"
    if model.distribute_strategy.num_replicas_in_sync == 1:
        return f"XLA: the whole step; {why}"
    if model.encoder_is_compiled:
        return f"XLA: encoder and tiled loss, with collectives between them; {why}"
    return "XLA: the tiled loss only; it cannot compile batch norm that speaks to other replicas"


def describe_model(options: Options, model: DistributedModel, learning_rate: float) -> str:
    """Returns what is trained, how, and on how many replicas, in one line."""
    replicas = model.distribute_strategy.num_replicas_in_sync
    return (
        f"model: {options.backbone}, {model.count_params() / 1e6:.1f} M weights with its "
        f"projector; {options.optimizer}, peak learning rate {learning_rate:g}; "
        f"{precision_policy(options)}; {replicas} replica{'s' if replicas > 1 else ''}; "
        f"{_describe_compilation(model, compile_step(options)[1])}"
    )


def describe_length(options: Options, total_steps: int, steps_per_epoch: int) -> str:
    """Returns the run's length in words, with a warning where the warm-up never ends."""
    epochs = total_steps / steps_per_epoch
    text = f"{total_steps} steps = {epochs:.4g} epochs of {steps_per_epoch} steps"
    if options.warmup_epochs >= epochs:
        text += f"\nwarning: the run ends within its warm-up of {options.warmup_epochs:g} epochs"
    return text
