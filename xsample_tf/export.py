"""Export of a trained encoder: a SavedModel that needs TensorFlow alone, weights, and a card."""

import dataclasses
import json
import os
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from xsample_tf import files
from xsample_tf.errors import InputError
from xsample_tf.models.serving import embedding_size, in_float32, save_signatures
from xsample_tf.version import __version__

SAVED_MODEL, ENCODER, CARD = "saved_model", "encoder.keras", "model_card.json"


def export(
    encoder: keras.Model,
    directory: str | os.PathLike,
    image_size: int,
    card: Mapping[str, Any] | None = None,
) -> None:
    """Writes `saved_model/`, `encoder.keras` and `model_card.json` into `directory`.

    The SavedModel has two signatures, both of which give {"embedding": float32 [B, D]}:

    - `serving_default(images)`: float32 `[B, H, W, 3]` in [0, 1], any size;
    - `embed_jpeg(jpeg)`: strings `[B]`, JPEG or PNG files of any sizes. One that cannot be decoded
      fails the call.

    Both bring images to size by `views.Evaluation`, as evaluation does. The export computes in
    float32 whatever the encoder was trained in. An export that stands there is replaced in one
    piece.

    Args:
        encoder: Keras model from images `[B, H, W, 3]` in [0, 1] to `[B, D]`.
        directory: Where to write; made if missing. Anything but an export there is an error.
        image_size: Side of the images that the encoder gets.
        card: What the model card says beside versions and sizes; JSON-able.

    Raises:
        InputError: The encoder cannot be serialised or does not take such images, or `directory` is
            in use for something else.

    Example:
        >>> export(model.encoder, "runs/first/export", 224, {"scores": results})
        >>> encoder = tf.saved_model.load("runs/first/export/saved_model")
        >>> encoder.signatures["serving_default"](tf.random.uniform([2, 300, 400, 3]))["embedding"]
    """
    directory = pathlib.Path(directory).absolute()
    _check_replaceable(directory)
    encoder = in_float32(encoder)
    size = embedding_size(encoder, image_size)
    content = {
        **(card or {}),
        "image_size": image_size,
        "embedding_size": size,
        "parameters": encoder.count_params(),
        "versions": {
            "xsample_tf": __version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
        },
    }
    with files.writing(directory, setting="export"), files.atomic_directory(directory) as temporary:
        save_signatures(encoder, temporary / SAVED_MODEL, image_size)
        encoder.save(temporary / ENCODER)
        (temporary / CARD).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


@dataclasses.dataclass(frozen=True)
class Exported:
    """An export, or anyone's SavedModel of the same signature, for evaluation.

    Attributes:
        saved_model: The SavedModel's directory.
        card: The model card, empty where there is none.
        encoder_file: `encoder.keras`, or None.
    """

    saved_model: pathlib.Path
    card: dict[str, Any]
    encoder_file: pathlib.Path | None
    _model: Any = dataclasses.field(repr=False)

    def __call__(self, images: tf.Tensor | np.ndarray) -> tf.Tensor:
        """Returns embeddings `[B, D]` of images float32 `[B, H, W, 3]` in [0, 1]."""
        serve = self._model.signatures["serving_default"]
        return serve(images=tf.convert_to_tensor(images, tf.float32))["embedding"]

    def encoder(self) -> keras.Model | None:
        """Returns the Keras model of the export; None where there is none.

        Raises:
            InputError: The file cannot be read.
        """
        if self.encoder_file is None:
            return None
        try:
            return keras.saving.load_model(self.encoder_file, compile=False)
        except (OSError, TypeError, ValueError, zipfile.BadZipFile) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"model: cannot load {self.encoder_file} ({reason})") from error


def load(path: str | os.PathLike) -> Exported:
    """Opens an export for evaluation.

    Args:
        path: A SavedModel, a directory that `export` wrote, or a run directory with one.

    Raises:
        InputError: Nothing of that kind at `path`, or a SavedModel without
            `serving_default(images)` -> "embedding".

    Example:
        >>> encoder = load("runs/first")
        >>> evaluate(encoder, "data/own", image_size=encoder.card["image_size"])
    """
    path = pathlib.Path(path)
    candidates = (path, path / SAVED_MODEL, path / "export" / SAVED_MODEL)
    found = next((c for c in candidates if (c / "saved_model.pb").is_file()), None)
    if found is None:
        state = "which has no SavedModel in it" if path.exists() else "which does not exist"
        raise InputError(
            f"model: expected a SavedModel, an export or the directory of a finished run, received "
            f"{path}, {state}"
        )
    try:
        model = tf.saved_model.load(str(found))
    except (OSError, ValueError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"model: cannot load the SavedModel in {found} ({reason})") from error
    signature = model.signatures.get("serving_default")
    if signature is None or not _takes_images(signature):
        raise InputError(
            f"model: expected a signature serving_default(images) -> embedding in {found}, "
            f"received the signatures {', '.join(sorted(model.signatures)) or '(none)'}"
        )
    card, encoder_file = found.parent / CARD, found.parent / ENCODER
    return Exported(
        found,
        json.loads(card.read_text(encoding="utf-8")) if card.is_file() else {},
        encoder_file if encoder_file.is_file() else None,
        model,
    )


def _takes_images(signature: Any) -> bool:
    inputs = signature.structured_input_signature[1]
    shape = inputs["images"].shape if set(inputs) == {"images"} else tf.TensorShape([])
    return shape.rank == 4 and "embedding" in signature.structured_outputs


def _check_replaceable(directory: pathlib.Path) -> None:
    """Refuses to replace anything that is not an export."""
    if directory.is_dir():
        strangers = {entry.name for entry in directory.iterdir()} - {SAVED_MODEL, ENCODER, CARD}
        if not strangers:
            return
        what = f"a directory that holds {min(strangers)!r}"
    elif directory.exists():
        what = "a file"
    else:
        return
    raise InputError(f"export: expected a new directory or an export, received {what}: {directory}")
