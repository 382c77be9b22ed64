"""The text tower that is trained from scratch: a transformer over tokens of the data's captions."""

from collections.abc import Callable

import keras
import tensorflow as tf

from xsample_tf import data, models, text
from xsample_tf.errors import InputError
from xsample_tf.registry import Option
from xsample_tf.training.options import Options
from xsample_tf.training.text_towers.base import TextTower, register

_OPTIONS = (
    Option("text_layers", 12, "Layers of the text tower.", minimum=1),
    Option("text_width", 512, "Width of the text tower.", minimum=1),
    Option("text_heads", 8, "Heads of the text tower's attention.", minimum=1),
    Option("text_tokens", 77, "Tokens of a text, with the first and the end one.", minimum=3),
)


@register("transformer", options=_OPTIONS)
class Transformer(TextTower):
    """CLIP's transformer, trained from scratch; tokens are those that prepare_data learned."""

    feature = "tokens"

    def __init__(
        self,
        options: Options,
        dataset: data.Dataset,
        text_layers: int,
        text_width: int,
        text_heads: int,
        text_tokens: int,
    ):
        super().__init__(options, dataset)
        if not dataset.captions_per_image:
            raise InputError(
                f"text_tower: expected captions in {dataset.directory}, received none; use "
                "--text_tower=frozen, or prepare the data with --caption_column"
            )
        if text_width % text_heads:
            raise InputError(
                f"text_width: expected a multiple of the {text_heads} heads of text_heads, "
                f"received {text_width}"
            )
        self.tokenizer = text.PaddedTokenizer(data.read_vocabulary(dataset), text_tokens)
        self.size, self._layers, self._heads = text_width, text_layers, text_heads

    def make_encoder(self) -> keras.Model:
        """Returns the transformer, tokens `[B, L]` to `[B, text_width]`."""
        tokens = self.tokenizer
        return models.text_tower(tokens.size, tokens.length, self.size, self._layers, self._heads)

    def read(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """Returns the tokenizer."""
        return self.tokenizer

    def describe(self) -> str:
        """Returns the shape in CLIP's order, and the vocabulary."""
        return (
            f"transformer of {self._layers} layers, width {self.size}, {self._heads} heads, "
            f"{self.tokenizer.length} of {self.tokenizer.size} tokens"
        )
