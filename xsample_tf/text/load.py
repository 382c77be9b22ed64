"""Text encoders by handle: one word, directory, id or address for each kind."""

import os
import pathlib
import re
from typing import TYPE_CHECKING

import numpy as np

from xsample_tf.errors import InputError, suggest
from xsample_tf.text.encoder import TextEncoder
from xsample_tf.text.lexical import LexicalEncoder
from xsample_tf.text.model_files import no_weights
from xsample_tf.text.naming import directory_name, handle_name

if TYPE_CHECKING:
    from xsample_tf.text.sentence_transformer import SentenceGraph

# Ids without an owner mean these, as in sentence-transformers; its models of the known families.
_SENTENCE_TRANSFORMERS = (
    "all-MiniLM-L12-v2",
    "all-MiniLM-L6-v2",
    "all-distilroberta-v1",
    "all-mpnet-base-v2",
    "msmarco-MiniLM-L6-cos-v5",
    "multi-qa-MiniLM-L6-cos-v1",
    "multi-qa-mpnet-base-cos-v1",
    "paraphrase-MiniLM-L3-v2",
    "paraphrase-MiniLM-L6-v2",
    "paraphrase-mpnet-base-v2",
    "paraphrase-multilingual-MiniLM-L12-v2",
    "paraphrase-multilingual-mpnet-base-v2",
)
_SETTINGS = ("*.json", "*vocab.txt", "*merges.txt", "*sentencepiece.bpe.model")
_OPTION = re.compile(r"(.+?)#((?:prefix|prompt)=.*\S)\s*", re.DOTALL)
_WEIGHTS = ("*model.safetensors", "*model-*.safetensors")


def load_encoder(handle: str) -> TextEncoder:
    """Returns the text encoder that a handle names.

    Args:
        handle: One of
            `lexical`: built in, no download;
            a directory: sentence-transformers (BERT, DistilBERT, MPNet, RoBERTa or XLM-R), or a
            SavedModel;
            a Hugging Face id, `sentence-transformers/all-mpnet-base-v2`, downloaded once;
            an address, `https://tfhub.dev/google/universal-sentence-encoder/4`, of a SavedModel.
            Behind one of sentence-transformers, `#prefix=TEXT` puts that text and a space before
            every caption (`intfloat/multilingual-e5-base#prefix=query:`), and `#prompt=NAME` the
            prompt of that name in the model's own configuration.

    Returns:
        A callable from K captions to float32 `[K, T]`, rows of unit length.

    Raises:
        InputError: The handle names nothing, or something that is not such an encoder; the message
            has the nearest names.

    Example:
        >>> encoder = load_encoder("lexical")
        >>> encoder.name, encoder.size
        ('lexical', 384)
    """
    if handle == "lexical":
        return LexicalEncoder()
    option = ""
    if not os.path.exists(os.path.expanduser(handle)) and (found := _OPTION.fullmatch(handle)):
        handle, option = found.groups()
    directory = os.path.expanduser(handle)
    if handle and os.path.exists(directory):
        return _from_directory(os.path.abspath(directory), option)
    if handle in _SENTENCE_TRANSFORMERS:
        handle = f"sentence-transformers/{handle}"
    if re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", handle, re.ASCII):
        directory = _download(handle)
        return _sentence_transformer(handle, directory, handle_name(handle), option)
    if option and (handle == "lexical" or "://" in handle):
        raise _no_option(handle, option)
    if "://" in handle:
        return _saved_model(handle)
    known = ["lexical", *_SENTENCE_TRANSFORMERS]
    raise InputError(
        "text encoder: expected lexical, an existing directory, a Hugging Face id OWNER/NAME or an "
        f"https:// address, received {handle!r}; {suggest(handle, known)}"
    )


def check_probe(encoder: TextEncoder, size: int, probe_text: str, probe: np.ndarray) -> None:
    """Raises `InputError` for another text encoder than the one that made a text's vector.

    Args:
        encoder: The one at hand.
        size: Length T of the vectors that are expected.
        probe_text: The text.
        probe: Its vector `[T]`; empty where it is not known, and size alone counts.
    """
    same = encoder.size == size
    if same and len(probe):
        same = np.allclose(encoder([probe_text])[0], probe, atol=0.01)
    if not same:
        raise InputError(
            f"text encoder {encoder.handle!r}: expected the one of the model's captions, of size "
            f"{size}, received another, of size {encoder.size}"
        )


def graph_of(encoder: TextEncoder) -> "SentenceGraph":
    """Returns a text encoder as a function of TensorFlow, strings `[B]` to unit vectors `[B, T]`.

    Raises:
        InputError: It is none.
    """
    from xsample_tf.text.sentence_transformer import SentenceTransformerEncoder

    if not isinstance(encoder, SentenceTransformerEncoder):
        raise InputError(
            f"the text encoder {encoder.handle!r} is no sentence transformer, which alone is a "
            "function of TensorFlow"
        )
    return encoder.graph


def _from_directory(directory: str, option: str) -> TextEncoder:
    files = sorted(os.listdir(directory)) if os.path.isdir(directory) else []
    if "saved_model.pb" in files:
        if option:
            raise _no_option(directory, option)
        return _saved_model(directory, directory_name(directory))
    if "modules.json" in files or "config.json" in files:
        return _sentence_transformer(directory, directory, directory_name(directory), option)
    raise InputError(
        f"text encoder {directory}: expected a directory with saved_model.pb (SavedModel), or "
        "with modules.json or config.json (sentence-transformers), received "
        f"{', '.join(files[:8]) or 'an empty one or a file'}"
    )


def _no_option(handle: str, option: str) -> InputError:
    return InputError(
        f"text encoder {handle!r}: expected #prefix and #prompt behind a sentence-transformers "
        f"directory or Hugging Face id, received #{option} behind another handle; leave it out"
    )


def _saved_model(handle: str, name: str | None = None) -> TextEncoder:
    from xsample_tf.text.saved_model import SavedModelEncoder

    return SavedModelEncoder(handle, name)


def _sentence_transformer(handle: str, directory: str, name: str, option: str) -> TextEncoder:
    """Returns the encoder of a directory; another option is another handle and name."""
    from xsample_tf.text.sentence_transformer import SentenceTransformerEncoder

    if option:
        handle = f"{handle}#{option}"
        name = f"{name}-{handle_name(option.split('=', 1)[1])}"
    return SentenceTransformerEncoder(handle, directory, name, option)


def _download(model_id: str) -> str:
    """Returns the directory of a Hugging Face model, its weights fetched when its family fits."""
    import huggingface_hub

    from xsample_tf.text.sentence_transformer_files import read_layout

    try:
        settings = huggingface_hub.snapshot_download(model_id, allow_patterns=_SETTINGS)
        read_layout(settings)  # Before the large download.
        files = _SETTINGS + _WEIGHTS
        directory = huggingface_hub.snapshot_download(model_id, allow_patterns=files)
        if not any(pathlib.Path(directory).rglob("*.safetensors")):
            raise no_weights(directory, huggingface_hub.list_repo_files(model_id))
        return directory
    except InputError as error:
        raise InputError(f"text encoder {model_id!r}: {error}") from error
    except Exception as error:  # Of several kinds: connection, id, permission, disk.
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"text encoder {model_id!r}: no such directory, and the download from Hugging Face "
            f"failed ({reason}); check the id and the connection, or pass a local copy's directory"
        ) from error
