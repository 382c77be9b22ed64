"""Pieces of preparation on the workers of Apache Beam, for when one machine is not enough.

Beam carries the pieces' names and what writes them, not images. Workers leave an entry for each
piece on the file system that they share, so that a run that was killed goes on, with any runner.
"""

import contextlib
import dataclasses
import io
import json
import logging
import pathlib
from collections.abc import Callable, Sequence

import tensorflow as tf

from xsample_tf.data.preparation.journal import Journal
from xsample_tf.errors import InputError
from xsample_tf.files import write_atomic

_ENTRIES, _FAULT = "entries", "fault.json"
Task = tuple[str, object]  # Its name in the journal, and what is to be written.


def check(runner: str, flags: Sequence[str]) -> None:
    """Raises `InputError` unless Beam is there and knows the runner and the flags."""
    try:
        import apache_beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise InputError(
            f"runner: expected Apache Beam to be installed for {runner!r} ({error}); install the "
            "extra beam (pip install -e '.[beam]'), or use --runner=pool"
        ) from None
    try:
        apache_beam.runners.create_runner(runner)
    except (AttributeError, ImportError, ValueError) as error:
        raise InputError(
            f"runner: expected pool, DirectRunner, FlinkRunner, SparkRunner or DataflowRunner, "
            f"received {runner!r} ({' '.join(str(error).split())})"
        ) from None
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            options = PipelineOptions(list(flags))
            known = options.get_all_options()
            given = options.get_all_options(retain_unknown_options=True)
    except SystemExit:  # Beam parses with argparse.
        reason = complaint.getvalue().strip().splitlines()[-1].partition("error: ")[2]
        raise InputError(f"beam_flags: {reason}") from None
    unknown = sorted(given.keys() - known.keys())
    if unknown:
        raise InputError(f"beam_flags: Beam knows no flag --{unknown[0]}")


def run(
    output: pathlib.Path,
    pieces: Sequence[Task],
    write: Callable[[object], dict],
    journal: Journal,
    runner: str,
    flags: Sequence[str],
) -> None:
    """Writes pieces, and enters them in the journal.

    Args:
        output: The data directory, on a file system that all workers share.
        pieces: What is to be written, in no order.
        write: Pickled to the workers; takes the second part of a piece, and returns its entry.
        journal: Of the preparation.
        runner: Beam's name of it.
        flags: Beam's own.

    Raises:
        InputError: What a worker says is wrong.
    """
    import apache_beam
    from apache_beam.options.pipeline_options import PipelineOptions

    (output / _ENTRIES).mkdir(exist_ok=True)
    # Else each worker tells of its connections; what the caller asks for comes last and wins.
    flags = ["--default_sdk_harness_log_level=ERROR", *flags]
    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    if runner == "DirectRunner":
        flags.append("--allow_unsafe_triggers")  # Else Beam downloads another runner for it.
    with apache_beam.Pipeline(options=PipelineOptions(flags, runner=runner)) as pipeline:
        _ = (
            pipeline
            | apache_beam.Create(list(pieces))
            | apache_beam.Reshuffle()  # Else one worker would have them all.
            | apache_beam.Map(_Worker(output, write))
        )
    fault = adopt(output, journal)
    if fault:
        raise InputError(fault)
    absent = next((name for name, _ in pieces if name not in journal.entries), None)
    if absent:
        raise InputError(
            f"output: Beam's workers left no entry for {absent} in {output}; expected a folder on "
            "a file system that this machine and all workers share"
        )


def adopt(output: pathlib.Path, journal: Journal) -> str | None:
    """Takes the entries that workers left into the journal; returns what one said is wrong."""
    fault = None
    folder = output / _ENTRIES
    for path in sorted(folder.glob("*.json")):
        content = json.loads(path.read_bytes())
        if path.name == _FAULT:
            fault = content
        else:
            journal.add(content["piece"], content["result"])
        path.unlink()
    if folder.is_dir():
        for path in folder.iterdir():
            path.unlink()  # What a kill left unfinished.
        folder.rmdir()
    return fault


@dataclasses.dataclass(frozen=True)
class _Worker:
    """Writes a piece and leaves its entry, or what is wrong; then the other workers stop too."""

    output: pathlib.Path
    write: Callable[[object], dict]

    def __call__(self, piece: Task) -> None:
        name, task = piece
        folder = self.output / _ENTRIES
        if (folder / _FAULT).exists():
            return
        try:
            entry = {"piece": name, "result": self.write(task)}
            path = folder / f"{name.replace('/', '-')}.json"
            write_atomic(path, json.dumps(entry).encode())
        except (InputError, OSError, tf.errors.OpError) as error:
            text = str(error) if isinstance(error, InputError) else f"output: {error}"
            with contextlib.suppress(OSError):  # Without one the missing entry tells.
                write_atomic(folder / _FAULT, json.dumps(text).encode())
