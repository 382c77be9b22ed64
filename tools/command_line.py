"""What all tools share: flags from files and the command line, errors in one line, exit status.

Beyond absl: the command line wins over a flagfile wherever it stands, a flagfile named in a
flagfile is relative to that file, and whatever is left over is an error.
"""

import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence

import quiet_tensorflow  # noqa: F401  Before anything else that imports TensorFlow.
from absl import flags

from xsample_tf import devices, registry
from xsample_tf.errors import InputError, WorkerLost, suggest

LINE = "command line"
# Where each flag's value came from: the flagfile and line, or the command line.
_origins: dict[str, str] = {}
_flagfiles: list[pathlib.Path] = []
# What the running tool chooses from; options that their entries declare become flags.
_registries: list[registry.Registry] = []
_entry_flags: set[str] = set()

_IMPORT = flags.DEFINE_multi_string(
    "import",
    [],
    "A module, or a .py file, that registers sources, graphs and so on of your own; give it again "
    "for each.",
)
_DEFINE = {
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
}


def run(main: Callable[[], None], description: str) -> None:
    """Parses the flags, runs a tool, and exits 0 when done, 2 when the user's input is at fault.

    Args:
        main: The tool, called after the flags are parsed.
        description: What `--help` prints first.
    """
    try:
        if not {"--help", "-h", "--helpfull"}.isdisjoint(sys.argv[1:]):
            import_modules(_flag_words(sys.argv))
            print(f"{description.strip()}\n{_flags_help()}{_choices()}", end="")
            return
        parse(sys.argv)
        print(f"devices: {devices.describe()}")
        main()
    except InputError as error:
        print(f"error: {' '.join(str(error).split(chr(10)))}", file=sys.stderr)
        sys.exit(2)
    except WorkerLost as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def parse(arguments: list[str]) -> None:
    """Parses flags from the command line and the flagfiles that it names.

    Args:
        arguments: As `sys.argv`, the program first.

    Raises:
        InputError: An unknown flag, a bad value, a flagfile that is missing or has a line that is
            no flag, or an argument that is left over.
    """
    _origins.clear()
    _flagfiles.clear()
    for group in _own_flags().values():
        for name in group:
            flags.FLAGS[name].unparse()
    words = _flag_words(arguments)
    import_modules(words)
    for word, origin in words:
        if word.startswith("--"):
            _origins[_flag_name(word, origin)] = origin
    try:
        left = flags.FLAGS([arguments[0], *(word for word, _ in words)])
    except flags.Error as error:
        raise InputError(str(error)) from None
    if left[1:]:
        raise InputError(f"expected flags as --name=value, received {left[1]!r}")


def choose_from(*registries: registry.Registry) -> None:
    """Says what a tool chooses from, before the flags are parsed.

    Args:
        *registries: Options that their entries declare become flags of the tool.
    """
    _registries.extend(one for one in registries if one not in _registries)


def entry_values(*registries: registry.Registry) -> dict[str, object]:
    """Returns the flags' values of the options that entries of some registries declare."""
    return {name: flags.FLAGS[name].value for name in registry.declared_options(*registries)}


def _choices() -> str:
    """What the tool chooses from, a line each, entries of imported modules among them."""
    return "".join(
        f"\n{one.kind}:\n" + "".join(f"  {entry.name}: {entry.help}\n" for entry in one)
        for one in _registries
    )


def origin(name: str) -> str | None:
    """Returns where a flag was given, at whatever value, or None where it was not."""
    return _origins.get(name)


def one_of(names: Sequence[str]) -> str:
    """Returns the names as the end of a flag's help; empty without any."""
    return f" One of {', '.join(names)}." if names else ""


def imported() -> tuple[str, ...]:
    """Returns the modules that `--import` names."""
    return tuple(_IMPORT.value)


