"""The error that means the user's input is at fault, and that of a lost worker."""

import difflib
from collections.abc import Iterable

_MOST_CHOICES = 40  # That a message names.


class InputError(ValueError):
    """Input from outside (flag, file, record, argument) that cannot be used.

    The message is one line: what was expected, what was received, where, and what to do. The tools
    print it to stderr and exit with status 2; any other exception is a defect of this package.

    Example:
        >>> raise InputError("batch_size: expected at least 2 images, received 1")
    """

    # Else AutoGraph, and Keras around a `call`, would make it an error of many lines.
    ag_pass_through = True
    _keras_call_info_injected = True


class WorkerLost(RuntimeError):
    """Another worker of the run is gone; the message is one line and says which.

    Nobody's input is at fault: the tools print the line and exit with status 1, and the same
    command on all workers continues the run.
    """


def shorten(value: object, length: int = 40) -> str:
    r"""Returns a value as one short line, for a message.

    Example:
        >>> shorten("a caption\nof two lines")
        'a caption of two lines'
    """
    text = " ".join(str(value).split()) or repr(str(value))[:length]
    return text if len(text) <= length else f"{text[:length]}..."


def suggest(name: str, choices: Iterable[str]) -> str:
    """Returns the nearest of `choices` to `name`, phrased to end an error message.

    Args:
        name: What the user wrote.
        choices: What would have been accepted.

    Returns:
        "did you mean 'resnet50'?" when something is near, else "choose from ...".

    Example:
        >>> suggest("resnet5", ["resnet18", "resnet50"])
        "did you mean 'resnet50'?"
    """
    choices = sorted(choices)
    near = difflib.get_close_matches(name, choices, n=3, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(repr(item) for item in near)}?"
    more = ", ..." if len(choices) > _MOST_CHOICES else ""
    return f"choose from {', '.join(map(shorten, choices[:_MOST_CHOICES]))}{more}"
