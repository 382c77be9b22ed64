"""A trained model as a search needs it: image files and captions to vectors in one space."""

import functools
import hashlib
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from xsample_tf import text
from xsample_tf.errors import InputError, shorten
from xsample_tf.export import (
    TEXT_MODEL,
    find_saved_model,
    load_saved_model,
    read_card,
)


class SearchModel:
    """Embeds image files and captions into one space, as unit vectors.

    Args:
        saved_model: Directory of the SavedModel of images, which is loaded once it is needed.
        output: Which output of its signatures is in the space of captions.
        embed_texts: Captions to float `[K, P]`, of unit length, or zeros where there is nothing.

    Attributes:
        saved_model: As given.
    """

    def __init__(
        self,
        saved_model: pathlib.Path,
        output: str,
        embed_texts: Callable[[list[str]], np.ndarray],
    ):
        self.saved_model, self._output, self._embed_texts = saved_model, output, embed_texts

    @functools.cached_property
    def identity(self) -> str:
        """What tells its vectors of images from another model's: a hash of the SavedModel."""
        digest = hashlib.sha256()
        for path in sorted(self.saved_model.rglob("*")):
            if path.is_file():
                digest.update(str(path.relative_to(self.saved_model)).encode())
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def embed_files(self, contents: Sequence[bytes]) -> np.ndarray:
        """Returns float32 `[K, P]` of the contents of JPEG and PNG files."""
        return self._embed_jpeg(jpeg=tf.constant(list(contents)))[self._output].numpy()

    def embed_captions(self, captions: Sequence[str]) -> np.ndarray:
        """Returns float32 `[K, P]` of captions.

        Raises:
            InputError: No caption, an empty one, or one in which the text encoder finds nothing.
        """
        if not captions:
            raise InputError("caption: expected what to look for, received none")
        for caption in captions:
            if not caption.strip():
                raise InputError(f"caption: expected what to look for, received {caption!r}")
        vectors = self._embed_texts(list(captions))
        for caption, vector in zip(captions, vectors, strict=True):
            if not (np.isfinite(vector).all() and vector.any()):
                raise InputError(
                    f"caption: expected words that the text encoder knows, received "
                    f"{shorten(caption)!r}, in which it finds nothing"
                )
        return vectors

    @functools.cached_property
    def _embed_jpeg(self) -> Callable[..., dict[str, tf.Tensor]]:
        self._loaded = load_saved_model(self.saved_model)  # Owns the variables: keep it.
        return self._loaded.signatures["embed_jpeg"]


def load(path: str | os.PathLike, text_encoder: str | None = None) -> SearchModel:
    """Opens a run or an export for search.

    A model of two towers embeds texts itself. An image encoder does with the map from images to
    captions, and with the text encoder, which is in the export where it runs in TensorFlow.

    Args:
        path: A run directory, an export, or the SavedModel in one.
        text_encoder: Handle of the text encoder that the map leads to, where it is not in the
            export. Defaults to None: that of the model card.

    Raises:
        InputError: No such model; one that is not searched by text; or the text encoder is not at
            hand, or is another one.

    Example:
        >>> model = load("runs/photos")
        >>> model.embed_captions(["a dog on a beach"]).shape
        (1, 384)
    """
    found = find_saved_model(path)
    text_model = found.parent / TEXT_MODEL
    if (text_model / "saved_model.pb").is_file():
        embed = _text_side(load_saved_model(text_model), read_card(found), text_encoder)
        return SearchModel(found, "caption_embedding", embed)
    model = load_saved_model(found)
    if not {"embed_text", "embed_jpeg"} <= set(model.signatures):
        raise InputError(
            f"model: expected an export that is searched by text, received {found}, which has "
            f"signatures {', '.join(sorted(model.signatures)) or 'none'} and no {TEXT_MODEL} "
            "beside it; export its run again, as ",
            "tools/export.py --run_dir=RUN --output=DIR --caption_map, or train with "
            "--objective=clip",
        )
    return SearchModel(found, "embedding", _embedding_of(model, "embed_text"))


def _text_side(
    model: Any, card: dict[str, Any], handle: str | None
) -> Callable[[list[str]], np.ndarray]:
    """What embeds captions of an export with a map, by its own text encoder or one at hand."""
    if handle is None and "embed_text" in model.signatures:
        return _embedding_of(model, "embed_text")
    described = card.get("text_encoder", {})
    handle = handle or described.get("handle", "")
    size = model.signatures["embed_vectors"].structured_input_signature[1]["vectors"].shape[1]
    try:
        encoder = text.load_encoder(handle)
        text.check_probe(encoder, size, model.probe_text.numpy().decode(), model.probe.numpy())
    except InputError as error:
        raise InputError(
            f"text_encoder: {error}; the model was trained with {described.get('name')}, "
            "say where that is by --text_encoder=HANDLE"
        ) from error
    embed = _embedding_of(model, "embed_vectors")
    return lambda captions: embed(encoder(captions))


def _embedding_of(model: Any, signature: str) -> Callable[[Any], np.ndarray]:
    """The function of a signature's only input, with the model that owns its variables."""
    function = model.signatures[signature]
    (name,) = function.structured_input_signature[1]

    def embed(values: Any, model: Any = model) -> np.ndarray:
        return function(**{name: tf.constant(values)})["embedding"].numpy()

    return embed