def import_modules(words: list[tuple[str, str]]) -> None:
    """Imports the modules that `--import` names, and defines the flags of all entries' options.

    Args:
        words: The arguments, each with where it stands.
    """
    names = []
    for place, (word, _) in enumerate(words):
        name, equals, value = word.partition("=")
        if name in ("--import", "-import"):
            names.append(value if equals else next((w for w, _ in words[place + 1 :]), ""))
    for name in dict.fromkeys(names):
        registry.import_module(name)
    for option in registry.declared_options(*_registries).values():
        if option.name in flags.FLAGS and option.name not in _entry_flags:
            raise InputError(
                f"import: an entry declares the option {option.name!r}, which is a flag of this "
                "tool already; rename it"
            )
        if option.name not in flags.FLAGS:
            _entry_flags.add(option.name)
            # Of the main module, so that its --help shows them.
            _DEFINE[type(option.default)](
                option.name,
                option.default,
                option.help + one_of(option.choices),
                module_name=sys.argv[0],
                flag_values=flags.FLAGS,
            )
    for one in _registries:
        if one.kind in flags.FLAGS:
            flag = flags.FLAGS[one.kind]
            flag.help = flag.help.partition(" One of ")[0] + one_of(one.names())


def _flags_help() -> str:
    """The tool's flags: its own, those of the modules that it uses in their order, `--import`."""
    modules = sorted(_own_flags(), key=lambda name: (name != sys.argv[0], name == __name__))
    return "\n".join(flags.FLAGS.module_help(module) for module in modules)


def _flag_words(arguments: list[str]) -> list[tuple[str, str]]:
    """The arguments, those of flagfiles first, each with where it stands."""
    from_files, from_line = [], []
    words = iter(arguments[1:])
    for word in words:
        if word in ("--flagfile", "-flagfile"):
            word = f"--flagfile={next(words, '')}"
        if word.lstrip("-").startswith("flagfile="):
            from_files += _read(pathlib.Path(word.partition("=")[2]), LINE, ())
        else:
            from_line.append((word, LINE))
    return from_files + from_line


def _read(path: pathlib.Path, where: str, parents: tuple) -> list[tuple[str, str]]:
    """The arguments in a flagfile, each with where it stands."""
    if not path.is_file():
        raise InputError(f"flagfile: expected a file, received {str(path)!r} ({where})")
    if path.resolve() in parents:
        raise InputError(f"flagfile: {path} names itself ({where})")
    _flagfiles.append(path)
    result = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        line, here = line.strip(), f"{path}:{number}"
        if not line or line.startswith(("#", "//")):
            continue
        if not line.startswith("--"):
            raise InputError(f"{here}: expected a flag as --name=value, received {line!r}")
        if line.startswith("--flagfile="):
            nested = path.parent / line.partition("=")[2]
            result += _read(nested, here, (*parents, path.resolve()))
        else:
            result.append((line, here))
    return result


def _flag_name(word: str, origin: str) -> str:
    """The name of the flag that a word sets; an unknown one is an error with the nearest names."""
    name = word.lstrip("-").partition("=")[0].replace("-", "_")
    if name in flags.FLAGS:
        return name
    if name.startswith("no") and name[2:] in flags.FLAGS:
        return name[2:]
    own = [flag for group in _own_flags().values() for flag in group]
    raise InputError(f"unknown flag --{name} ({origin}): {suggest(name, own)}")


def _own_flags() -> dict[str, list[str]]:
    """The names of the running tool's own flags, by module."""
    modules = flags.FLAGS.flags_by_module_dict()
    own = {
        module: [flag.name for flag in group]
        for module, group in modules.items()
        if not module.startswith(("absl", "tensorflow", "kagglehub"))
    }
    return own


def settings() -> Iterator[tuple[str, object, str]]:
    """Yields the name, value and origin of every flag of the tool that is not at its default."""
    for group in _own_flags().values():
        for name in sorted(group):
            flag = flags.FLAGS[name]
            if name in _origins and flag.value != flag.default:
                yield name, flag.value, _origins[name]


def header_command(tool: str) -> str | None:
    """The command for `tool` in the opening comment of a flagfile in use, on one line, if any.

    Args:
        tool: File name, such as "prepare_data.py".
    """
    for path in _flagfiles:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        comment = " ".join(line.lstrip("# ") for line in lines if line.startswith("#"))
        # A command ends where its flags end; a backslash continues it on the next line.
        words = iter(comment.replace("\\ ", "").split())
        for word in words:
            if word == f"tools/{tool}":
                command = ["python", word]
                for argument in words:
                    if not argument.startswith("--"):
                        break
                    command.append(argument)
                return " ".join(command)
    return None


def config_name() -> str:
    """The name of the first flagfile in use, without its ending, or "run"."""
    return _flagfiles[0].stem if _flagfiles else "run"
