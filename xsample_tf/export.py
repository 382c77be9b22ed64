"""Export of a trained encoder: a SavedModel that needs TensorFlow alone, weights, and a card."""

import contextlib
import dataclasses
import json
import os
import pathlib
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from xsample_tf import files, text
from xsample_tf.data.manifest import CaptionVectors
from xsample_tf.data.preparation.caption_vectors import PROBE
from xsample_tf.errors import InputError
from xsample_tf.evaluation.caption_map import CaptionMap
from xsample_tf.evaluation.foreign import ForeignModel
from xsample_tf.models.caption_side import CaptionSide
from xsample_tf.models.serving import TextSide, embedding_size, in_float32, save_signatures
from xsample_tf.version import __version__

SAVED_MODEL, TEXT_MODEL = "saved_model", "text_model"
ENCODER, CARD = "encoder.keras", "model_card.json"


def export(
    encoder: keras.Model,
    directory: str | os.PathLike,
    image_size: int,
    card: Mapping[str, Any] | None = None,
    texts: TextSide | CaptionSide | None = None,
) -> None:
    """Writes `saved_model/`, `encoder.keras` and `model_card.json` into `directory`.

    The SavedModel has four signatures, which give {"embedding": float32 [B, D]}:

    - `serving_default(images)`: float32 `[B, H, W, 3]` in [0, 1], any size;
    - `embed_jpeg(jpeg)`: strings `[B]`, JPEG or PNG files of any sizes. One that cannot be decoded
      fails the call;
    - `embed_image(image)` and `embed_pixels(pixels)`: one image of `image_size`, float32
      `[1, S, S, 3]` in [0, 1], or uint8. TFLite converts them.

    With a `TextSide`, of a model of two towers, there is `embed_text(texts)` of strings `[B]` too,
    and all give unit vectors `[B, P]` in one space as "embedding"; the encoder's output is the
    "features" of the others. Such a SavedModel needs `import tensorflow_text` before it is loaded.

    With a `CaptionSide`, of an image encoder alone, there is an output "caption_embedding" beside
    "embedding", and a second SavedModel, `text_model/`, gives texts in its space as "embedding":
    `embed_text(texts)`, with `import tensorflow_text`, where the text encoder runs in TensorFlow,
    and `embed_vectors(vectors)` of the text encoder's own vectors `[B, T]`.

    Images are brought to size by `views.Evaluation`, as evaluation does. The export computes in
    float32 whatever the encoder was trained in. An export that stands there is replaced in one
    piece.

    Args:
        encoder: Keras model from images `[B, H, W, 3]` in [0, 1] to `[B, D]`.
        directory: Where to write; made if missing. Anything but an export there is an error.
        image_size: Side of the images that the encoder gets.
        card: What the model card says beside versions and sizes; JSON-able.
        texts: What texts are compared with images by. Defaults to None.

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
        **({"embedding_size": size} if texts is None else texts.card(size)),
        "parameters": encoder.count_params(),
        "versions": {
            "xsample_tf": __version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
        },
    }
    with files.writing(directory, setting="export"), files.atomic_directory(directory) as temporary:
        save_signatures(encoder, temporary / SAVED_MODEL, image_size, texts=texts)
        if isinstance(texts, CaptionSide):
            texts.save(temporary / TEXT_MODEL)
        encoder.save(temporary / ENCODER)
        (temporary / CARD).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def caption_side(
    caption_map: CaptionMap,
    captions: CaptionVectors | text.TextEncoder,
    log: Callable[[str], None] = print,
) -> CaptionSide:
    """Returns what an export is searched by, of a map from images to captions.

    Args:
        caption_map: As `evaluation.run_tasks` or `evaluation.fit_caption_map` gives it.
        captions: Whose vectors the map leads to: those of a data directory, or a text encoder.
        log: Receives a line where the text encoder cannot stand in the export, with the reason.
            Defaults to `print`.

    Example:
        >>> found = evaluation.run_tasks(encoder, ["shards"], evaluation.Settings("data/photos"))
        >>> captions = data.read_dataset("data/photos").encoder(None)
        >>> export(encoder, "export", 224, texts=caption_side(found.caption_map, captions))
    """
    read, stored = None, isinstance(captions, CaptionVectors)
    probe = np.asarray(captions.probe if stored else captions([PROBE])[0], np.float32)
    try:
        encoder = text.load_encoder(captions.handle) if stored else captions
        text.check_probe(encoder, captions.size, PROBE, probe)
        read = text.graph_of(encoder)
    except InputError as error:
        log(f"embed_text is left out of the export: {error}")
    described = {"name": captions.name, "handle": captions.handle}
    kernel, bias = caption_map.affine()
    return CaptionSide(kernel, bias, caption_map.center, described, (PROBE, probe), read)


@dataclasses.dataclass(frozen=True)
class Exported:
    """An export, or anyone's model, for evaluation.

    Attributes:
        saved_model: The SavedModel's directory, or the Keras file.
        card: The model card, empty where there is none.
        encoder_file: `encoder.keras`, or None.
        model: What is called, and how.
    """

    saved_model: pathlib.Path
    card: dict[str, Any]
    encoder_file: pathlib.Path | None
    model: ForeignModel

    def __call__(self, images: tf.Tensor | np.ndarray) -> tf.Tensor:
        """Returns the encoder's output `[B, D]` of images float32 `[B, H, W, 3]` in [0, 1]."""
        return self.model(images)

    @property
    def input_shape(self) -> tuple[int | None, int | None, int | None, int]:
        """The images that it takes, `(None, H, W, 3)`, None where any."""
        return self.model.input_shape

    @property
    def embed_with_texts(self) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]] | None:
        """As of `ForeignModel`."""
        return self.model.embed_with_texts

    def encoder(self) -> keras.Model | None:
        """Returns the Keras model of the export; None where there is none.

        Raises:
            InputError: The file cannot be read.
        """
        return None if self.encoder_file is None else _load_keras(self.encoder_file)


