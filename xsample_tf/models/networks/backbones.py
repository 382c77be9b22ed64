"""Backbones by name: images in, one vector an image out.

Residual networks are composed from keras-cv, vision transformers from keras-hub; no weights and no
presets are downloaded.
"""

import numbers
from typing import Any

import keras
import tensorflow as tf

from xsample_tf.errors import InputError, suggest

PATCH_SIZE = 16

# Name: kind of block, blocks a stage (He et al., arXiv 1512.03385, Table 1).
_RESNETS = {
    "resnet18": ("basic_block", [2, 2, 2, 2]),
    "resnet34": ("basic_block", [3, 4, 6, 3]),
    "resnet50": ("block", [3, 4, 6, 3]),
    "resnet101": ("block", [3, 4, 23, 3]),
}
# Name: width, heads (S: Touvron et al., arXiv 2012.12877; B: Dosovitskiy et al., arXiv 2010.11929).
_VISION_TRANSFORMERS = {"vit_s16": (384, 6), "vit_b16": (768, 12)}

BACKBONES = (*_RESNETS, *_VISION_TRANSFORMERS)

# Mean and deviation of ImageNet's RGB values in [0, 1].
_NORMALIZATIONS = {"imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))}


def backbone(
    name: str,
    image_size: int | None = None,
    small_images: bool = False,
    synchronized_batch_norm: bool | None = None,
    normalization: str | None = "imagenet",
) -> keras.Model:
    """Builds an encoder with fresh weights.

    The encoder takes `images` float32 RGB `[B, H, W, 3]` in [0, 1] and gives `embedding` float32
    `[B, D]` under any precision policy. It is a functional model: `keras.models.clone_model` makes
    the same with other weights, and a saved `.keras` file loads without code of this package.

    Residual networks take images of any size and give the average over the last feature map (D is
    512 for 18 and 34 layers, else 2048). Their bottleneck halves the image in its 3x3 convolution,
    and batch norm keeps 0.9 of its running mean, as torchvision and SimCLR have them. Vision
    transformers are of one image size and give the class token after the last layer norm (D is 384
    or 768), as keras-hub's classifiers do.

    Args:
        name: One of `BACKBONES`.
        image_size: Height and width in pixels; vision transformers need it.
        small_images: A residual network's stem for images of about 32 pixels: a 3x3 convolution
            of stride 1 and no pooling (SimCLR, arXiv 2002.05709, appendix B.9), so that the last
            feature map is H/8 instead of H/32.
        synchronized_batch_norm: Batch statistics of all replicas together; None does so where the
            strategy in force has several.
        normalization: "imagenet" subtracts ImageNet's mean and divides by its deviation inside the
            encoder; None feeds [0, 1] as it is.

    Raises:
        InputError: An unknown name, or an image size that the backbone cannot take.

    Example:
        >>> encoder = backbone("resnet18", small_images=True)
        >>> encoder(tf.zeros([2, 32, 32, 3])).shape
        TensorShape([2, 512])
    """
    if name not in BACKBONES:
        raise InputError(f"backbone: unknown name {name!r}, {suggest(str(name), BACKBONES)}")
    if normalization is not None and normalization not in _NORMALIZATIONS:
        raise InputError(f"normalization: expected 'imagenet' or None, received {normalization!r}")
    if image_size is not None and (not isinstance(image_size, numbers.Integral) or image_size < 1):
        raise InputError(f"image_size: expected a whole number of pixels, received {image_size!r}")
    if name in _VISION_TRANSFORMERS:
        _check_transformer(name, image_size, small_images)
        return _vision_transformer(name, image_size, _normalization(normalization))
    encoder = _resnet(name, small_images, _normalization(normalization))
    return synchronize_batch_norm(encoder) if wanted(synchronized_batch_norm) else encoder


def wanted(synchronized_batch_norm: bool | None) -> bool:
    """Whether batch norm is to be synchronised: as asked, else where there are replicas."""
    if synchronized_batch_norm is None:
        return tf.distribute.get_strategy().num_replicas_in_sync > 1
    return synchronized_batch_norm


def synchronize_batch_norm(model: keras.Layer) -> keras.Layer:
    """Makes every batch norm inside `model` use the statistics of all replicas together.

    Any Keras model will do, nested or subclassed, built or not. It is changed in place, before
    `fit` or `predict` has compiled it; weights stay as they are, and a saved file keeps the change.

    Returns:
        The same model.

    Example:
        >>> encoder = synchronize_batch_norm(keras.applications.MobileNetV2(weights=None))
    """
    for layer in model._flatten_layers():  # The only view of layers that sees inside of layers.
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
    return model


def _normalization(name: str | None) -> keras.Layer:
    """The layer that scales images from [0, 1]; float32, as bfloat16 has 8 bits only."""
    if name is None:
        return keras.layers.Identity(dtype="float32", name="normalization")
    mean, deviation = _NORMALIZATIONS[name]
    return keras.layers.Rescaling(
        scale=[1 / d for d in deviation],
        offset=[-m / d for m, d in zip(mean, deviation, strict=True)],
        dtype="float32",
        name="normalization",
    )


def _resnet(name: str, small_images: bool, normalize: keras.Layer) -> keras.Model:
    """A residual network: keras-cv's graph, each layer remade to the published convention."""
    from keras_cv.models import ResNetBackbone

    block, blocks = _RESNETS[name]
    graph = ResNetBackbone(
        stackwise_filters=[64, 128, 256, 512],
        stackwise_blocks=blocks,
        stackwise_strides=[1, 2, 2, 2],
        include_rescaling=False,
        input_tensor=keras.Input((None, None, 3), name="images"),
        block_type=block,
    )
    pooled = keras.layers.GlobalAveragePooling2D(dtype="float32", name="embedding")(graph.output)

    def remake(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        config.update(_convention(layer, bottleneck=block == "block", small_images=small_images))
        return type(layer).from_config(config)

    def call(layer: keras.Layer, inputs: Any, **arguments: Any) -> Any:
        if layer.name == "pool1_pool" and small_images:
            return inputs
        return layer(normalize(inputs) if layer.name == "conv1_conv" else inputs, **arguments)

    model = keras.Model(graph.input, pooled, name=name)
    return keras.models.clone_model(model, clone_function=remake, call_function=call)


def _convention(layer: keras.Layer, bottleneck: bool, small_images: bool) -> dict[str, Any]:
    """What differs from keras-cv in the networks that published results are of."""
    if isinstance(layer, keras.layers.BatchNormalization):
        return {"momentum": 0.9, "epsilon": 1e-5}
    if not isinstance(layer, keras.layers.Conv2D):
        return {}
    # A new object each: one initializer gives all its layers of one shape the same values.
    changes = {
        "kernel_initializer": keras.initializers.VarianceScaling(
            2.0, mode="fan_out", distribution="untruncated_normal"
        )
    }
    if layer.name == "conv1_conv" and small_images:
        changes |= {"kernel_size": 3, "strides": 1}
    # keras-cv halves the image in the first 1x1 convolution, which drops three of four values.
    if bottleneck and layer.name.endswith("block1_2_conv") and "stack_0" not in layer.name:
        changes |= {"strides": 2}
    if bottleneck and layer.name.endswith("block1_1_conv"):
        changes |= {"strides": 1}
    return changes


def _check_transformer(name: str, image_size: int | None, small_images: bool) -> None:
    if image_size is None or image_size % PATCH_SIZE:
        raise InputError(
            f"image_size: {name} needs a multiple of its patches' {PATCH_SIZE} pixels, such as "
            f"224, received {image_size}"
        )
    if small_images:
        raise InputError(
            f"small_images: expected a residual network, received {name}, which has no such stem; "
            f"choose from {', '.join(_RESNETS)}"
        )


def _vision_transformer(name: str, image_size: int, normalize: keras.Layer) -> keras.Model:
    """A vision transformer of 12 layers over 16x16 patches, to its class token."""
    from keras_hub.models import ViTBackbone

    width, heads = _VISION_TRANSFORMERS[name]
    shape = (image_size, image_size, 3)
    images = keras.Input(shape, name="images")
    tokens = ViTBackbone(
        image_shape=shape,
        patch_size=PATCH_SIZE,
        num_layers=12,
        num_heads=heads,
        hidden_dim=width,
        mlp_dim=4 * width,
        name="tokens",
    )(normalize(images))
    token = keras.layers.Identity(dtype="float32", name="embedding")(tokens[:, 0])
    return keras.Model(images, token, name=name)
