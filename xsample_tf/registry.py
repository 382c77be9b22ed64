"""Names for what a user can choose: sources, graphs, augmentations, objectives and so on.

A built-in is one file in the folder of its kind: the folder is listed, nothing else names it. One
of a user's own is registered the same way, in a module that `--import` names or Python imports.
"""

import dataclasses
import importlib
import importlib.util
import inspect
import math
import pathlib
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from xsample_tf.errors import InputError, suggest

_Made = TypeVar("_Made", bound=Callable[..., Any])


@dataclasses.dataclass(frozen=True)
class Option:
    """An option that an entry declares for itself. It becomes a flag of the tools.

    Attributes:
        name: Name of the flag, and of the keyword with which the entry is made.
        default: Value where the user gives none; its type is the option's: bool, int, float, str.
        help: One line for `--help`.
        minimum: Smallest value that is accepted; None sets no limit.
        maximum: Largest value that is accepted; None sets no limit.
        choices: Values that are accepted; empty accepts all.
        changes_result: Whether another value makes another result. A run cannot be continued with
            another value then.

    Example:
        >>> Option("age_scale", 10.0, "Difference in age that halves the similarity.", minimum=0.1)
    """

    name: str
    default: bool | int | float | str
    help: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    changes_result: bool = True

    def __post_init__(self):
        if not self.name.isidentifier():
            raise InputError(f"option: expected a name such as age_scale, received {self.name!r}")
        if type(self.default) not in (bool, int, float, str):
            raise InputError(
                f"option {self.name}: expected a default that is a bool, int, float or str, "
                f"received {self.default!r}"
            )

    def check(self, value: Any) -> Any:
        """Returns the value, an int as a float where the option is one.

        Raises:
            InputError: A value of another type, out of range, or not one of the choices.
        """
        kind = type(self.default)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind or (kind is float and not math.isfinite(value)):
            raise InputError(f"{self.name}: expected a {kind.__name__}, received {value!r}")
        check_bounds(self.name, value, minimum=self.minimum, maximum=self.maximum)
        if self.choices and value not in self.choices:
            raise InputError(
                f"{self.name}: received {value!r}, {suggest(str(value), self.choices)}"
            )
        return value


def check_bounds(
    name: str,
    value: float,
    *,
    above: float | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
) -> None:
    """Raises `InputError` unless a number is finite and within its bounds; None sets no bound."""
    bounds = (
        ("above", above, lambda: value > above),
        ("at least", minimum, lambda: value >= minimum),
        ("at most", maximum, lambda: value <= maximum),
    )
    given = [(word, bound, holds) for word, bound, holds in bounds if bound is not None]
    if given and not (math.isfinite(value) and all(holds() for _, _, holds in given)):
        words = " and ".join(f"{word} {bound:g}" for word, bound, _ in given)
        raise InputError(f"{name}: expected a number {words}, received {value}")


@dataclasses.dataclass(frozen=True)
class Entry:
    """One thing that a user can choose by name.

    Attributes:
        name: Its name.
        make: Class or function that makes it.
        options: The options that it declares.
    """

    name: str
    make: Callable[..., Any]
    options: tuple[Option, ...] = ()

    @property
    def help(self) -> str:
        """The first line of its docstring."""
        return (inspect.getdoc(self.make) or "").split("\n")[0]