def load(
    path: str | os.PathLike,
    signature: str | None = None,
    input: str | None = None,
    output: str | None = None,
    input_range: Sequence[float] | None = None,
) -> Exported:
    """Opens an export, or anyone's model, for evaluation.

    Args:
        path: A SavedModel, a directory that `export` wrote, a run directory with one, or a Keras
            file (`.keras`, `.h5`).
        signature: Name of a SavedModel's signature. Defaults to None: the only one from images to
            vectors, or among several `serving_default`.
        input: Name of the input that takes images. Defaults to None: the only one that can.
        output: Name of the output that gives vectors. Defaults to None: the only one that can, or
            among several `features`, or `embedding`.
        input_range: Lowest and highest pixel that the model takes. Defaults to None: (0, 255) for
            integers, and for a Keras model that divides them itself; that of an `XSampleModel`;
            else (0, 1).

    Raises:
        InputError: Nothing of that kind at `path`, or it is not plain what to call.

    Example:
        >>> encoder = load("runs/first")
        >>> evaluate(encoder, "data/own", image_size=encoder.card["image_size"])
    """
    path = pathlib.Path(path)
    chosen = {"signature": signature, "input": input, "output": output}
    if path.is_file():
        model = ForeignModel(_load_keras(path), **chosen, input_range=input_range)
        return Exported(path, {}, None, model)
    found = find_saved_model(path)
    model, encoder_file = load_saved_model(found), found.parent / ENCODER
    return Exported(
        found,
        read_card(found),
        encoder_file if encoder_file.is_file() else None,
        ForeignModel(model, **chosen, input_range=input_range),
    )


def find_saved_model(path: str | os.PathLike) -> pathlib.Path:
    """Returns the SavedModel of images in an export, a run, or that is `path` itself.

    Raises:
        InputError: There is none.
    """
    path = pathlib.Path(path)
    candidates = (path, path / SAVED_MODEL, path / "export" / SAVED_MODEL)
    found = next((c for c in candidates if (c / "saved_model.pb").is_file()), None)
    if found is None:
        state = "which has no SavedModel in it" if path.exists() else "which does not exist"
        raise InputError(
            f"model: expected a SavedModel, an export, the directory of a finished run or a .keras "
            f"file, received {path}, {state}"
        )
    return found


def load_saved_model(path: pathlib.Path) -> Any:
    """Returns what `tf.saved_model.load` gives, of a model that reads strings too.

    Raises:
        InputError: It cannot be loaded.
    """
    with contextlib.suppress(ImportError):
        import tensorflow_text  # noqa: F401  Registers the operations of tokenizers.
    try:
        return tf.saved_model.load(str(path))
    except (OSError, ValueError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"model: cannot load the SavedModel in {path} ({reason})") from error


def read_card(saved_model: pathlib.Path) -> dict[str, Any]:
    """Returns the model card beside a SavedModel; empty where there is none."""
    card = saved_model.parent / CARD
    return json.loads(card.read_text(encoding="utf-8")) if card.is_file() else {}


def _load_keras(path: pathlib.Path) -> keras.Model:
    try:
        return keras.saving.load_model(path, compile=False)
    except (OSError, TypeError, ValueError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"model: cannot load {path} ({reason})") from error


def _check_replaceable(directory: pathlib.Path) -> None:
    """Refuses to replace anything that is not an export."""
    if directory.is_dir():
        own = {SAVED_MODEL, TEXT_MODEL, ENCODER, CARD}
        strangers = {entry.name for entry in directory.iterdir()} - own
        if not strangers:
            return
        what = f"a directory that holds {min(strangers)!r}"
    elif directory.exists():
        what = "a file"
    else:
        return
    raise InputError(f"export: expected a new directory or an export, received {what}: {directory}")
