"""What differs between text towers, behind one class."""

from collections.abc import Callable
from typing import ClassVar

import keras
import tensorflow as tf

from xsample_tf import data
from xsample_tf.errors import InputError
from xsample_tf.training.options import Options
from xsample_tf.training.settings import TEXT_TOWERS

register = TEXT_TOWERS.register


class TextTower:
    """What embeds the texts of a run, in front of the projection that is trained for all of them.

    A new one derives from this class and is registered under its name, which `--text_tower` then
    takes. It is made once a run, before anything expensive, and raises `InputError` for data that
    it cannot use.

    Args:
        options: The settings of the run.
        dataset: What the first data directory says.
        **own: The options that the tower declares where it is registered.

    Attributes:
        feature: Name of the side information that it embeds: "embedding" or "tokens".
        size: T, the length of the vectors that it gives.
        tokenizer: What `data.load` makes "tokens" by; None where none are wanted.
    """

    feature: ClassVar[str] = "embedding"
    size: int
    tokenizer: Callable[[tf.Tensor], tf.Tensor] | None = None

    def __init__(self, options: Options, dataset: data.Dataset):
        self.options, self.dataset = options, dataset

    def make_encoder(self) -> keras.Model | None:
        """Returns a Keras model of what the stream has to `[B, T]`, fresh; None where that is it.

        Its weights depend on Keras's random numbers alone.
        """
        return None

    def read(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """Returns what makes strings `[B]` what the stream has of captions, for an export.

        It is a `tf.Module`, or another thing that a SavedModel can hold.

        Raises:
            InputError: Nothing of TensorFlow does; the message says why.
        """
        raise InputError(f"{type(self).__name__} reads no strings")

    def describe(self) -> str:
        """Returns what embeds texts, in words for the line before the first step."""
        raise NotImplementedError(f"abstract: {type(self).__name__} must implement describe")


def make_text_tower(options: Options, dataset: data.Dataset) -> TextTower:
    """Returns the text tower that the options name.

    Raises:
        InputError: The data lacks what it needs.
    """
    return TEXT_TOWERS.make(options.text_tower, options, dataset, values=options.own)
