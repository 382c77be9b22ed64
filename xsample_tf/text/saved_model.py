"""Text encoders that are SavedModels: a directory, or a TF-Hub or Kaggle address."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.text.encoder import TextEncoder

_BATCH = 128
_SIGNATURES = ("serving_default", "default")
_OUTPUTS = ("embedding", "embeddings", "sentence_embedding", "default", "outputs", "output_0")


class SavedModelEncoder(TextEncoder):
    """A SavedModel from strings `[B]` to vectors `[B, T]`, through `tensorflow_hub.load`.

    The model is called itself where it can be (Universal Sentence Encoder 4, Sentence-T5), else
    its signature `serving_default`, or `default` as in TF1 Hub modules. Of several outputs, the
    only matrix is taken, or the one with a usual name (`embedding`, `default`, `output_0`, ...).

    Args:
        handle: Directory or address of the model.
        name: Names the encoder; None takes the handle's last part.

    Raises:
        InputError: It cannot be loaded, or does not map strings to vectors.

    Example:
        >>> encoder = SavedModelEncoder("https://tfhub.dev/google/universal-sentence-encoder/4")
        >>> encoder(["a dog"]).shape
        (1, 512)
    """

    def __init__(self, handle: str, name: str | None = None) -> None:
        import tensorflow_hub

        with contextlib.suppress(ImportError):
            import tensorflow_text  # noqa: F401  Registers the operations of such models.
        try:
            self._model = tensorflow_hub.load(handle)  # Owns the variables: keep it.
        except Exception as error:  # Whatever a download or a foreign file may raise.
            raise InputError(
                f"text encoder {handle!r}: cannot be loaded as a SavedModel ({_one_line(error)}); "
                "check the address and the connection, or pass a local copy's directory"
            ) from error
        self._embed, size = _choose(self._model, handle)
        super().__init__(handle, size, name)

    def _encode(self, captions: list[str]) -> np.ndarray:
        order = sorted(range(len(captions)), key=lambda row: len(captions[row]))
        vectors = np.empty([len(captions), self.size], np.float32)
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            batch = tf.constant([captions[row].encode("utf-8", "replace") for row in rows])
            vectors[rows] = self._embed(batch)
        return vectors


def _choose(model: Any, handle: str) -> tuple[Callable[[tf.Tensor], np.ndarray], int]:
    """Returns what maps strings to vectors, found by trying it on two captions, and T."""
    candidates = [("the model itself", model)] if callable(model) else []
    signatures = getattr(model, "signatures", {})
    candidates += [
        (name, _positional(signatures[name])) for name in _SIGNATURES if name in signatures
    ]
    received = []
    for name, function in candidates:
        try:
            size = _matrix(function(tf.constant(["a photo", "two dogs"]))).shape[1]
            return (lambda captions, function=function: _matrix(function(captions))), size
        except Exception as error:  # A foreign model may raise anything on strings.
            received.append(f"{name}: {_one_line(error)}")
    found = "; ".join(received) or f"signatures {', '.join(signatures) or 'none'}"
    raise InputError(
        f"text encoder {handle!r}: expected a model or a signature {' or '.join(_SIGNATURES)} from "
        "strings [B] to floats [B, T], received ",
        found,
    )


def _positional(signature: Any) -> Callable[[tf.Tensor], Any]:
    """Returns a function of the signature's only input, whatever its name is."""
    names = list(signature.structured_input_signature[1])

    def call(captions: tf.Tensor) -> Any:
        if len(names) != 1:
            raise ValueError(f"inputs {', '.join(names) or 'none'} instead of one")
        return signature(**{names[0]: captions})

    return call


def _matrix(outputs: Any) -> np.ndarray:
    """Returns the vectors among the outputs of a model, float32 `[B, T]`."""
    if not isinstance(outputs, Mapping):  # Sentence-T5 gives a list of one.
        listed = outputs if isinstance(outputs, Sequence) else [outputs]
        outputs = {f"output_{place}": output for place, output in enumerate(listed)}
    matrices = {
        name: output
        for name, output in outputs.items()
        if tf.is_tensor(output) and output.shape.rank == 2 and output.dtype.is_floating
    }
    if len(matrices) != 1:
        matrices = {name: matrices[name] for name in _OUTPUTS if name in matrices}
    if not matrices:
        shapes = {name: getattr(output, "shape", type(output)) for name, output in outputs.items()}
        raise ValueError(f"outputs {shapes} instead of floats [B, T]")
    return tf.cast(next(iter(matrices.values())), tf.float32).numpy()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
