"""Files in the directory of a model: JSON and weights."""

import json
import os
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from xsample_tf.errors import InputError
from xsample_tf.files import LFS_POINTER

_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
# Weights in other files: their pattern, what to say of them, and the next step.
_OTHERS = (
    (
        r"(.*/)?pytorch_model[^/]*\.bin",
        "only {}, which can run code when read",
        "SentenceTransformer(DIR).save(NEW_DIR) in PyTorch writes it anew as safetensors",
    ),
    (
        r".*\.onnx",
        "only ONNX ({})",
        "add the model.safetensors of the model that it was exported from",
    ),
    (
        r"(.*/)?(tf_model\.h5|flax_model\.msgpack|openvino_model\.bin|.*\.gguf)",
        "only {}",
        "add the model.safetensors of the model that it was exported from",
    ),
)


def read_bytes(path: str) -> bytes:
    """Returns a file's content.

    Raises:
        InputError: It cannot be read, or is the pointer that Git LFS leaves in place of the file.
    """
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise InputError(f"text encoder: cannot read {path} ({error.strerror})") from error
    if content.startswith(LFS_POINTER):
        raise _pointer(path)
    return content


def read_json(directory: str, name: str, required: bool = False, kind: type = dict) -> Any:
    """Returns the content of a JSON file.

    Args:
        directory: Where the file is.
        name: Its name.
        required: Whether a missing file is an error; else it reads as an empty `kind`.
        kind: What the content must be, `dict` or `list`.

    Raises:
        InputError: The file is missing, not JSON, or of another kind.
    """
    path = os.path.join(directory, name)
    if not os.path.exists(path) and not required:
        return kind()
    try:
        content = json.loads(read_bytes(path))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"text encoder: expected JSON in {path}, received {error}") from error
    if not isinstance(content, kind):
        raise InputError(f"text encoder: expected a JSON {kind.__name__} in {path}, received other")
    return content


def weight_files(directory: str) -> list[str]:
    """Returns the paths of a module's safetensors: one file, or all that an index names.

    Raises:
        InputError: One is missing or a Git LFS pointer, or the weights are in another format.
    """
    names = [_WEIGHTS]
    if not os.path.exists(os.path.join(directory, _WEIGHTS)):
        index = read_json(directory, _INDEX).get("weight_map")
        if not isinstance(index, dict) or not index:
            raise no_weights(directory, _files_below(directory))
        names = sorted(set(index.values()))
    paths = [os.path.join(directory, name) for name in names]
    for path in paths:
        if not os.path.exists(path):
            raise InputError(
                f"text encoder {directory}: expected {os.path.basename(path)}, which {_INDEX} "
                "names, found none; copy the rest of the model"
            )
        with open(path, "rb") as file:
            if file.read(len(LFS_POINTER)) == LFS_POINTER:
                raise _pointer(path)
    return paths


def no_weights(where: str, names: Iterable[str]) -> InputError:
    """Returns the error for a model without safetensors, with the next step.

    Args:
        where: Names the model or the directory.
        names: Its files, relative.
    """
    names = sorted(names)
    found, advice = "none", "copy the weights beside the configuration"
    for pattern, what, step in _OTHERS:
        match = next((name for name in names if re.fullmatch(pattern, name)), None)
        if match:
            found, advice = what.format(match), step
            break
    return InputError(
        f"text encoder {where}: expected the weights in {_WEIGHTS}, found {found}; {advice}"
    )


def read_weights(directory: str) -> dict[str, np.ndarray]:
    """Returns the tensors of a module by name.

    Raises:
        InputError: As `weight_files`, or a file is damaged.

    Example:
        >>> read_weights("models/all-MiniLM-L6-v2")["embeddings.LayerNorm.weight"].shape
        (384,)
    """
    import safetensors
    from safetensors.tensorflow import load_file  # NumPy's reader has no bfloat16.

    tensors = {}
    for path in weight_files(directory):
        try:
            tensors |= {name: tensor.numpy() for name, tensor in load_file(path).items()}
        except safetensors.SafetensorError as error:
            raise InputError(f"text encoder: {path} is damaged ({error}); copy it again") from error
    return tensors


def _files_below(directory: str) -> list[str]:
    """Returns the files of a directory and its folders, relative."""
    return [
        os.path.relpath(os.path.join(folder, file), directory)
        for folder, _, files in os.walk(directory)
        for file in files
    ]


def _pointer(path: str) -> InputError:
    return InputError(
        f"text encoder: {path} is a Git LFS pointer, not the file; run `git lfs pull` in its "
        "repository, or download the file itself"
    )
