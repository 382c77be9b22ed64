"""The directory in which a run lives: its lock, its settings, what its data was."""

import fcntl
import hashlib
import json
import os
import pathlib
import socket
from collections.abc import Callable
from typing import Any, TextIO

import keras

from xsample_tf import data
from xsample_tf.errors import InputError
from xsample_tf.files import write_text, writing
from xsample_tf.graphs import GRAPHS
from xsample_tf.graphs.base import feature_names
from xsample_tf.models import pretrained
from xsample_tf.training.checkpoints import restore_encoder
from xsample_tf.training.model import make_encoder
from xsample_tf.training.options import Options


class RunDirectory:
    """The run in `options.run_dir`, to be entered: no other process has it meanwhile.

    Nothing of an earlier run there is touched before `begin`.

    Args:
        options: The settings of the run.
        log: Gets a line for each setting that changed.
        chief: Whether this worker is the one that writes.

    Attributes:
        path: The directory.
        chief: Whether this worker is the one that writes.
        data: What identifies the data, by data directory: its records and their checksum.

    Raises:
        InputError: The directory cannot be written or is in use, or the run in it began with
            settings or data that lead to another result and are not named in `allow_changed`.
    """

    def __init__(self, options: Options, log: Callable[[str], None] = print, chief: bool = True):
        self.path = pathlib.Path(options.run_dir)
        self.data = [_identity(directory, options) for directory in options.data_dir]
        self.data += [_file_identity(name, path) for name, path in _files(options).items()]
        self._options, self.chief = options, chief
        self._lock: TextIO | None = None
        if chief:
            with writing(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
                self._lock = _lock(self.path, log)
        try:
            _judge_changes(self.path, options, self.data, log)
        except InputError:
            self.__exit__()
            raise

    def __enter__(self) -> "RunDirectory":
        return self

    def __exit__(self, *unused: Any) -> None:
        if self._lock:
            self._lock.close()

    def begin(self) -> None:
        """Records the settings and the data, once it is known that the run can go on with them."""
        self.record("data.json", self.data)
        self.record("options.json", _with_whole_paths(self._options.as_flat()))
        if self.chief:
            write_text(self.path / "run.flags", _as_flags(self._options))

    def has_checkpoints(self) -> bool:
        """Whether the run has taken steps that are kept."""
        return any((self.path / "checkpoints").glob("*-*"))

    def record(self, name: str, content: Any) -> None:
        """Writes a JSON file of the run on the worker that writes; the others do nothing."""
        if self.chief:
            self.write_json(name, content)

    def write_json(self, name: str, content: Any) -> None:
        """Writes a JSON file of the run whole, or not at all."""
        write_text(self.path / name, json.dumps(content, indent=2) + "\n")


def load_encoder(
    run_dir: str, checkpoint: str | None = None, log: Callable[[str], None] = print
) -> tuple[keras.Model, dict[str, Any]]:
    """The encoder of a run, with the run's settings.

    Args:
        run_dir: What `train` wrote.
        checkpoint: Name of a kept checkpoint such as "epoch-0010"; None takes the newest
            that can be read.
        log: Gets a line for each checkpoint that is skipped.

    Returns:
        The encoder, images `[B, H, W, 3]` in [0, 1] to `[B, D]`, and the settings by name, with
        "checkpoint" and "step", what it is of.

    Raises:
        InputError: No run or no checkpoint there, or one that cannot be read.

    Example:
        >>> encoder, settings = load_encoder("runs/flickr8k")
    """
    path = pathlib.Path(run_dir)
    if not (path / "options.json").is_file():
        raise InputError(f"run_dir: expected a run of tools/train.py, received {run_dir!r}")
    settings = read_settings(path)
    # Where the run lies now, since what it started from is in its directory.
    encoder = make_encoder(Options.from_flat(settings | {"run_dir": run_dir}))
    name, step = restore_encoder(path / "checkpoints", encoder, checkpoint, log)
    return encoder, settings | {"checkpoint": name, "step": step}


def check_vocabulary(run_dir: str, dataset: data.Dataset) -> None:
    """Raises `InputError` where a run's text tower has learned other tokens than the data has."""
    began = _read_json(pathlib.Path(run_dir) / "data.json")[0].get("vocabulary", dataset.vocabulary)
    if began != dataset.vocabulary:
        raise InputError(
            f"vocabulary: expected {began[:12]}, the tokens that {run_dir} was trained with, "
            f"received {dataset.vocabulary[:12] or 'none'} in {dataset.directory}; restore its "
            "vocabulary.txt and dataset.json"
        )


def _as_flags(options: Options) -> str:
    """The settings as a flagfile for tools/train.py, which re-runs as it is."""
    lines = []
    for name, value in _with_whole_paths(options.as_flat()).items():
        if name == "imports":
            lines += [f"--import={module}" for module in value]
        elif isinstance(value, bool):
            lines.append(f"--{name}" if value else f"--no{name}")
        elif value is not None:
            text = ",".join(value) if isinstance(value, tuple) else value
            lines.append(f"--{name}={text}")
    return "\n".join(lines) + "\n"


def _with_whole_paths(values: dict[str, Any]) -> dict[str, Any]:
    """The settings with absolute paths: they are read again from other working directories."""
    kind, _, where = values.get("source", "").partition(":")
    changed = {
        "data_dir": tuple(_whole(path) for path in values["data_dir"]),
        "imports": tuple(_whole(p) if p.endswith(".py") else p for p in values["imports"]),
        "source": f"{kind}:{_whole(where)}" if where and os.path.exists(where) else None,
    }
    if values.get("init_from"):
        values = values | {"init_from": pretrained.with_whole_path(values["init_from"])}
    for name in ("text_encoder", "encode_captions", "train_list", "taxonomy"):
        path = values.get(name, "")
        changed[name] = _whole(path) if path and os.path.exists(path.split(":")[0]) else None
    return values | {name: value for name, value in changed.items() if value is not None}


def _whole(path: str) -> str:
    return path if "://" in path else os.path.abspath(path)


def read_settings(path: pathlib.Path) -> dict[str, Any]:
    """Returns the settings of the run in a directory.

    Raises:
        InputError: They cannot be read.
    """
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in _read_json(path / "options.json").items()
    }


