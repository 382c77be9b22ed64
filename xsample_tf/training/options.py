"""Everything that describes a training run, in one frozen dataclass."""

import dataclasses
import math
from typing import Any

from xsample_tf.errors import InputError, suggest
from xsample_tf.models import BACKBONES
from xsample_tf.training.distributed.strategy import STRATEGIES
from xsample_tf.training.optimizers import OPTIMIZERS

GRAPHS = ("cosine", "class", "label", "instance")
AUGMENTATIONS = ("simclr", "autoaugment")
CHOICES = {
    "graph": GRAPHS,
    "augmentation": AUGMENTATIONS,
    "captions": ("draw", "mean"),
    "color_on": ("auto", "host", "accelerator"),
    "backbone": tuple(BACKBONES),
    "optimizer": tuple(OPTIMIZERS),
    "learning_rate_scaling": ("none", "linear", "sqrt"),
    "precision": ("auto", "float32", "bfloat16", "float16"),
    "synchronized_batch_norm": ("auto", "on", "off"),
    "xla": ("auto", "on", "off"),
    "strategy": STRATEGIES,
}


def _option(default: Any, help: str, changes_result: bool = True) -> Any:
    return dataclasses.field(
        default=default, metadata={"help": help, "changes_result": changes_result}
    )


@dataclasses.dataclass(frozen=True)
class Options:
    """The settings of a run; `tools/train.py` has a flag for each, with the same name.

    Raises:
        InputError: A value out of range, an unknown name, or settings that exclude each other.

    Example:
        >>> train(Options(data_dir=("data/flickr8k",), run_dir="runs/first", epochs=10))
    """

    # Data.
    data_dir: tuple[str, ...] = _option((), "Directories that prepare_data wrote.")
    source: str = _option(
        "", "Prepare data_dir from this source first, if it is not there: KIND:WHERE.", False
    )
    text_encoder: str = _option("lexical", "With source: the text encoder's handle.", False)
    embedding: str = _option("", "Which encoder's caption vectors, where there are several.")
    encode_captions: str = _option(
        "", "Encode captions while training, by this text encoder's handle; no vectors are read."
    )
    captions: str = _option("draw", "Of several captions: draw one per visit, or their mean.")
    shuffle_window: int = _option(8192, "Records that are shuffled among each other.")
    max_substituted: float = _option(
        0.02, "Stop when more than this share of the records cannot be read.", False
    )
    max_skipped: float = _option(
        0.5,
        "Stop when more than this share of the steps, of 50 at least, was skipped because the loss "
        "or a gradient was not finite.",
        False,
    )
    # Views.
    image_size: int = _option(224, "Side of the square views, in pixels.")
    views: int = _option(2, "Views of each image.")
    augmentation: str = _option("simclr", "Policy of the views: simclr or autoaugment.")
    min_crop: float = _option(0.08, "Smallest area of a random crop, as a share of the image.")
    color_strength: float = _option(1.0, "Strength of the SimCLR policy's colour jitter.")
    blur: bool = _option(True, "Gaussian blur in the SimCLR policy.")
    color_on: str = _option(
        "auto",
        "Where the SimCLR policy's colours and blur are computed: host, or accelerator, as part of "
        "the step; auto is accelerator where there is one.",
        False,
    )
    # Objective.
    graph: str = _option("cosine", "How images relate: cosine, class, label or instance.")
    center: bool = _option(False, "Subtract the mean caption vector first.")
    temperature: float = _option(0.1, "Temperature of the embeddings' softmax.")
    target_temperature: str | float = _option(
        "graph",
        "Temperature of the target's softmax: a number, 'graph' for the graph's own, or "
        "'auto:MASS' for the one that leaves this mass on the image's own other views.",
    )
    exclude_self: bool = _option(True, "Leave a view out of its own candidates.")
    # Model.
    backbone: str = _option("resnet50", "Encoder by name.")
    small_images: bool = _option(False, "Stem for small images: 3x3, stride 1, no pooling.")
    projector_dim: int = _option(128, "Size of the projection that the loss compares.")
    projector_hidden: int = _option(2048, "Size of the projector's hidden layers.")
    projector_layers: int = _option(2, "Layers of the projector.")
    synchronized_batch_norm: str = _option(
        "auto", "Batch statistics over all replicas: auto is on where there are several."
    )
    # Optimisation.
    batch_size: int = _option(1024, "Images in the global batch; each gives several views.")
    microbatch_size: int = _option(
        0,
        "Images of one replica that pass the encoder at a time, for less memory at the exact loss "
        "of the whole batch; batch norm has the microbatch's statistics; 0: all.",
    )
    epochs: int | None = _option(None, "Length of the run in epochs; not with steps.")
    steps: int | None = _option(None, "Length of the run in steps; not with epochs.")
    warmup_epochs: float = _option(10.0, "Linear warm-up of the learning rate, in epochs.")
    optimizer: str = _option("lars", "lars, sgd or adamw.")
    learning_rate: float = _option(0.3, "Peak learning rate, as used unless scaled.")
    learning_rate_scaling: str = _option(
        "none", "Multiply learning_rate by batch_size/256 (linear) or its root (sqrt) or nothing."
    )
    weight_decay: float = _option(1e-6, "Weight decay; not on biases and norms.")
    momentum: float = _option(0.9, "Momentum of lars and sgd.")
    clip_norm: float = _option(
        0.0, "Largest global norm of the gradient, summed over replicas; 0: no limit."
    )
    precision: str = _option(
        "auto",
        "float32, bfloat16, or float16 with loss scaling; auto is bfloat16 where the device has "
        "it, else float32.",
    )
    tf32: bool = _option(
        True,
        "Let recent GPUs round the factors of float32 products (TF32); the tiled loss never does.",
    )
    xla: str = _option(
        "auto",
        "Compile what can be compiled of the step: auto is on where there is an accelerator.",
        False,
    )
    steps_per_execution: int = _option(
        1,
        "Steps between two looks of the host at the run: intervals and checkpoints fall on the end "
        "of so many, and their batches are held at once.",
        False,
    )
    strategy: str = _option(
        "auto",
        "one_device, mirrored (all GPUs of this machine), multi_worker (several machines, by "
        "TF_CONFIG or SLURM) or tpu; auto is multi_worker where TF_CONFIG names several workers, "
        "mirrored where there are several GPUs, else one_device.",
        False,
    )
    seed: int = _option(0, "Seed of weights, order and views.")
    # The run.
    run_dir: str = _option("", "Where the run lives; the same directory continues it.", False)
    log_every_steps: int = _option(50, "Steps in a log interval.", False)
    checkpoint_every_steps: int = _option(
        1000, "Steps between checkpoints; they fall on the end of a log interval.", False
    )
    keep: int = _option(3, "Checkpoints kept.", False)
    keep_every_epochs: int = _option(
        0, "Also keep every so many epochs' checkpoint; 0: none.", False
    )
    evaluate_every_epochs: int = _option(
        0,
        "Evaluate on a part of the data at first and every so many epochs; 0: at the end only.",
        False,
    )
    evaluate_limit: int = _option(
        5000, "Images of each split in an evaluation during training.", False
    )
    allow_changed: tuple[str, ...] = _option(
        (), "Settings that may differ from those with which the run began.", False
    )

    def __post_init__(self):
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise InputError(f"{name}: received {value!r}, {suggest(str(value), choices)}")
        if self.epochs is not None and self.steps is not None:
            raise InputError("expected epochs or steps, received both; give one of them")
        positive = "batch_size image_size temperature learning_rate log_every_steps keep epochs"
        positive += " steps checkpoint_every_steps projector_dim projector_hidden projector_layers"
        positive += " evaluate_limit shuffle_window steps_per_execution"
        for name in positive.split():
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise InputError(f"{name}: expected a number above 0, received {value}")
        from_zero = "weight_decay warmup_epochs keep_every_epochs evaluate_every_epochs"
        from_zero += " microbatch_size clip_norm"
        for name in from_zero.split():
            if not (getattr(self, name) >= 0 and math.isfinite(getattr(self, name))):
                raise InputError(
                    f"{name}: expected 0 or a number above, received {getattr(self, name)}"
                )
        for name in ("max_skipped", "max_substituted"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(
                    f"{name}: expected a share, 0 to 1, received {getattr(self, name)}"
                )
        if self.color_on == "accelerator" and self.augmentation != "simclr":
            raise InputError(
                f"color_on: expected host or auto with {self.augmentation}, whose operations on "
                "colours are for the host, received accelerator"
            )
        if self.batch_size < 2:
            raise InputError("batch_size: expected at least 2 images, received 1")
        if self.views < 2:
            raise InputError(f"views: expected at least 2, received {self.views}")
        for name in ("embedding", "center"):
            if self.encode_captions and getattr(self, name):
                raise InputError(
                    f"{name}: expected stored caption vectors, received encode_captions="
                    f"{self.encode_captions!r} as well; give one of them"
                )
        unknown = set(self.allow_changed) - {field.name for field in dataclasses.fields(self)}
        for name in unknown:
            names = [field.name for field in dataclasses.fields(self)]
            raise InputError(f"allow_changed: unknown setting {name!r}, {suggest(name, names)}")
        self.parse_target_temperature()

    def parse_target_temperature(self) -> tuple[float | None, float | None]:
        """The target temperature and the mass to solve it for; at most one is not None.

        Returns:
            (tau_s, None) for a number, (None, mass) for "auto:MASS", (None, None) for "graph".
        """
        text = str(self.target_temperature)
        kind, _, mass = text.partition(":")
        try:
            if text == "graph":
                return None, None
            if kind == "auto" and 0 < float(mass) < 1:
                return None, float(mass)
            if kind != "auto" and float(text) >= 0:
                return float(text), None
        except ValueError:
            pass
        raise InputError(
            "target_temperature: expected a number from 0, 'graph', or 'auto:MASS' with a mass "
            f"between 0 and 1, received {text!r}"
        )
