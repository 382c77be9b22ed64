"""Sentence-transformers directories run in TensorFlow."""

import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.text.dense import Dense
from xsample_tf.text.encoder import TextEncoder
from xsample_tf.text.model_files import read_weights, weight_files
from xsample_tf.text.sentence_transformer_files import read_layout
from xsample_tf.text.transformer import Transformer

_BATCH_TOKENS = 1024  # Of one forward pass, padding included: its activations fit the cache.
_BLANK = r"[\s\x{0B}\x{1C}-\x{1F}\x{85}\p{Z}]*"  # What `str.strip` takes away.


def _mean(hidden: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(hidden * present, 1) / tf.reduce_sum(present, 1)


def _first(hidden: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    del present
    return hidden[:, 0]


def _max(hidden: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    return tf.reduce_max(hidden + (present - 1) * 1e9, 1)


_POOLINGS = {"mean": _mean, "cls": _first, "max": _max}


class SentenceTransformerEncoder(TextEncoder):
    """A sentence-transformers directory: transformer, pooling, dense layers, unit length.

    Pooling, casing, maximum length and default prompt are the directory's own. Rows have unit
    length whether or not it has a Normalize module: vectors of this package always do.

    Args:
        handle: What `load_encoder` was given.
        directory: `config.json`, `model.safetensors` (or an index of several), `tokenizer.json` or
            the vocabulary's own file, and mostly `modules.json`; without that the tokens' mean is
            taken, as in sentence-transformers.
        name: Names the encoder; None takes the handle's last part.
        option: What is put before every caption: `prefix=TEXT`, `prompt=NAME` of the directory's
            prompts, or "" for its default prompt.

    Attributes:
        graph: The same as a function of TensorFlow, for a SavedModel.

    Raises:
        InputError: Of another family, a module or pooling other than those above, or a file is
            missing or damaged.

    Example:
        >>> SentenceTransformerEncoder("minilm", "models/all-MiniLM-L6-v2")(["a dog"]).shape
        (1, 384)
    """

    def __init__(
        self, handle: str, directory: str, name: str | None = None, option: str = ""
    ) -> None:
        self.graph = SentenceGraph(directory, option)
        self._files = directory, option
        super().__init__(handle, self.graph.size, name)

    def truncated(self, captions: Sequence[str]) -> np.ndarray:
        """Returns which captions have more tokens than the encoder reads, bool `[K]`."""
        layout = read_layout(*self._files)
        tokenize = layout.make_tokenizer(layout.max_length + 1)
        texts = [(layout.prompt + caption).encode("utf-8", "ignore") for caption in captions]
        return tokenize(tf.constant(texts, tf.string)).row_lengths().numpy() > layout.max_length

    def _encode(self, captions: list[str]) -> np.ndarray:
        tokens = self.graph.tokenize([caption.encode("utf-8", "ignore") for caption in captions])
        lengths = tokens.row_lengths().numpy()
        order = np.argsort(-lengths, kind="stable")  # By length, so that little is padding.
        vectors = np.empty([len(captions), self.size], np.float32)
        start = 0
        while start < len(order):
            rows = order[start : start + max(1, _BATCH_TOKENS // lengths[order[start]])]
            vectors[rows] = self.graph.embed(tf.gather(tokens, rows)).numpy()
            start += len(rows)
        return vectors


class SentenceGraph(tf.Module):
    """A sentence-transformers directory as functions of TensorFlow.

    Args:
        directory: As for `SentenceTransformerEncoder`.
        option: As for `SentenceTransformerEncoder`.

    Attributes:
        size: T, the length of a vector.

    Example:
        >>> SentenceGraph("models/all-MiniLM-L6-v2")(tf.constant(["a dog"])).shape
        TensorShape([1, 384])
    """

    def __init__(self, directory: str, option: str = "") -> None:
        super().__init__()
        layout = read_layout(directory, option)
        where = os.path.join(directory, layout.transformer)
        self._tokenizer = layout.make_tokenizer(layout.max_length)
        if self._tokenizer.size > layout.config["vocab_size"]:
            raise InputError(
                f"text encoder {where}: expected at most {layout.config['vocab_size']} tokens "
                f"(vocab_size in config.json), received {self._tokenizer.size}"
            )
        for part in (where, *(dense.directory for dense in layout.dense)):
            weight_files(part)  # Missing ones are told before any is read.
        self._transformer = Transformer(layout.config, read_weights(where), where)
        self._dense = [Dense(config) for config in layout.dense]
        self.size = self._transformer.size
        for config in layout.dense:
            if config.inputs != self.size:
                raise InputError(
                    f"text encoder {config.directory}: expected in_features {self.size}, the size "
                    f"of the vectors before, in config.json, received {config.inputs}"
                )
            self.size = config.outputs
        self._pool = _POOLINGS[layout.pooling]
        self._prompt = layout.prompt

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, captions: tf.Tensor) -> tf.Tensor:
        """Returns float32 `[B, T]` of unit length, zeros for a blank caption, for UTF-8 `[B]`."""
        vectors = tf.math.l2_normalize(self.embed(self.tokenize(captions)), axis=1, epsilon=1e-30)
        blank = tf.strings.regex_full_match(captions, _BLANK)
        return tf.where(blank[:, None], 0.0, vectors)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "captions")])
    def serve(self, captions: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the same as a SavedModel's signature does."""
        return {"embedding": self(captions)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def tokenize(self, captions: tf.Tensor) -> tf.RaggedTensor:
        """Returns the tokens' ids, int32 `[B, length of each]`, for captions in UTF-8, `[B]`."""
        return self._tokenizer(tf.strings.join([self._prompt, captions]))

    @tf.function(input_signature=[tf.RaggedTensorSpec([None, None], tf.int32)])
    def embed(self, tokens: tf.RaggedTensor) -> tf.Tensor:
        """Returns the vectors, float32 `[B, T]`, of any length."""
        ids, lengths = tokens.to_tensor(), tf.cast(tokens.row_lengths(), tf.int32)
        present = tf.sequence_mask(lengths, tf.shape(ids)[1], tf.float32)[..., None]
        vectors = self._pool(self._transformer(ids, lengths), present)
        for dense in self._dense:
            vectors = dense(vectors)
        return vectors
