"""A text encoder as a SavedModel, for places without this package."""

import os
import pathlib

import tensorflow as tf

from xsample_tf import files
from xsample_tf.errors import InputError
from xsample_tf.text.load import load_encoder
from xsample_tf.text.sentence_transformer import SentenceTransformerEncoder


def convert(handle: str, directory: str | os.PathLike) -> None:
    """Writes a text encoder as a SavedModel from strings `[B]` to unit vectors `[B, T]`.

    It loads with `tensorflow` and `tensorflow_text` (imported before, for its operations), and
    holds all of the encoder: clean-up, tokens, transformer, pooling. The model can be called
    itself, and `serving_default(captions)` gives {"embedding": float32 `[B, T]`}. A blank caption
    gives zeros. `load_encoder(directory)` takes it too, with the same vectors.

    Args:
        handle: A sentence-transformers directory or Hugging Face id, as for `load_encoder`.
        directory: What to write; must not exist.

    Raises:
        InputError: `directory` exists or cannot be written, or the handle names nothing or an
            encoder of another kind.

    Example:
        >>> convert("sentence-transformers/all-mpnet-base-v2", "models/mpnet")
        >>> import tensorflow_text
        >>> tf.saved_model.load("models/mpnet")(tf.constant(["a dog"])).shape
        TensorShape([1, 768])
    """
    directory = pathlib.Path(directory).expanduser().absolute()
    if directory.exists():
        raise InputError(f"output: expected a new directory, received {directory}, which exists")
    encoder = load_encoder(handle)
    if not isinstance(encoder, SentenceTransformerEncoder):
        raise InputError(
            f"text encoder {handle!r}: expected a sentence-transformers directory or Hugging Face "
            "id, received the encoder without a model, or what is a SavedModel already"
        )
    with files.writing(directory, setting="output"), files.atomic_directory(directory) as temporary:
        signatures = {"serving_default": encoder.graph.serve}
        tf.saved_model.save(encoder.graph, str(temporary), signatures)
