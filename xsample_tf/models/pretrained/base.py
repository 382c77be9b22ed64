"""What an encoder that exists already is, and the kinds of it that a run can start from."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import keras

from xsample_tf.registry import Registry


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """An encoder with weights that someone has trained.

    Attributes:
        encoder: Keras model from float32 RGB `[B, H, W, 3]` in [0, 1] to vectors `[B, D]`.
        source: What it was loaded from, in words.
        preprocessing: What it does to pixels in [0, 1], in words.
        pooling: How it makes one vector of an image, in words.
        facts: What else is recorded of it with a run; JSON-able. Defaults to nothing.
    """

    encoder: keras.Model
    source: str
    preprocessing: str
    pooling: str
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)

    def describe(self) -> str:
        """Returns what the encoder is, in words."""
        return (
            f"{self.encoder.count_params() / 1e6:.1f} M parameters; "
            f"{self.preprocessing}; {self.pooling}, {self.encoder.output_shape[-1]} numbers"
        )


@dataclasses.dataclass(frozen=True)
class Request:
    """What is to be loaded.

    Attributes:
        spec: What the user wrote.
        image_size: Side of the images that the encoder will get; None where that is not known.
        architecture: A model that expects the weights; None where the source has its own.
        log: Receives a line on what is passed over.
    """

    spec: str
    image_size: int | None
    architecture: keras.Model | None
    log: Callable[[str], None]


class Kind(abc.ABC):
    """One kind of source for encoders. A new one derives from it, in a file of this folder.

    Attributes:
        form: How its specs are written, for messages.
        prefix: What all its specs begin with; "" for paths.
    """

    form: ClassVar[str]
    prefix: ClassVar[str] = ""

    @classmethod
    def takes(cls, spec: str) -> bool:
        """Whether a spec is one of this kind. Defaults to: it begins with the prefix."""
        return bool(cls.prefix) and spec.startswith(cls.prefix)

    @classmethod
    @abc.abstractmethod
    def load(cls, request: Request) -> Pretrained:
        """Loads the encoder, computing in float32.

        Raises:
            InputError: It is not there, cannot be read, or is of another architecture.
        """


# The kinds by name; `load.kind_of` finds the one that a spec is of.
KINDS = Registry("init_from", "xsample_tf.models.pretrained", Kind)
register = KINDS.register
