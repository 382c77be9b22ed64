"""Image models of keras-hub: presets by name, and directories of them."""

import os
import warnings
from collections.abc import Callable
from typing import Any

import keras

from xsample_tf.errors import InputError, listing, shorten, suggest
from xsample_tf.models.pretrained.base import Kind, Pretrained, Request, register
from xsample_tf.models.pretrained.load import finished
from xsample_tf.models.pretrained.preprocessing import measured

_CONFIG, _CONVERTER = "config.json", "image_converter.json"
_WEIGHTS = ("model.weights.h5", "model.weights.json")
# Those whose presets are proposed for a name that is unknown.
_FAMILIES = ("ResNet", "ViT", "DINOV2", "CLIP", "SigLIP")
# Models of images and texts, whose image tower is taken.
_TOWERS = ("CLIPBackbone", "SigLIPBackbone")
# Models that give tokens of which the first is the class token.
_CLASS_TOKEN = ("ViTBackbone", "DeiTBackbone", "DINOV2Backbone", "CLIPVisionEncoder")
# Models whose table of positions is resized to that of the images.
_ANY_SIZE = ("DINOV2Backbone",)


@register("keras_hub")
class Hub(Kind):
    """An image model of keras-hub: a preset by name, or a directory of one."""

    form = "keras_hub:PRESET"
    prefix = "keras_hub:"

    @classmethod
    def load(cls, request: Request) -> Pretrained:
        """Loads the backbone, or the image tower of a model of two, and what scales its pixels."""
        import keras_hub

        preset = request.spec.removeprefix(cls.prefix)
        _check_preset(preset, request.spec)
        core = _loaded(
            request.spec, lambda: _backbone(preset, request.spec, request.image_size), "the model"
        )
        before = _loaded(
            request.spec,
            lambda: measured(keras_hub.layers.ImageConverter.from_preset(preset), request.spec),
            _CONVERTER,
        )
        if type(core).__name__ in _TOWERS:
            core = core.vision_encoder
        pool, pooling = _pool(core, request.spec)
        shape = tuple(core.inputs[0].shape[1:])
        name = type(core).__name__.lower()
        return Pretrained(
            finished(core, before, pool, name, shape),
            f"{request.spec} ({type(core).__name__})",
            str(before),
            pooling,
        )


def _check_preset(preset: str, spec: str) -> None:
    """Raises `InputError` for an unknown name, or a directory without the files of a preset."""
    import keras_hub

    if os.path.isdir(preset):
        files = os.listdir(preset)
        if "preprocessor_config.json" in files or any(f.endswith(".safetensors") for f in files):
            return  # Written by Hugging Face, which keras-hub converts.
        needed = [one for one in (_CONFIG, _CONVERTER) if one not in files]
        needed += [] if any(one in files for one in _WEIGHTS) else [_WEIGHTS[0]]
        if needed:
            raise InputError(
                f"init_from: {spec} is no preset of an image model, it lacks {listing(needed)}; "
                "write it by save_to_preset of a keras-hub backbone and of its image converter"
            )
    elif "://" not in preset and preset not in keras_hub.models.Backbone.presets:
        raise InputError(
            f"init_from: expected the name of a preset or a directory after keras_hub:, received "
            f"{preset!r}, {suggest(preset, _image_presets())}"
        )


def _image_presets() -> list[str]:
    import keras_hub

    kinds = (getattr(keras_hub.models, f"{name}Backbone") for name in _FAMILIES)
    return [name for kind in kinds for name in kind.presets]


def _backbone(preset: str, spec: str, image_size: int | None) -> keras.Model:
    """The model, made for images of a size where it can be."""
    import keras_hub
    from keras_hub.src.utils.preset_utils import get_preset_loader

    kind = get_preset_loader(preset).check_backbone_class()
    own: dict[str, Any] = {}
    if kind.__name__ in _ANY_SIZE and image_size is not None:
        own = {"image_shape": (image_size, image_size, 3)}
    model = keras_hub.models.Backbone.from_preset(preset, **own)
    patch = getattr(model, "patch_size", 1)
    if own and image_size % patch:
        raise InputError(
            f"image_size: {spec} needs a multiple of its patches' {patch} pixels, received "
            f"{image_size}"
        )
    return model


def _loaded(spec: str, load: Callable[[], Any], what: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Skipping nested container")
            return load()
    except InputError:
        raise
    except Exception as error:  # What a download or a conversion may raise has no common base.
        raise InputError(
            f"init_from: cannot load {what} of {spec} ({shorten(error, 140)}); expected a preset "
            "that can be downloaded, or a directory with all its files"
        ) from error


def _pool(
    core: keras.Model, spec: str
) -> tuple[Callable[[keras.KerasTensor], keras.KerasTensor], str]:
    """What makes one vector of a model's output, as its family does, and its name."""
    kind, output = type(core).__name__, core.output
    if not isinstance(output, dict):
        if len(output.shape) == 2:
            return lambda vectors: vectors, "its own pooling"
        if len(output.shape) == 4:
            pool = keras.layers.GlobalAveragePooling2D(dtype="float32", name="pool")
            return pool, "average over the last feature map"
        if kind in _CLASS_TOKEN and getattr(core, "use_class_token", True):
            return lambda tokens: tokens[:, 0], "the class token"
        if kind in _CLASS_TOKEN:
            pool = keras.layers.GlobalAveragePooling1D(dtype="float32", name="pool")
            return pool, "average over the tokens"
    raise InputError(
        f"init_from: expected an image model such as ResNet, ViT, DINOv2, CLIP or SigLIP, received "
        f"{spec}, a {kind}; save its encoder, images to [B, D], as a .keras file"
    )
