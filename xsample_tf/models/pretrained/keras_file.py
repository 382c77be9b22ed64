"""Encoders in `.keras` files: exports, and models of others."""

import os
import pathlib
import zipfile

import keras

from xsample_tf.errors import InputError, shorten
from xsample_tf.models import parts, pixels
from xsample_tf.models.contrastive import XSampleModel
from xsample_tf.models.pretrained.base import Kind, Pretrained, Request, register
from xsample_tf.models.pretrained.load import finished
from xsample_tf.models.pretrained.preprocessing import Preprocessing, of_range
from xsample_tf.models.pretrained.rebuilt import EMBEDDING

_ENCODER = "encoder.keras"  # In an export.


@register("keras_file")
class KerasFile(Kind):
    """A `.keras` file, or an export, which has one: a model with its weights."""

    form = "an export or FILE.keras"

    @classmethod
    def takes(cls, spec: str) -> bool:
        """Whether it is a file's name, or a directory with an encoder."""
        return spec.endswith(".keras") or os.path.isfile(os.path.join(spec, _ENCODER))

    @classmethod
    def load(cls, request: Request) -> Pretrained:
        """Loads the model, with its range of pixels inside."""
        path = pathlib.Path(request.spec)
        path = path / _ENCODER if path.is_dir() else path
        model = read_keras(path)
        if isinstance(model, XSampleModel):
            given, model = model.input_range, model.encoder
        else:
            given = pixels.own_range(model)
        if given is None:
            raise InputError(
                f"init_from: expected a model with an input_range, received None in {path}, which "
                "does not say what to make of pixels; save it with one"
            )
        parts.check_part("init_from", model)
        parts.check_one_input("init_from", model)
        encoder = parts.with_one_output(model, None)
        parts.check_sizes(encoder, None)
        before = of_range(*given)
        last = getattr(encoder, "layers", [encoder])[-1]
        if before != Preprocessing() or last.name != EMBEDDING:
            height, width, channels = parts.image_shape(encoder)
            shape = (height, width, channels or 3)
            encoder = finished(encoder, before, lambda x: x, encoder.name, shape)
        return Pretrained(encoder, str(path), str(before), "its own output")


def read_keras(path: pathlib.Path) -> keras.Model:
    """Returns the model in a `.keras` file.

    Raises:
        InputError: It is not there, or cannot be read.
    """
    if not path.is_file():
        raise InputError(f"init_from: expected a .keras file, received {path}, which is none")
    try:
        return keras.saving.load_model(path, compile=False)
    except (KeyError, OSError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"init_from: cannot load {path} ({shorten(error, 160)})") from error
