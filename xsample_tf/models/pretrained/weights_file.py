"""Weights without their architecture: `.weights.h5` files."""

import pathlib

from xsample_tf.errors import InputError
from xsample_tf.models.pretrained.base import Kind, Pretrained, Request, register
from xsample_tf.models.pretrained.differences import load_weights


@register("weights_file")
class WeightsFile(Kind):
    """A `.weights.h5` file of an encoder, whose architecture --backbone says."""

    form = "FILE.weights.h5"

    @classmethod
    def takes(cls, spec: str) -> bool:
        """Whether it is a file's name."""
        return spec.endswith((".weights.h5", ".h5")) and ":" not in spec

    @classmethod
    def load(cls, request: Request) -> Pretrained:
        """Loads the weights into the architecture."""
        encoder = request.architecture
        if encoder is None:
            raise InputError(
                f"init_from: {request.spec} has weights without an architecture; name it, as "
                "--backbone=resnet50, or give a .keras file"
            )
        load_weights(encoder, pathlib.Path(request.spec), "init_from")
        return Pretrained(
            encoder, request.spec, f"takes pixels as {encoder.name} does", "pools as that does"
        )
