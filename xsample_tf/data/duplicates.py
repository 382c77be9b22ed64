"""Which images have come before, by the hash of their bytes, in memory that does not grow."""

import pathlib
import sqlite3
from collections.abc import Iterable

from xsample_tf.errors import InputError


class Hashes:
    """The hashes of the images of finished pieces of work, in a file.

    Args:
        path: The file; created when absent.
        pieces: The pieces that are finished; hashes of others are forgotten.

    Raises:
        InputError: pieces are finished and the file with their hashes is gone.
    """

    def __init__(self, path: pathlib.Path, pieces: Iterable[str]):
        pieces = list(pieces)
        if pieces and not path.is_file():
            raise InputError(f"output: {path} is gone; start over with --overwrite")
        self._file = sqlite3.connect(path)
        self._file.execute(
            "CREATE TABLE IF NOT EXISTS hashes (hash BLOB PRIMARY KEY, piece TEXT) WITHOUT ROWID"
        )
        self._file.execute("CREATE TEMPORARY TABLE finished (piece TEXT PRIMARY KEY)")
        self._file.executemany("INSERT INTO finished VALUES (?)", [(piece,) for piece in pieces])
        self._file.execute("DELETE FROM hashes WHERE piece NOT IN (SELECT piece FROM finished)")
        self._file.commit()

    def add(self, digest: bytes, piece: str) -> bool:
        """Enters an image of a piece of work; whether its hash is a new one."""
        added = self._file.execute("INSERT OR IGNORE INTO hashes VALUES (?, ?)", (digest, piece))
        return added.rowcount == 1

    def commit(self) -> None:
        """Puts what was added on the disk; before a piece is entered as finished."""
        self._file.commit()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
