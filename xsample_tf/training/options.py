"""Everything that describes a training run, in one frozen dataclass."""

import dataclasses
import functools
import os
import re
from collections.abc import Mapping
from typing import Any

from xsample_tf.data.views import AUGMENTATIONS
from xsample_tf.errors import InputError, suggest
from xsample_tf.graphs import GRAPHS
from xsample_tf.models import BACKBONES
from xsample_tf.registry import Entry, declared_options, import_module, own_values
from xsample_tf.training.distributed.strategy import STRATEGIES
from xsample_tf.training.optimizers import LEARNING_RATE_RULES, OPTIMIZERS
from xsample_tf.training.settings import (
    GROUPS,
    OBJECTIVES,
    TEXT_TOWERS,
    check_value,
    preset_values,
    setting,
    values_of,
)

# Settings that choose what may have options of its own, which become part of `Options.own`.
CHOSEN = (OBJECTIVES, GRAPHS, TEXT_TOWERS, AUGMENTATIONS, OPTIMIZERS)
_BACKBONE = "resnet50"  # Where there is nothing to start from.
INIT_PARTS = ("encoder", "projector", "text", "optimizer")

_data, _views, _objective, _model, _optimization, _run = (
    functools.partial(setting, group) for group in GROUPS
)


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
    image_embedding: str = _data("", "Which encoder's image vectors, where there are several.")
    encode_captions: str = _data(
        "", "Encode captions while training, by this text encoder's handle; no vectors are read."
    )
    captions: str = _data(
        "draw", "Of several captions: draw one per visit, or their mean.", choices=("draw", "mean")
    )
    shuffle_window: int = _data(8192, "Records that are shuffled among each other.", minimum=1)
    train_fraction: float = _data(
        1.0,
        "Share of the training images to train on: the seed's, within those of a larger share.",
        above=0,
        maximum=1,
    )
    per_class: int = _data(
        0,
        "Images of each class to train on: the seed's, within those of a larger number; 0: all.",
        minimum=0,
    )
    train_list: str = _data(
        "", "File of the keys, or file names, of the images to train on, a line each."
    )
    class_balance: float = _data(
        0.0,
        "Weight images by their class's number of images to the power of minus this, on average 1: "
        "1 lets all classes count alike, 0 all images.",
        minimum=0,
        maximum=1,
    )
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
    views: int | None = _views(
        None, "Views of each image; by default the objective's own.", minimum=1
    )
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
        "What is trained for, with its own graph, temperature and so on, which flags change; or "
        "several, with commas between, whose losses are added up.",
        choices=OBJECTIVES,
    )
    graph: str = _objective(
        "",
        "How images relate, by which the target is made; by default the objective's own. Or "
        "several, with commas between, which are blended.",
        choices=GRAPHS,
    )
    center: bool = _objective(False, "Subtract the mean caption vector first.")
    temperature: float | None = _objective(
        None,
        "Temperature of the embeddings' softmax, or where it begins; by default the objective's "
        "own.",
        above=0,
    )
    learn_temperature: bool | None = _objective(
        None, "Learn the temperature; by default the objective's own: with texts."
    )
    target_temperature: str | float = _objective(
        "graph",
        "Temperature of the target's softmax: a number, 'graph' for the graph's own, or "
        "'auto:MASS' for the one that leaves this mass on the image's own other views.",
    )
    exclude_self: bool = _objective(True, "Leave a view out of its own candidates.")
    text_tower: str = _objective(
        "",
        "What embeds texts, for objectives of image and text: frozen, the stored caption vectors "
        "with a trained projection, which is their default, or an encoder that is trained.",
        choices=TEXT_TOWERS,
    )
    # Model.
    backbone: str = _model(
        "", f"Encoder by name; by default {_BACKBONE}, or what init_from has.", choices=BACKBONES
    )
    small_images: bool = _model(False, "Stem for small images: 3x3, stride 1, no pooling.")
    freeze: str = _model(
        "", "Regular expression: layers of the encoder whose path it finds are not trained."
    )
    projector_dim: int | None = _model(
        None,
        "Size of the projection that the loss compares; by default the objective's own.",
        minimum=1,
    )
    projector_hidden: int = _model(2048, "Size of the projector's hidden layers.", minimum=1)
    projector_layers: int | None = _model(
        None, "Layers of the projector; by default the objective's own.", minimum=1
    )
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
        "Multiply learning_rate by batch_size/256 (linear), by the root of batch_size (sqrt), or "
        "leave it (none).",
        choices=LEARNING_RATE_RULES,
    )
    weight_decay: float = _optimization(1e-6, "Weight decay; not on biases and norms.", minimum=0)
    decay_embeddings: bool = _optimization(
        True, "Whether weight decay takes tables of tokens and positions too."
    )
    layer_decay: float = _optimization(
        1.0,
        "Factor of the learning rate from each block of the encoder to the one before it, the last "
        "block's against the projector's included.",
        above=0,
        maximum=1,
    )
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
    export: str = _run(
        "last",
        "Which checkpoint the run's end evaluates and exports: the last, or the best of those "
        "evaluated on the way.",
        changes_result=False,
        choices=("last", "best"),
    )
    allow_changed: tuple[str, ...] = _run(
        (),
        "Settings that may differ from those with which the run began.",
        changes_result=False,
    )

    init_from: str = _run(
        "",
        "Start from weights that exist: RUN or RUN:CHECKPOINT (not to continue it), an export, a "
        ".keras or .weights.h5 file, keras.applications:NAME, keras_hub:PRESET.",
    )
    init_parts: tuple[str, ...] = _run(
        ("encoder", "projector"),
        "What init_from takes over of a run: encoder, projector, text (tower, its projection and "
        "the temperature), optimizer; of anything else the encoder.",
    )
    imports: tuple[str, ...] = _run(
        (),
        "Modules that register graphs and so on of your own.",
        changes_result=False,
    )
    # Values of the options that the chosen objective, graph and so on declare themselves, by name.
    own: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)

    def __post_init__(self):
        for name in ("data_dir", "imports", "init_parts", "allow_changed"):
            # One may be given as it is.
            value = getattr(self, name)
            value = (str(value),) if isinstance(value, str | os.PathLike) else tuple(value)
            object.__setattr__(self, name, value)
        for module in self.imports:
            import_module(module)
        check_value(_field("objective"), self.objective)
        self._take_presets()
        if not self.backbone and not self.takes_encoder:
            object.__setattr__(self, "backbone", _BACKBONE)
        for field in settings():
            check_value(field, getattr(self, field.name))
        object.__setattr__(self, "own", self._checked_own())
        self._check_together()
        self._check_start()
        OBJECTIVES[self.objective].make.check(self)

    def _take_presets(self) -> None:
        """Takes the objective's values for what is at its default, and refuses what contradicts."""
        presets, fixed = values_of(OBJECTIVES[self.objective].make)
        for name, own in (presets | fixed).items():
            value = getattr(self, name)
            if value == _field(name).default:
                object.__setattr__(self, name, own)
            elif name in fixed and value != own:
                raise InputError(
                    f"{name}: objective {self.objective!r} has {own or 'none'!r}, received "
                    f"{value!r}; leave {name} out, or choose another objective"
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
        if sum((self.train_fraction < 1, self.per_class > 0, bool(self.train_list))) > 1:
            raise InputError(
                "expected one of train_fraction, per_class and train_list, received several"
            )
        for name in ("embedding", "center"):
            if self.encode_captions and getattr(self, name):
                raise InputError(
                    f"{name}: expected stored caption vectors, received encode_captions="
                    f"{self.encode_captions!r} as well; give one of them"
                )
        if self.export == "best" and not self.evaluate_every_epochs:
            raise InputError(
                "export: expected evaluate_every_epochs > 0 with best, which is chosen among the "
                "checkpoints evaluated on the way, received 0"
            )
        names = {field.name for field in settings()} | declared_options(*CHOSEN).keys()
        for name in self.allow_changed:
            if name not in names:
                raise InputError(f"allow_changed: unknown setting {name!r}, {suggest(name, names)}")

    def _check_start(self) -> None:
        """Raises `InputError` for settings of what a run starts from that exclude each other."""
        for part in self.init_parts:
            if part not in INIT_PARTS:
                raise InputError(f"init_parts: unknown part {part!r}, {suggest(part, INIT_PARTS)}")
        if "text" in self.init_parts and not self.text_tower:
            raise InputError(
                f"init_parts: expected an objective of image and text with text, received "
                f"{self.objective!r}"
            )
        if self.takes_encoder and self.small_images and not self.backbone:
            raise InputError(
                "small_images: expected --backbone with it, received init_from, which has an "
                "architecture of its own; leave small_images out"
            )
        try:
            re.compile(self.freeze)
        except re.error as error:
            raise InputError(
                f"freeze: expected a regular expression, received {self.freeze!r} ({error})"
            ) from error
        whole = ["encoder", "projector", *(["text"] if self.text_tower else [])]
        lacking = set(whole) - set(self.init_parts)
        if self.init_from and "optimizer" in self.init_parts and lacking:
            raise InputError(
                f"init_parts: expected {' and '.join(whole)} with optimizer, whose slots they "
                f"have, received {', '.join(self.init_parts)}"
            )

    @property
    def takes_encoder(self) -> bool:
        """Whether the encoder comes from `init_from`, with its architecture."""
        return bool(self.init_from) and "encoder" in self.init_parts

    def chosen(self) -> dict[str, Entry]:
        """Returns the chosen objective, graph and so on, by the setting that chooses it."""
        names = {registry: getattr(self, registry.kind) for registry in CHOSEN}
        return {registry.kind: registry[name] for registry, name in names.items() if name}

    def of_member(self, objective: str) -> "Options":
        """Returns the settings of one of several objectives: the same, but for what it fixes."""
        _, fixed = values_of(OBJECTIVES[objective].make)
        alone = dataclasses.replace(self, **fixed, objective=objective, own={})
        names = {option.name for entry in alone.chosen().values() for option in entry.options}
        own = {name: value for name, value in self.own.items() if name in names}
        return dataclasses.replace(alone, own=own)

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
        presets = preset_values(self.objective)
        fields = {
            field.name: (presets.get(field.name, field.default), field.metadata["changes_result"])
            for field in settings()
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


def _field(name: str) -> dataclasses.Field:
    """Returns the setting of a name.

    Raises:
        InputError: There is none, as where an objective of a user's own presets it.
    """
    fields = {field.name: field for field in settings()}
    if name not in fields:
        raise InputError(f"objective: presets {name!r}, {suggest(name, fields)}")
    return fields[name]