def _read_json(path: pathlib.Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"run_dir: expected what a run wrote in {path}, received what cannot be read "
            f"({error}); restore it, or use another run_dir"
        ) from None


def _lock(path: pathlib.Path, log: Callable[[str], None]) -> TextIO:
    """Holds the run until the file is closed, or the process ends however it does."""
    file = (path / ".lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip()
        file.close()
        raise InputError(
            f"run_dir: {path} is in use by {holder or 'another process'}; wait for it, end it, or "
            "use another run_dir"
        ) from None
    except OSError as error:
        log(f"warning: {path} has no locks ({error.strerror}); do not start this run twice")
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    file.flush()
    return file


def _identity(directory: str, options: Options) -> dict[str, Any]:
    """What the stream and the evaluation see of a data directory, wherever it stands."""
    dataset = data.read_dataset(directory)
    encoder = dataset.encoder(options.embedding or None) if dataset.encoders else None
    seen = {
        "splits": {
            split: [(shard.records, shard.sha256) for shard in shards]
            for split, shards in dataset.splits.items()
        },
        "vectors": encoder
        and {split: [shard.sha256 for shard in shards] for split, shards in encoder.shards.items()},
        "classes": dataset.class_names,
    }
    more = {}
    if options.text_tower not in ("", "frozen"):
        more["vocabulary"] = dataset.vocabulary
    graph = options.graph and GRAPHS[options.graph].make
    if graph and "image_embedding" in feature_names(graph.features):
        vectors = dataset.image_encoder(options.image_embedding or None).shards
        checksums = [[shard.sha256 for shard in vectors[split]] for split in sorted(vectors)]
        more["image_vectors"] = hashlib.sha256(json.dumps(checksums).encode()).hexdigest()
    return more | {
        "directory": directory,
        "records": {split: dataset.records(split) for split in dataset.splits},
        "sha256": hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest(),
    }


def _files(options: Options) -> dict[str, str]:
    """The files beside the data that decide what is trained, by the setting that names them."""
    taxonomy = str(options.own.get("taxonomy", ""))
    own = {"taxonomy": taxonomy} if os.path.isfile(taxonomy) else {}
    return ({"train_list": options.train_list} if options.train_list else {}) | own


def _file_identity(name: str, path: str) -> dict[str, Any]:
    """What a run sees of a file that a setting names: a changed one is another run's."""
    try:
        content = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{name}: cannot read {path} ({error})") from error
    return {name: path, "sha256": hashlib.sha256(content).hexdigest()}


def _judge_changes(
    path: pathlib.Path, options: Options, identity: list[dict], log: Callable[[str], None]
) -> None:
    """Shows what differs from the run's beginning, and stops at what would change its result."""
    if not (path / "options.json").exists():
        if (path / "checkpoints").exists():
            raise InputError(
                f"run_dir: {path} has checkpoints but no options.json to say of what; use another "
                "run_dir"
            )
        return
    previous = read_settings(path)
    refused = []

    def judge(name: str, old: Any, new: Any, changes_result: bool) -> None:
        log(f"changed since this run began: {name} was {old!r}, is {new!r}")
        if changes_result and name not in options.allow_changed:
            refused.append(f"{name} (was {old!r}, is {new!r})")

    defaults = options.defaults()
    previous = _with_whole_paths({"data_dir": (), "imports": ()} | previous)
    for name, new in _with_whole_paths(options.as_flat()).items():
        default, changes_result = defaults[name]
        old = previous.pop(name, default)
        if name == "backbone" and not new:
            continue  # That of init_from, which is judged.
        if old != new and name not in ("run_dir", "allow_changed"):
            # A data directory is judged by what is in it.
            judge(name, old, new, changes_result and name != "data_dir")
    for name, old in previous.items():
        judge(name, old, "unknown to this version", True)
    began = _read_json(path / "data.json")
    kinds = {"sha256": "data", "vocabulary": "vocabulary", "image_vectors": "image vectors"}
    for name, kind in kinds.items():
        contents = [", ".join(one.get(name, "")[:12] for one in some) for some in (began, identity)]
        if contents[0] != contents[1]:
            judge("data_dir", *(f"{kind} {content}" for content in contents), True)
    if refused:
        raise InputError(
            f"run_dir: {path} began with other settings: {', '.join(refused)}; use "
            "another run_dir, or name what may change in allow_changed"
        )
