"""Data sets of the Hugging Face hub as streams of rows, by the `datasets` package."""

import os
import pathlib
from typing import Any

from tqdm import tqdm

from xsample_tf.errors import InputError, shorten

_SAVED = ("dataset_dict.json", "state.json")  # What `save_to_disk` writes.


def package() -> Any:
    """Returns the package `datasets`.

    Raises:
        InputError: It is not installed.
    """
    try:
        import datasets
    except ImportError as error:
        raise InputError(
            "source: hf: needs the package datasets; pip install 'xsample_tf[hf]'"
        ) from error
    return datasets


def open_streams(where: str) -> dict[str, Any]:
    """Returns the splits of a data set as streams, by name.

    Args:
        where: NAME or NAME:CONFIG of the hub, or a local folder.

    Raises:
        InputError: The package cannot open it.
    """
    datasets = package()
    try:
        if any(pathlib.Path(where, name).is_file() for name in _SAVED):
            found = datasets.load_from_disk(where)
        else:
            name, _, config = (where, "", "") if os.path.exists(where) else where.partition(":")
            found = datasets.load_dataset(name, config or None, streaming=True)
    except Exception as error:  # The package raises anything: no network, no such name, ...
        raise InputError(
            f"source: datasets cannot open {where!r} ({shorten(error, 120)}); expected hf:NAME or "
            "hf:NAME:CONFIG of the hub, or a folder that datasets loads"
        ) from error
    if not isinstance(found, dict):
        found = {"train": found}
    return {name: _with_features(stream) for name, stream in found.items()}


def _with_features(stream: Any) -> Any:
    """A stream whose columns are known."""
    return stream if stream.features is not None else stream._resolve_features()


def undecoded(feature: Any) -> Any:
    """Returns a feature of images, or of lists of them, as they are stored; None of others."""
    datasets = package()
    if isinstance(feature, datasets.Image):
        return datasets.Image(decode=False)
    inner = getattr(feature, "feature", None)
    if inner is None:
        inner = feature[0] if isinstance(feature, list) and feature else None
    inner = undecoded(inner) if inner is not None else None
    return None if inner is None else datasets.Sequence(inner)


def count_rows(stream: Any, name: str) -> int:
    """Returns the number of rows: as the data set says, else counted without its images."""
    if hasattr(stream, "__len__"):
        return len(stream)
    info = (stream.info.splits or {}).get(str(stream.split))
    if info is not None and info.num_examples:
        return info.num_examples
    rows = stream.select_columns(list(stream.features)[-1:])
    return sum(1 for _ in tqdm(rows, desc=f"counting {name}", unit="", disable=None))
