"""Everything that describes a training run, in one frozen dataclass."""

import dataclasses
import functools
import os
from collections.abc import Mapping
from typing import Any

from xsample_tf.data.views import AUGMENTATIONS
from xsample_tf.errors import InputError, suggest
from xsample_tf.graphs import GRAPHS
from xsample_tf.models import BACKBONES
from xsample_tf.registry import Entry, declared_options, import_module, own_values
from xsample_tf.training.distributed.strategy import STRATEGIES
from xsample_tf.training.optimizers import LEARNING_RATE_RULES, OPTIMIZERS
from xsample_tf.training.settings import GROUPS, OBJECTIVES, check_value, setting

# Settings that choose what may have options of its own, which become part of `Options.own`.
CHOSEN = (OBJECTIVES, GRAPHS, AUGMENTATIONS, OPTIMIZERS)

_data, _views, _objective, _model, _optimization, _run = (
    functools.partial(setting, group) for group in GROUPS
)


INIT_PARTS = ("encoder", "projector", "optimizer")


@dataclasses.dataclass(frozen=True)
class Options:
    """The settings of a run; `tools/train.py` has a flag for each, with the same name.

    Of graphs, optimizers and objectives of your own, `imports` names the modules that register
    them (`--import`), and `own` has the values of the options that they declare, each a flag too.

    Raises:
        InputError: A value out of range, an unknown name, or settings that exclude each other.

    Example:
        >>> train(Options(data_dir=("data/flickr8k",), run_dir="runs/first", epochs=10))
    """

    # Data.
    data_dir: tuple[str, ...] = _data((), "Directories that prepare_data wrote.")
    source: str = _data(
        "",
        "Prepare data_dir from this source first, if it is not there: KIND:WHERE.",
        changes_result=False,
    )
    text_encoder: str = _data(
        "lexical", "With source: the text encoder's handle.", changes_result=False
    )
    embedding: str = _data("", "Which encoder's caption vectors, where there are several.")
    encode_captions: str = _data(
        "", "Encode captions while training, by this text encoder's handle; no vectors are read."
    )
    captions: str = _data(
        "draw", "Of several captions: draw one per visit, or their mean.", choices=("draw", "mean")
    )
    shuffle_window: int = _data(8192, "Records that are shuffled among each other.", minimum=1)
    max_substituted: float = _data(
        0.02,
        "Stop when more than this share of the records cannot be read.",
        changes_result=False,
        minimum=0,
        maximum=1,
    )
    max_skipped: float = _data(
        0.5,
        "Stop when more than this share of the steps, of 50 at least, was skipped because the loss "
        "or a gradient was not finite.",
        changes_result=False,
        minimum=0,
        maximum=1,
    )
    # Views.
    image_size: int = _views(224, "Side of the square views, in pixels.", minimum=1)
    views: int = _views(2, "Views of each image.", minimum=1)
    augmentation: str = _views("simclr", "Augmentation policy of the views.", choices=AUGMENTATIONS)
    min_crop: float = _views(0.08, "Smallest area of a random crop, as a share of the image.")
    color_strength: float = _views(1.0, "Strength of the SimCLR policy's colour jitter.")
    blur: bool = _views(True, "Gaussian blur in the SimCLR policy.")
    color_on: str = _views(
        "auto",
        "Where the SimCLR policy's colours and blur are computed: host, or accelerator, as part of "
        "the step; auto is accelerator where there is one.",
        changes_result=False,
        choices=("auto", "host", "accelerator"),
    )
    # Objective.
    objective: str = _objective(
        "xclr",
        "What is trained for; it may preset the graph and other settings.",
        choices=OBJECTIVES,
    )
    graph: str = _objective(
        "cosine", "How images relate, by which the target is made.", choices=GRAPHS
    )
    center: bool = _objective(False, "Subtract the mean caption vector first.")
    temperature: float = _objective(0.1, "Temperature of the embeddings' softmax.", above=0)
    target_temperature: str | float = _objective(
        "graph",
        "Temperature of the target's softmax: a number, 'graph' for the graph's own, or "
        "'auto:MASS' for the one that leaves this mass on the image's own other views.",
    )
    exclude_self: bool = _objective(True, "Leave a view out of its own candidates.")
    # Model.
    backbone: str = _model("resnet50", "Encoder by name.", choices=BACKBONES)
    small_images: bool = _model(False, "Stem for small images: 3x3, stride 1, no pooling.")
    projector_dim: int = _model(128, "Size of the projection that the loss compares.", minimum=1)
    projector_hidden: int = _model(2048, "Size of the projector's hidden layers.", minimum=1)
    projector_layers: int = _model(2, "Layers of the projector.", minimum=1)
    synchronized_batch_norm: str = _model(
        "auto",
        "Batch statistics over all replicas: auto is on where there are several.",
        choices=("auto", "on", "off"),
    )
    # Optimisation.
    batch_size: int = _optimization(
        1024, "Images in the global batch; each gives several views.", minimum=2
    )
    microbatch_size: int = _optimization(
        0,
        "Images of one replica that pass the encoder at a time, for less memory at the exact loss "
        "of the whole batch; batch norm has the microbatch's statistics; 0: all.",
        minimum=0,
    )
    epochs: int | None = _optimization(
        None, "Length of the run in epochs; not with steps.", minimum=1
    )
    steps: int | None = _optimization(
        None, "Length of the run in steps; not with epochs.", minimum=1
    )
    warmup_epochs: float = _optimization(
        10.0, "Linear warm-up of the learning rate, in epochs.", minimum=0
    )
    optimizer: str = _optimization("lars", "Optimizer by name.", choices=OPTIMIZERS)
    learning_rate: float = _optimization(0.3, "Peak learning rate, as used unless scaled.", above=0)
    learning_rate_scaling: str = _optimization(
        "none",
        "Multiply learning_rate by batch_size/256 (linear) or its root (sqrt) or nothing.",
        choices=LEARNING_RATE_RULES,
    )
    weight_decay: float = _optimization(1e-6, "Weight decay; not on biases and norms.", minimum=0)
    momentum: float = _optimization(0.9, "Momentum of lars and sgd; beta_1 of adamw.")
    clip_norm: float = _optimization(
        0.0, "Largest global norm of the gradient, summed over replicas; 0: no limit.", minimum=0
    )
    precision: str = _optimization(
        "auto",
        "float32, bfloat16, or float16 with loss scaling; auto is bfloat16 where the device has "
        "it, else float32.",
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    tf32: bool = _optimization(
        True,
        "Let recent GPUs round the factors of float32 products (TF32); the tiled loss never does.",
    )
    xla: str = _optimization(
        "auto",
        "Compile what can be compiled of the step: auto is on where there is an accelerator.",
        changes_result=False,
        choices=("auto", "on", "off"),
    )
    steps_per_execution: int = _optimization(
        1,
        "Steps between two looks of the host at the run: intervals and checkpoints fall on the end "
        "of so many, and their batches are held at once.",
        changes_result=False,
        minimum=1,
    )
    strategy: str = _optimization(
        "auto",
        "one_device, mirrored (all GPUs of this machine), multi_worker (several machines, by "
        "TF_CONFIG or SLURM) or tpu; auto is multi_worker where TF_CONFIG names several workers, "
        "mirrored where there are several GPUs, else one_device.",
        changes_result=False,
        choices=STRATEGIES,
    )
    seed: int = _optimization(0, "Seed of weights, order and views.")
    # The run.
    run_dir: str = _run(
        "", "Where the run lives; the same directory continues it.", changes_result=False
    )
    log_every_steps: int = _run(50, "Steps in a log interval.", changes_result=False, minimum=1)
    checkpoint_every_steps: int = _run(
        1000,
        "Steps between checkpoints; they fall on the end of a log interval.",
        changes_result=False,
        minimum=1,
    )
    keep: int = _run(3, "Checkpoints kept.", changes_result=False, minimum=1)
    keep_every_epochs: int = _run(
        0, "Also keep every so many epochs' checkpoint; 0: none.", changes_result=False, minimum=0
    )
    evaluate_every_epochs: int = _run(
        0,
        "Evaluate on a part of the data at first and every so many epochs; 0: at the end only.",
        changes_result=False,
        minimum=0,
    )
    evaluate_limit: int = _run(
        5000,
        "Images of each split in an evaluation during training.",
        changes_result=False,
        minimum=1,
    )
    allow_changed: tuple[str, ...] = _run(
        (),
        "Settings that may differ from those with which the run began.",
        changes_result=False,
    )

    init_from: str = _run(
        "", "Start from the weights of another run: RUN, or RUN:CHECKPOINT; not to continue it."
    )
    init_parts: tuple[str, ...] = _run(
        ("encoder", "projector"), "What init_from takes over: encoder, projector, optimizer."
    )
    imports: tuple[str, ...] = _run(
        (),
        "Modules that register graphs and so on of your own.",
        changes_result=False,
    )
    # Values of the options that the chosen objective, graph and so on declare themselves, by name.
    own: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)

    def __post_init__(self):
        for name in (
            "data_dir",
            "imports",
            "init_parts",
            "allow_changed",
        ):  # One may be given as it is.
            value = getattr(self, name)
            value = (str(value),) if isinstance(value, str | os.PathLike) else tuple(value)
            object.__setattr__(self, name, value)
        for module in self.imports:
            import_module(module)
        self._take_presets()
        for field in settings():
            check_value(field, getattr(self, field.name))
        object.__setattr__(self, "own", self._checked_own())
        self._check_together()
        OBJECTIVES[self.objective].make.check(self)

    def _take_presets(self) -> None:
        """Takes the objective's presets for what is at its default, and refuses other values."""
        defaults = {field.name: field.default for field in settings()}
        for name, preset in OBJECTIVES[self.objective].make.presets.items():
            value = getattr(self, name)
            if value == defaults[name]:
                object.__setattr__(self, name, preset)
            elif value != preset:
                raise InputError(
                    f"{name}: objective {self.objective!r} sets {preset!r}, received {value!r}; "
                    f"leave {name} out, or choose another objective"
                )

    def _checked_own(self) -> dict[str, Any]:
        """Returns the options of the chosen entries: checked values, or their defaults."""
        entries = self.chosen()
        names = {option.name for entry in entries.values() for option in entry.options}
        for name in self.own:
            if name not in names:
                chosen = ", ".join(f"{kind} {entry.name!r}" for kind, entry in entries.items())
                near = suggest(name, names) if names else "these have none"
                raise InputError(f"{name}: expected an option of {chosen}; {near}")
        for name in names.intersection(field.name for field in settings()):
            raise InputError(f"{name}: is a setting of every run; rename the option of your own")
        values: dict[str, Any] = {}
        for entry in entries.values():
            values |= own_values(entry, self.own)
        return values

    def _check_together(self) -> None:
        """Raises `InputError` for settings that exclude each other."""
        if self.epochs is not None and self.steps is not None:
            raise InputError("expected epochs or steps, received both; give one of them")
        policy = AUGMENTATIONS[self.augmentation].make
        if self.color_on == "accelerator" and not policy.splits_stages:
            raise InputError(
                f"color_on: expected host or auto with {self.augmentation}, whose operations on "
                "colours are for the host, received accelerator"
            )
        for part in self.init_parts:
            if part not in INIT_PARTS:
                raise InputError(f"init_parts: unknown part {part!r}, {suggest(part, INIT_PARTS)}")
        if self.init_from and "optimizer" in self.init_parts and len(set(self.init_parts)) < 3:
            raise InputError(
                "init_parts: expected encoder and projector with optimizer, whose slots they have, "
                f"received {', '.join(self.init_parts)}"
            )
        for name in ("embedding", "center"):
            if self.encode_captions and getattr(self, name):
                raise InputError(
                    f"{name}: expected stored caption vectors, received encode_captions="
                    f"{self.encode_captions!r} as well; give one of them"
                )
        names = {field.name for field in settings()} | declared_options(*CHOSEN).keys()
        for name in self.allow_changed:
            if name not in names:
                raise InputError(f"allow_changed: unknown setting {name!r}, {suggest(name, names)}")

    def chosen(self) -> dict[str, Entry]:
        """Returns the chosen objective, graph and so on, by the setting that chooses it."""
        return {registry.kind: registry[getattr(self, registry.kind)] for registry in CHOSEN}

    def as_flat(self) -> dict[str, Any]:
        """Returns all settings by name, with the own options beside them, as in `options.json`."""
        values = dataclasses.asdict(self)
        own = values.pop("own")
        return values | own

    @classmethod
    def from_flat(cls, values: Mapping[str, Any]) -> "Options":
        """Builds options from what `options.json` has; names that this version lacks are left out.

        Args:
            values: As `as_flat` returns them; lists are taken for tuples.

        Raises:
            InputError: As for `Options`, and for a module in "imports" that cannot be imported.
        """
        values = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
        }
        for module in values.get("imports", ()):
            import_module(module)
        names = {field.name for field in settings()}
        known = {name: value for name, value in values.items() if name in names}
        own = declared_options(*CHOSEN).keys() & values.keys() - names
        return cls(**known, own={name: values[name] for name in own})

    def defaults(self) -> dict[str, tuple[Any, bool]]:
        """Returns each setting's default, and whether another value changes the result, by name."""
        fields = {
            field.name: (field.default, field.metadata["changes_result"]) for field in settings()
        }
        return fields | {
            option.name: (option.default, option.changes_result)
            for entry in self.chosen().values()
            for option in entry.options
        }

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


def settings() -> list[dataclasses.Field]:
    """Returns the fields of `Options` that every run has: all but the options of entries' own."""
    return [field for field in dataclasses.fields(Options) if field.name != "own"]
