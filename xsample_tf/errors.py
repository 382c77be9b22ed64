"""The error that means the user's input is at fault, and that of a lost worker."""

import difflib
from collections.abc import Callable, Iterable

_LONGEST = 300  # Characters of a message.
_LONGEST_LIST = 160  # Characters of a list in one.
_LONGEST_WORD = 60  # Characters of a path in a message that would be too long.


class InputError(ValueError):
    """Input from outside (flag, file, record, argument) that cannot be used.

    The message is one line: what was expected, what was received, where, and what to do. The tools
    print it to stderr and exit with status 2; any other exception is a defect of this package.

    Args:
        message: Cut in its middle above 300 characters: the end says what to do.
        whole: What stands behind the message and is never cut, such as a command to copy. Defaults
            to nothing.

    Example:
        >>> raise InputError("batch_size: expected at least 2 images, received 1")
    """

    # Else AutoGraph, and Keras around a `call`, would make it an error of many lines.
    ag_pass_through = True
    _keras_call_info_injected = True

    def __init__(self, message: str = "", whole: str = ""):
        super().__init__(message, whole)

    def __str__(self) -> str:
        message, whole = self.args
        return bounded(message) + whole


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


def bounded(text: str) -> str:
    r"""Returns a text as one line of at most 300 characters, for a message or a line of a log.

    In what is longer, long words such as paths lose their middle; then the text does.

    Example:
        >>> len(bounded("one " * 1000))
        300
    """
    text = " ".join(text.splitlines())
    if len(text) > _LONGEST:
        text = " ".join(
            # What can be copied, as --image_root=PATH, stays.
            word if word.startswith("--") else _without_middle(word, _LONGEST_WORD, "...")
            for word in text.split(" ")
        )
    return _without_middle(text, _LONGEST, " ... ")


def _without_middle(text: str, length: int, gap: str) -> str:
    """The text, of which at most so many characters are kept, more of its end than of its start."""
    if len(text) <= length:
        return text
    end = (length - len(gap) + 1) // 2
    return text[: length - len(gap) - end] + gap + text[-end:]


def listing(values: Iterable[object], show: Callable[[str], str] = str) -> str:
    """Returns values separated by commas, for a message: as many as fit in 160 characters.

    Args:
        values: What to list.
        show: Applied to each, shortened, such as `repr`. Defaults to the text itself.

    Example:
        >>> listing(f"column_{i}" for i in range(500))[-27:]
        'column_14, ... (500 in all)'
    """
    values = list(values)
    shown: list[str] = []
    for value in values:
        shown.append(show(shorten(value)))
        if len(", ".join(shown)) > _LONGEST_LIST:
            return f"{', '.join(shown[:-1])}, ... ({len(values):,} in all)"
    return ", ".join(shown)


def suggest(name: str, choices: Iterable[str]) -> str:
    """Returns the nearest of `choices` to `name`, phrased to end an error message.

    Args:
        name: What the user wrote.
        choices: What would have been accepted.

    Returns:
        "did you mean 'resnet50'?" when something is near, else "choose from ...".

    Example:
        >>> suggest("resnet5", ["resnet50", "vit"])
        "did you mean 'resnet50'?"
    """
    choices = sorted(choices)
    near = difflib.get_close_matches(name, choices, n=3, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(repr(item) for item in near)}?"
    return f"choose from {listing(choices)}"