class Registry:
    """The entries of one kind by name.

    Args:
        kind: Name of the setting that chooses one, for messages: "graph", "optimizer".
        package: The folder whose modules register the built-in entries, as "xsample_tf.graphs". It
            is imported when the names are first asked for.
        base: Class that every entry must derive from. Defaults to None: any class or function.

    Example:
        >>> GRAPHS = Registry("graph", "xsample_tf.graphs")
        >>> @GRAPHS.register("age", options=[Option("age_scale", 10.0, "Years.")])
        ... class AgeGraph(SimilarityGraph):
        ...     ...
    """

    def __init__(self, kind: str, package: str, base: type | None = None):
        self.kind = kind
        self._package = package
        self._base = base
        self._entries: dict[str, Entry] = {}
        self._combine: Callable[[list[Entry]], Any] | None = None
        self._of_combined: tuple[Option, ...] = ()
        self._listed = False

    def register(self, name: str, options: Iterable[Option] = ()) -> Callable[[_Made], _Made]:
        """Returns a decorator that enters a class or function under a name.

        Raises:
            InputError: Another class or function has the name, what is entered does not derive from
                the base class, or an option is declared twice.
        """
        options = tuple(options)

        def enter(make: _Made) -> _Made:
            if self._base and not (isinstance(make, type) and issubclass(make, self._base)):
                raise InputError(
                    f"{self.kind} {name!r}: expected a subclass of {self._base.__name__}, "
                    f"received {make!r}"
                )
            known = self._entries.get(name)
            if known and _place(known.make) != _place(make):
                raise InputError(
                    f"{self.kind}: {name!r} is {_place(known.make)} already, and "
                    f"{_place(make)} has the same name; register it under another"
                )
            names = [option.name for option in options]
            twice = next((one for one in names if names.count(one) > 1), None)
            if twice:
                raise InputError(f"{self.kind} {name!r}: option {twice!r} is declared twice")
            self._entries[name] = Entry(name, make, options)
            return make

        return enter

    def combine(self, options: Iterable[Option] = ()) -> Callable[[_Made], _Made]:
        """Returns a decorator of what makes one of several entries, chosen as "one,another".

        It gets the list of entries. The options of what it returns are those of the entries, and
        these.
        """

        def enter(make: _Made) -> _Made:
            self._combine, self._of_combined = make, tuple(options)
            return make

        return enter

    @property
    def options(self) -> tuple[Option, ...]:
        """All options that entries, and combined ones, declare."""
        return tuple(option for entry in self for option in entry.options) + self._of_combined

    def names(self) -> tuple[str, ...]:
        """Returns the names of all entries, sorted."""
        self._list()
        return tuple(sorted(self._entries))

    def __iter__(self) -> Iterator[Entry]:
        """Yields all entries in the order of their names."""
        return iter([self._entries[name] for name in self.names()])

    def __getitem__(self, name: str) -> Entry:
        """Returns an entry; of several names with commas the combined one, where there can be one.

        Raises:
            InputError: There is none of that name.
        """
        self._list()
        parts = str(name).split(",")
        if self._combine and len(parts) > 1:
            return self._combined(name, [self[part.strip()] for part in parts])
        if name not in self._entries:
            raise InputError(f"{self.kind}: received {name!r}, {suggest(str(name), self.names())}")
        return self._entries[name]

    def make(self, name: str, *arguments: Any, values: Mapping[str, Any], **more: Any) -> Any:
        """Makes an entry, with those of the values that are options of its own.

        Args:
            name: The entry's name.
            *arguments: What every entry of this kind is made with.
            values: Values of own options by name; those of other entries are left out.
            **more: As `arguments`, by keyword.
        """
        entry = self[name]
        return entry.make(*arguments, **more, **own_values(entry, values))

    def _combined(self, name: str, entries: list[Entry]) -> Entry:
        options = dict.fromkeys(option for entry in entries for option in entry.options)
        return Entry(name, self._combine(entries), (*options, *self._of_combined))

    def _list(self) -> None:
        """Imports the modules of the folder, which register themselves."""
        if self._listed:
            return
        self._listed = True  # First: a module of the folder may ask for names itself.
        folder = importlib.import_module(self._package)
        for module in pkgutil.iter_modules(folder.__path__, f"{self._package}."):
            importlib.import_module(module.name)


def own_values(entry: Entry, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values of the options that an entry declares, checked; else their defaults."""
    return {
        option.name: option.check(values.get(option.name, option.default))
        for option in entry.options
    }


def declared_options(*registries: Registry) -> dict[str, Option]:
    """Returns the options that all entries of some registries declare, by name.

    Raises:
        InputError: Two entries declare an option of one name with another default or meaning.
    """
    found: dict[str, Option] = {}
    for registry in registries:
        for option in registry.options:
            if found.setdefault(option.name, option) != option:
                declaring = next((e.name for e in registry if option in e.options), "combined")
                raise InputError(
                    f"{registry.kind} {declaring!r}: its option {option.name!r} is another "
                    "entry's with another default or help; rename one of them"
                )
    return found


def import_module(name: str) -> None:
    """Imports a user's module, which registers what it has.

    Args:
        name: A module as Python names it, found in the working directory too, or a file `PATH.py`.

    Raises:
        InputError: It cannot be found or imported.

    Example:
        >>> import_module("my_graphs.py")
    """
    path = pathlib.Path(name)
    try:
        if path.suffix == ".py":
            if str(path.parent.resolve()) not in sys.path:
                sys.path.append(str(path.parent.resolve()))
            if not path.is_file():
                raise InputError(f"import: no file {name}")
            name = path.stem
        elif "" not in sys.path:
            sys.path.append("")
        importlib.import_module(name)
    except InputError:
        raise
    except Exception as error:  # A user's module may raise anything.
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise InputError(
            f"import: cannot import {name!r} ({reason}); expected a module that Python finds from "
            "here, or the path of a .py file"
        ) from error


def _place(make: Callable[..., Any]) -> str:
    return f"{make.__module__}.{make.__qualname__}"
