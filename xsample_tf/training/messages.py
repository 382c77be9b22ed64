"""Lines that a run prints before its first step and after its last one."""

import math
import pathlib

from xsample_tf.models.caption_side import CaptionSide
from xsample_tf.models.distributed_model import DistributedModel
from xsample_tf.models.serving import TextSide
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


def named(options: Options) -> str:
    """Returns what the encoder is, by its name or what it comes from."""
    return options.backbone or options.init_from


def describe_model(options: Options, model: DistributedModel, learning_rate: float) -> str:
    """Returns what is trained, how, and on how many replicas, in one line."""
    replicas = model.distribute_strategy.num_replicas_in_sync
    return (
        f"model: {named(options)}, {model.count_params() / 1e6:.1f} M weights with its "
        f"projector; {options.optimizer}, peak learning rate {learning_rate:g}; "
        f"{precision_policy(options)}; {replicas} replica{'s' if replicas > 1 else ''}; "
        f"{_describe_compilation(model, compile_step(options)[1])}"
    )


def describe_frozen(options: Options, model: DistributedModel) -> str:
    """Returns how much of the encoder is not trained, in one line; "" where all is."""
    if not options.freeze:
        return ""
    layers = [one for one in model.encoder._flatten_layers() if one._trainable_variables]
    frozen = [layer for layer in layers if not layer._trainable_variables[0].trainable]
    variables = (
        [v for layer in some for v in layer._trainable_variables] for some in (frozen, layers)
    )
    count, total = (f"{sum(math.prod(v.shape) for v in some):,}" for some in variables)
    return (
        f"frozen by {options.freeze!r}: {len(frozen)} of the encoder's {len(layers)} layers with "
        f"weights, {count} of its {total} parameters"
    )


def describe_length(options: Options, total_steps: int, steps_per_epoch: int) -> str:
    """Returns the run's length in words, with a warning where the warm-up never ends."""
    epochs = total_steps / steps_per_epoch
    text = f"{total_steps} steps = {epochs:.4g} epochs of {steps_per_epoch} steps"
    if options.warmup_epochs >= epochs:
        text += f"\nwarning: the run ends within its warm-up of {options.warmup_epochs:g} epochs"
    return text


def describe_export(directory: pathlib.Path, texts: TextSide | CaptionSide | None = None) -> str:
    """Returns how to use an export, in a few lines."""
    if isinstance(texts, TextSide):
        return (
            f"exported to {directory}. Use it with TensorFlow and tensorflow-text:\n"
            "  import tensorflow as tf, tensorflow_text\n"
            f'  model = tf.saved_model.load("{directory / "saved_model"}").signatures\n'
            '  image = model["embed_jpeg"](tf.constant([open("image.jpg", "rb").read()]))\n'
            '  text = model["embed_text"](tf.constant(["a photo of a dog"]))\n'
            '  cosine = tf.reduce_sum(image["embedding"] * text["embedding"])'
        )
    search = (
        "\nSearch photos by text: python tools/search.py "
        f'--model={directory} --images=FOLDER --caption="a dog on a beach"'
    )
    return (
        f"exported to {directory}. Use it with TensorFlow alone:\n"
        "  import tensorflow as tf\n"
        f'  encoder = tf.saved_model.load("{directory / "saved_model"}")\n'
        '  encoder.signatures["embed_jpeg"](tf.constant([open("image.jpg", "rb").read()]))'
        f'["embedding"]{"" if texts is None else search}'
    )
