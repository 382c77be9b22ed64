"""Opens an encoder that exists already, whatever it is."""

import os
from collections.abc import Callable

import keras

from xsample_tf.errors import InputError
from xsample_tf.models import parts, serving
from xsample_tf.models.networks.backbones import backbone as make_backbone
from xsample_tf.models.pretrained.base import KINDS, Kind, Pretrained, Request
from xsample_tf.models.pretrained.differences import first_difference, layers_of
from xsample_tf.models.pretrained.rebuilt import EMBEDDING, in_policy


def load_encoder(
    spec: str | os.PathLike,
    image_size: int | None = None,
    backbone: str | keras.Model | None = None,
    log: Callable[[str], None] = print,
) -> keras.Model:
    """Returns an encoder with the weights that it was trained to, all of them trainable.

    Whatever it is made from, it takes float32 RGB `[B, H, W, 3]` in [0, 1] and gives `[B, D]`: its
    own preprocessing and pooling are inside of it. It computes in Keras's global dtype policy.

    Args:
        spec: One of:

            - `RUN`, `RUN:CHECKPOINT` or a checkpoint's directory: what tools/train.py wrote;
            - an export's directory, or a `.keras` file: a Keras model;
            - a `.weights.h5` file, with `backbone`;
            - `keras.applications:NAME`, with ImageNet's weights, which are downloaded, or
              `keras.applications:NAME:WEIGHTS.h5`;
            - `keras_hub:PRESET`: an image model by name, which is downloaded, or a directory that
              keras-hub or Hugging Face wrote.
        image_size: Side of the images that it will get, in pixels. Defaults to None: its own.
        backbone: The architecture that is expected, one of `BACKBONES` or a model. Defaults to
            None: whatever the source has.
        log: Receives a line that says what was loaded. Defaults to `print`.

    Raises:
        InputError: The source is not there, cannot be read, has no architecture, or another one
            than is expected; or it does not take such images.

    Example:
        >>> encoder = load_encoder("keras.applications:ResNet50", image_size=224)
        >>> model = XSampleModel(encoder, projector(encoder.output_shape[-1]))
    """
    if isinstance(backbone, str):
        backbone = make_backbone(backbone, image_size)
    found = load_pretrained(str(spec), image_size, backbone, log)
    log(f"{found.source}: {found.describe()}")
    return in_policy(found.encoder)


def load_pretrained(
    spec: str,
    image_size: int | None,
    architecture: keras.Model | None,
    log: Callable[[str], None],
) -> Pretrained:
    """Returns what a spec names, in float32, with what is known of it; see `load_encoder`."""
    kind = kind_of(spec)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        found = kind.load(Request(spec, image_size, architecture, log))
    finally:
        keras.config.set_dtype_policy(policy)
    encoder = found.encoder
    if architecture is not None:
        difference = first_difference(layers_of(architecture), layers_of(encoder))
        if difference:
            raise InputError(
                f"backbone: {spec} is of another architecture than {architecture.name}: "
                f"{difference}; leave --backbone out, or empty as --backbone="
            )
    check_images(encoder, spec, image_size)
    for layer in encoder._flatten_layers():  # A file may have some frozen.
        layer.trainable = True
    return found


def kind_of(spec: str) -> type[Kind]:
    """Returns the kind of source that a spec is of.

    Raises:
        InputError: It is of none.
    """
    kinds = [entry.make for entry in KINDS]
    for kind in kinds:
        if kind.takes(spec):
            return kind
    there = "which is none of these" if os.path.exists(spec) else "which does not exist"
    forms = ", ".join(kind.form for kind in kinds)
    raise InputError(f"init_from: expected one of {forms}; received {spec!r}, {there}")


def with_whole_path(spec: str) -> str:
    """Returns a spec in which what names a file here has an absolute path."""
    prefix = next((e.make.prefix for e in KINDS if e.make.prefix and e.make.takes(spec)), "")
    parts_of_it = spec.removeprefix(prefix).split(":")
    return prefix + ":".join(
        os.path.abspath(part) if part and os.path.exists(part) else part for part in parts_of_it
    )


def check_images(encoder: keras.Model, spec: str, image_size: int | None) -> None:
    """Raises `InputError` unless an encoder makes vectors of RGB images of a side."""
    height, width, channels = parts.image_shape(encoder)
    size = height if image_size is None else image_size
    if channels not in (3, None) or height != width:
        raise InputError(
            f"init_from: expected an encoder of square RGB images, received {spec}, which takes "
            f"{tuple(encoder.input_shape)}"
        )
    if height not in (size, None):
        raise InputError(
            f"image_size: {spec} takes images of {height} pixels, received {size}; set "
            f"--image_size={height}"
        )
    if size is not None:
        serving.embedding_size(encoder, size)


def finished(
    core: keras.Model,
    before: Callable[[keras.KerasTensor], keras.KerasTensor],
    pool: Callable[[keras.KerasTensor], keras.KerasTensor],
    name: str,
    shape: tuple[int | None, int | None, int],
) -> keras.Model:
    """Returns an encoder of a model between its preprocessing and its pooling.

    Args:
        core: From what `before` gives, or a dict with that as "images", to what `pool` takes.
        before: Applied to images in [0, 1].
        pool: Applied to the model's output; gives `[B, D]`.
        name: The encoder's.
        shape: Of the images, None where any will do.
    """
    images = keras.Input(shape, name="images")
    inputs = before(images)
    named = isinstance(getattr(core, "input", None), dict)
    features = core({"images": inputs} if named else inputs)
    vectors = keras.layers.Identity(dtype="float32", name=EMBEDDING)(pool(features))
    return keras.Model(images, vectors, name=name)
