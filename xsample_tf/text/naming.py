"""Names of text encoders: safe as a folder's, and those of the models."""

import json
import os
import re

# Folders that many models have, and a download's, which is named by a hash.
_OF_ANY_MODEL = re.compile(
    r"(\d+[-_])?(best|checkpoint|encoder|export|final|latest|models?|output|saved[-_]?model|"
    r"snapshots?|transformer)([-_]?\d+)?|\d+|[0-9a-f]{40}",
    re.IGNORECASE,
)
_HUB = re.compile(r"models--.+--(.+)")  # How huggingface_hub names a model's folder.


def handle_name(handle: str) -> str:
    """Returns the last part of an id or address; a version number keeps what it numbers.

    Example:
        >>> handle_name("https://tfhub.dev/google/universal-sentence-encoder/4")
        'universal-sentence-encoder-4'
    """
    parts = _parts(handle)
    return _safe("-".join(parts[-2:] if parts and parts[-1].isdecimal() else parts[-1:]))


def directory_name(directory: str) -> str:
    """Returns a directory's name, or that of its model where any model's could be called so.

    The model card's title comes first, then `_name_or_path` of `config.json`, then the folder with
    its parent.

    Example:
        >>> directory_name("/data/birds/model")
        'birds-model'
    """
    parts = _parts(directory)
    if not parts or not _OF_ANY_MODEL.fullmatch(parts[-1]):
        return handle_name(directory)
    named = [_title(directory), _config_name(directory)]
    named += [found[1] for part in reversed(parts) if (found := _HUB.fullmatch(part))]
    for name in named:
        last = _parts(name)[-1:]
        if last and not _OF_ANY_MODEL.fullmatch(last[0]):
            return _safe(last[0])
    return "-".join(_safe(part) for part in parts[-2:])


def _parts(path: str) -> list[str]:
    return [part for part in re.split(r"[/\\]+", path) if part not in ("", ".", "..")]


def _safe(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "encoder"


def _title(directory: str) -> str:
    """Returns the model card's title where it is one word, as a name is; else ""."""
    try:
        with open(os.path.join(directory, "README.md"), encoding="utf-8") as file:
            card = re.sub(r"\A---\n.*?\n---\n", "", file.read(), flags=re.DOTALL)
    except (OSError, UnicodeDecodeError):
        return ""
    found = re.search(r"^# +([\w./-]+) *$", card, re.MULTILINE)
    return found[1] if found else ""


def _config_name(directory: str) -> str:
    try:
        with open(os.path.join(directory, "config.json"), encoding="utf-8") as file:
            name = json.load(file)["_name_or_path"]
    except (OSError, ValueError, LookupError, TypeError):
        return ""
    return name if isinstance(name, str) else ""
