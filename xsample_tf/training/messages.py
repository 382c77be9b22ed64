"""Lines that a run prints before its first step."""

from xsample_tf import losses, models
from xsample_tf.training.options import Options


def describe_compilation(model: models.XSampleModel, why: str) -> str:
    """What of the model's step XLA compiles, and why."""
    if not model.jit_compile:
        return f"XLA: off, but for the tiled loss; {why}"
    if model.distribute_strategy.num_replicas_in_sync == 1:
        return f"XLA: the whole step; {why}"
    if model.encoder_is_compiled:
        return f"XLA: encoder and tiled loss, with collectives between them; {why}"
    return "XLA: the tiled loss only; it cannot compile batch norm that speaks to other replicas"


def describe_target(summary: losses.TargetSummary, options: Options) -> str:
    """What is printed before step 1, with a warning where the target is one-sided."""
    text = (
        f"target: temperature {summary.target_temperature:g} leaves "
        f"{summary.own_mass:.2f} of the mass on the image's own other "
        f"view{'s' if options.views > 2 else ''}; entropy {summary.entropy:.2f} nats, "
        f"{summary.effective_positives:.1f} effective positives "
        f"(batch {options.batch_size}, graph {options.graph})"
    )
    if options.graph == "instance" or 0.2 <= summary.own_mass <= 0.95:
        return text
    extreme = (
        "hardly ranks an image's own views first"
        if summary.own_mass < 0.2
        else ("hardly differs from SimCLR's")
    )
    return (
        f"{text}\nwarning: at this batch size and data the target {extreme}; "
        "--target_temperature=auto:0.5 chooses the temperature by this mass"
    )


def describe_length(options: Options, total_steps: int, steps_per_epoch: int) -> str:
    """The run's length in words, with a warning where the warm-up never ends."""
    epochs = total_steps / steps_per_epoch
    text = f"{total_steps} steps = {epochs:.4g} epochs of {steps_per_epoch} steps"
    if options.warmup_epochs >= epochs:
        text += f"\nwarning: the run ends within its warm-up of {options.warmup_epochs:g} epochs"
    return text
