"""The training step over its floor, of one tower and of two, microbatches, and replicas.

    python benchmarks/train_step.py --only=step
    python benchmarks/train_step.py --only=microbatches,replicas --rounds=3

Prints tables in Markdown. What is compared is made first and then timed in turn in one process; a
ratio is the median of the rounds' ratios. Memory is the peak of a fresh process.
"""

import os

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # As in tools/.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import json
import pathlib
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import keras
import tensorflow as tf
from absl import app, flags
from environment import environment

import xsample_tf
from xsample_tf import graphs, losses, models
from xsample_tf.training import optimizers

_ONLY = flags.DEFINE_list("only", "step,towers,microbatches,replicas", "Which tables.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "How often each contender is timed.", lower_bound=1)
_BACKBONE = flags.DEFINE_string("backbone", "resnet18", "Encoder by name.")
_BATCH = flags.DEFINE_integer("batch_size", 256, "Images.", lower_bound=2)
_MICROBATCH = flags.DEFINE_integer("microbatch_size", 64, "Images of a microbatch.", lower_bound=1)
_SIZE = flags.DEFINE_integer("image_size", 64, "Side of the views in pixels.", lower_bound=8)
_PRECISION = flags.DEFINE_string("precision", "float32", "Keras dtype policy.")
_XLA = flags.DEFINE_bool("xla", False, "Compile steps and floor whole.")
_PART = flags.DEFINE_string("part", "", "Internal: measure this in this process, and end.")

CAPTION_SIZE, EMBEDDING_SIZE = 384, 128
# A text tower for tens of thousands of captions, as in configs/flickr8k_clip_tower.flags.
TOWER, VOCABULARY = {"length": 32, "width": 256, "layers": 4, "heads": 4}, 4096
# For the replicas' memory: enough that the loss is seen beside TensorFlow itself.
LOSS_BATCH = 16384
# Images of a replica whose collectives are counted: enough for tiles.
SHARE = 512


def main(arguments: list[str]) -> None:
    keras.config.set_dtype_policy(_PRECISION.value)
    if _PART.value:
        name, _, number = _PART.value.partition(":")
        parts = {"step": one_step, "loss": one_loss, "collectives": collectives}
        print(json.dumps(parts[name](int(number))))
        return
    print(*environment(), "", sep="\n")
    print(
        f"{_BACKBONE.value} at {_SIZE.value} pixels, {_BATCH.value} images of 2 views, "
        f"{_PRECISION.value}, XLA {'on' if _XLA.value else 'off'}; medians of {_ROUNDS.value} "
        "rounds.\n"
    )
    tables = {
        "step": step_table,
        "towers": tower_table,
        "microbatches": microbatch_table,
        "replicas": replica_table,
    }
    for name in _ONLY.value:
        tables[name]()


def step_table() -> None:
    """The whole step with either objective over the encoder alone."""
    seconds = in_turn(
        {
            "encoder alone": encoder_alone(),
            "X-CLR": train_step(graphs.CosineGraph()),
            "SimCLR": train_step(graphs.InstanceGraph()),
        }
    )
    ratios = [
        f"X-CLR / encoder alone: {ratio(seconds['X-CLR'], seconds['encoder alone'])}",
        f"X-CLR / SimCLR: {ratio(seconds['X-CLR'], seconds['SimCLR'])}",
    ]
    table(("step", "seconds"), [(name, median(times)) for name, times in seconds.items()])
    print(*ratios, sep="  \n", end="\n\n")


def tower_table() -> None:
    """A step of CLIP with a text tower of its own, over the two towers alone."""
    seconds = in_turn({"both towers alone": towers_alone(), "CLIP": clip_step()})
    print(
        f"One view of each image, and a text tower of {TOWER['layers']} layers of "
        f"{TOWER['width']} over {TOWER['length']} tokens:\n"
    )
    table(("step", "seconds"), [(name, median(times)) for name, times in seconds.items()])
    print(f"CLIP / both towers alone: {ratio(seconds['CLIP'], seconds['both towers alone'])}\n")


def microbatch_table() -> None:
    """A step by microbatches over its floor of two forward passes and one backward."""
    whole, parts = _BATCH.value, _MICROBATCH.value
    seconds = in_turn(
        {
            "forward": encoder_forward(),
            "step, whole": train_step(graphs.CosineGraph()),
            f"step, microbatches of {parts}": train_step(graphs.CosineGraph(), parts),
        }
    )
    forward, step, cut = seconds.values()
    floor = [one + two for one, two in zip(forward, step, strict=True)]
    small = in_fresh_process("step:0")
    table(
        ("step", "seconds", "MB above the program itself"),
        [
            (name, median(times), f"{(in_fresh_process(f'step:{size}') - small) / 1e6:.0f}")
            for name, times, size in (
                ("whole", step, whole),
                (f"microbatches of {parts}", cut, parts),
            )
        ],
    )
    print(f"Forward pass of the encoder: {median(forward)} s  ")
    print(f"microbatches / (forward + whole step): {ratio(cut, floor)}\n")


def replica_table() -> None:
    """What a replica of the loss keeps, measured, and gathers, counted while a step is traced."""
    rows = []
    for replicas in (1, 2, 4):
        whole, few = (in_fresh_process(f"loss:{sign}{replicas}") for sign in ("", "-"))
        extra = (whole - few) / 1e6
        rows.append((replicas, f"{extra / replicas:.0f}", f"{extra:.0f}"))
    print(
        f"The loss alone, {LOSS_BATCH} images in all, embeddings of {EMBEDDING_SIZE}, captions of "
        f"{CAPTION_SIZE}, above the same program at 64 images a replica; replicas are logical "
        "devices of one process:\n"
    )
    table(("replicas", "MB a replica", "MB of all"), rows)
    print(f"What each of 2 replicas gives to the collectives of a step, {SHARE} images each:\n")
    table(("collective", "values", "kB"), in_fresh_process("collectives:2"))


def model_of(graph: graphs.SimilarityGraph, microbatch: int | None = None) -> models.XSampleModel:
    keras.utils.set_random_seed(0)
    encoder = models.backbone(_BACKBONE.value, image_size=_SIZE.value)
    projector = models.projector(encoder.output_shape[-1])
    model = models.XSampleModel(encoder, projector, microbatch)
    loss = xsample_tf.XSampleContrastiveLoss(graph)
    model.compile(optimizers.build("lars", 0.1, 1e-6), loss, jit_compile=_XLA.value)
    return model


def batch(images: int) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    views = tf.random.stateless_uniform([images, 2, _SIZE.value, _SIZE.value, 3], [0, 0])
    return views, {"embedding": tf.random.stateless_normal([images, CAPTION_SIZE], [0, 1])}


def train_step(graph: graphs.SimilarityGraph, microbatch: int | None = None) -> Callable[[], Any]:
    """A step as `fit` takes it."""
    model, data = model_of(graph, microbatch), batch(_BATCH.value)
    function = model.make_train_function()
    return lambda: float(function(iter([data]))["loss"])


def encoder_alone() -> Callable[[], Any]:
    """Forward and backward of the encoder, with nothing around it."""
    encoder = models.backbone(_BACKBONE.value, image_size=_SIZE.value)
    images = tf.reshape(batch(_BATCH.value)[0], [-1, _SIZE.value, _SIZE.value, 3])
    pull = tf.random.stateless_normal([2 * _BATCH.value, encoder.output_shape[-1]], [0, 2])

    @tf.function(jit_compile=_XLA.value, autograph=False)
    def step() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            embeddings = encoder(images, training=True)
        return tape.gradient(embeddings, encoder.trainable_variables, pull)

    return lambda: float(tf.reduce_sum(step()[-1]))


def towers() -> tuple[keras.Model, keras.Model]:
    keras.utils.set_random_seed(0)
    encoder = models.backbone(_BACKBONE.value, image_size=_SIZE.value)
    return encoder, models.text_tower(VOCABULARY, **TOWER)


def image_text_batch() -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """One view of each image, and texts that fill half of their tokens on average."""
    shape = [_BATCH.value, TOWER["length"]]
    tokens = tf.random.stateless_uniform(shape, [0, 3], 4, VOCABULARY, tf.int32)
    lengths = tf.random.stateless_uniform(shape[:1], [0, 4], 3, TOWER["length"] + 1, tf.int32)
    views = batch(_BATCH.value)[0][:, :1]
    return views, {"tokens": tokens * tf.sequence_mask(lengths, shape[1], tf.int32)}


def clip_step() -> Callable[[], Any]:
    """A step of CLIP as `fit` takes it."""
    encoder, text_encoder = towers()
    model = models.ImageTextModel(
        encoder,
        text_encoder,
        models.projector(encoder.output_shape[-1], output_dim=512, layers=1),
        models.projector(TOWER["width"], output_dim=512, layers=1, name="text_projector"),
    )
    optimizer = optimizers.build("adamw", 1e-3, 0.1)
    model.compile(optimizer, losses.ImageTextContrastiveLoss(), jit_compile=_XLA.value)
    data, function = image_text_batch(), model.make_train_function()
    return lambda: float(function(iter([data]))["loss"])


def towers_alone() -> Callable[[], Any]:
    """Forward and backward of both towers, with nothing around them."""
    (views, side), both = image_text_batch(), towers()
    given = views[:, 0], side["tokens"]
    pulls = [
        tf.random.stateless_normal([_BATCH.value, tower.output_shape[-1]], [0, 5]) for tower in both
    ]

    @tf.function(jit_compile=_XLA.value, autograph=False)
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            outputs = [tower(x, training=True) for tower, x in zip(both, given, strict=True)]
        variables = [v for tower in both for v in tower.trainable_variables]
        gradients = map(tf.convert_to_tensor, tape.gradient(outputs, variables, pulls))
        return tf.add_n([tf.reduce_sum(gradient) for gradient in gradients])

    return lambda: float(step())


def encoder_forward() -> Callable[[], Any]:
    encoder = models.backbone(_BACKBONE.value, image_size=_SIZE.value)
    images = tf.reshape(batch(_BATCH.value)[0], [-1, _SIZE.value, _SIZE.value, 3])
    function = tf.function(
        lambda: tf.reduce_sum(encoder(images, training=True)), jit_compile=_XLA.value
    )
    return lambda: float(function())


def in_turn(contenders: dict[str, Callable[[], Any]]) -> dict[str, list[float]]:
    """Seconds of each, by round; the first call of each, which traces, is not counted."""
    seconds = {name: [] for name in contenders}
    for contender in contenders.values():
        contender()
    for _ in range(_ROUNDS.value):
        for name, contender in contenders.items():
            start = time.perf_counter()
            contender()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def in_fresh_process(part: str) -> Any:
    """What a part gives in a process in which nothing else has run."""
    result = subprocess.run(
        [sys.executable, *sys.argv, f"--part={part}"], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(result.stdout.splitlines()[-1])


def peak() -> int:
    """Peak bytes of this process; getrusage's begins at the peak of the parent."""
    status = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
    return 1024 * int(re.search(r"VmHWM:\s*(\d+)", status)[1])


def one_step(images: int) -> int:
    """Peak bytes of a step by microbatches of so many images; 0: of two images, whole."""
    data = batch(_BATCH.value if images else 2)
    model = model_of(graphs.CosineGraph(), images or None)
    float(model.make_train_function()(iter([data]))["loss"])
    return peak()


def one_loss(replicas: int) -> int:
    """Peak bytes of the loss forward and backward on logical devices; below 0: of few images."""
    size = LOSS_BATCH // replicas if replicas > 0 else 64
    strategy = mirrored(abs(replicas))
    loss = xsample_tf.XSampleContrastiveLoss(implementation="tiled")

    def step() -> tf.Tensor:
        embeddings = tf.random.stateless_normal([size, 2, EMBEDDING_SIZE], [0, 0])
        captions = tf.random.stateless_normal([size, CAPTION_SIZE], [0, 1])
        with tf.GradientTape() as tape:
            tape.watch(embeddings)
            value = tf.reduce_mean(loss.rows(captions, embeddings)[0])
        return tf.reduce_sum(tape.gradient(value, embeddings))

    results = tf.function(lambda: strategy.run(step), autograph=False)()
    for value in strategy.experimental_local_results(results):
        float(value)
    return peak()


def collectives(replicas: int) -> list[tuple[str, str, str]]:
    """What replica 0 gives to each gather, and to the reductions together."""
    strategy = mirrored(replicas)
    context = tf.distribute.ReplicaContext
    gathered, reduced = [], []

    def recorded(name: str, into: list) -> Any:
        method = getattr(context, name)

        def call(self: Any, *given: Any, **named: Any) -> Any:
            if tf.get_static_value(self.replica_id_in_sync_group) == 0:
                into.extend(x.shape for x in tf.nest.flatten((given, named)) if tf.is_tensor(x))
            return method(self, *given, **named)

        return mock.patch.object(context, name, call)

    with strategy.scope():
        model = model_of(graphs.CosineGraph())
    model.optimizer.build(model.trainable_variables)
    parts = [
        strategy.experimental_distribute_values_from_function(lambda _, x=x: x)
        for x in (batch(SHARE)[0], batch(SHARE)[1]["embedding"])
    ]
    with recorded("all_gather", gathered), recorded("all_reduce", reduced):
        tf.function(
            lambda views, captions: strategy.run(
                model.train_step, args=((views, {"embedding": captions}),)
            ),
            autograph=False,
        ).get_concrete_function(*parts)

    def row(name: str, values: str, numbers: int) -> tuple[str, str, str]:
        return name, values, f"{4 * numbers / 1e3:.1f}"

    rows = [row("gather", str(shape), shape.num_elements()) for shape in gathered]
    total = sum(shape.num_elements() for shape in reduced)
    return [*rows, row("reduce", f"{len(reduced)} tensors, gradients for the most", total)]


def mirrored(replicas: int) -> tf.distribute.Strategy:
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * replicas,
    )
    return tf.distribute.MirroredStrategy([f"CPU:{index}" for index in range(replicas)])


def median(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.3f}"


def ratio(ours: list[float], theirs: list[float]) -> str:
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    return f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"


def table(header: tuple[str, ...], rows: list[tuple]) -> None:
    lines = [header, ("---",) + ("---:",) * (len(header) - 1), *rows]
    print(*(f"| {' | '.join(map(str, line))} |" for line in lines), sep="\n", end="\n\n")


if __name__ == "__main__":
    app.run(main)
