"""Encoders of `keras.applications`, with ImageNet's weights or those of a file."""

import importlib
import pathlib
from typing import Any

import keras

from xsample_tf.errors import InputError, shorten, suggest
from xsample_tf.models.pretrained.base import Kind, Pretrained, Request, register
from xsample_tf.models.pretrained.differences import load_weights
from xsample_tf.models.pretrained.load import finished
from xsample_tf.models.pretrained.preprocessing import measured

_IMAGENET = "imagenet"


@register("keras.applications")
class Applications(Kind):
    """A network of keras.applications by name, with weights that are downloaded or in a file."""

    form = "keras.applications:NAME[:imagenet|:WEIGHTS.h5]"
    prefix = "keras.applications:"

    @classmethod
    def load(cls, request: Request) -> Pretrained:
        """Builds the network without its classifier, and loads the weights."""
        name, _, weights = request.spec.removeprefix(cls.prefix).partition(":")
        names = [one for one in dir(keras.applications) if one[:1].isupper()]
        if name not in names:
            raise InputError(f"keras.applications: received {name!r}, {suggest(name, names)}")
        make = getattr(keras.applications, name)
        before = measured(importlib.import_module(make.__module__).preprocess_input, cls.prefix)
        size = request.image_size
        shape = (size, size, 3)
        weights = weights or _IMAGENET
        core = _built(make, weights == _IMAGENET, shape, name)
        if weights != _IMAGENET:
            load_weights(core, pathlib.Path(weights), f"{cls.prefix}{name}")
        pool = keras.layers.GlobalAveragePooling2D(dtype="float32", name="pool")
        return Pretrained(
            finished(core, before, pool, core.name, shape),
            f"{cls.prefix}{name} with the weights of {weights}",
            str(before),
            "average over the last feature map",
        )


def _built(make: Any, pretrained: bool, shape: tuple, name: str) -> keras.Model:
    try:
        return make(include_top=False, weights=_IMAGENET if pretrained else None, input_shape=shape)
    except ValueError as error:  # It has a smallest size, and some weights are of one size.
        raise InputError(
            f"image_size: keras.applications:{name} does not take {shape[0]} pixels "
            f"({shorten(error, 140)})"
        ) from error
    except Exception as error:  # What a download may raise has no common base.
        raise InputError(
            f"init_from: cannot download the weights of keras.applications:{name} "
            f"({shorten(error, 80)}); give a file, as keras.applications:{name}:WEIGHTS.h5"
        ) from error
