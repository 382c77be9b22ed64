"""A journal of finished pieces of work, so that a killed preparation continues."""

import json
import os
import pathlib

from xsample_tf.errors import InputError

JOURNAL = "prepare.jsonl"


class Journal:
    """Finished pieces of work, a line of JSON each, after a line that says of what work.

    Args:
        path: The journal; created when absent.
        configuration: What the pieces depend on, JSON values.

    Raises:
        InputError: the journal is of another configuration.
    """

    def __init__(self, path: pathlib.Path, configuration: dict):
        self._path = path
        self.entries: dict[str, dict] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = whole_lines(path)
        if not lines:
            self._append(configuration)
            return
        before = lines[0]
        differing = [
            f"{name}={before.get(name)!r}, now {configuration.get(name)!r}"
            for name in before | configuration
            if before.get(name) != configuration.get(name)
        ]
        if differing:
            raise InputError(
                f"output: {path.parent} was made with {'; '.join(differing)}; "
                "choose another output, or start over with --overwrite"
            )
        self.entries = {line["piece"]: line["result"] for line in lines[1:]}

    def add(self, piece: str, result: dict) -> None:
        """Records that a piece is done; its files must be on the disk."""
        self.entries[piece] = result
        self._append({"piece": piece, "result": result})

    def _append(self, line: dict) -> None:
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())


def begun_with(output: pathlib.Path) -> dict:
    """Returns the configuration of what is in a data directory, or was begun; else nothing."""
    return next(iter(whole_lines(output / JOURNAL)), {})


def whole_lines(path: pathlib.Path) -> list[dict]:
    """Reads a journal, and cuts off a last line that a kill left unfinished."""
    if not path.is_file():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        os.truncate(path, len(whole))
    try:
        return [json.loads(line) for line in whole.splitlines()]
    except ValueError as error:
        raise InputError(f"output: {path} is damaged; start over with --overwrite") from error
