"""The tools as commands of an installed package: `xsample-train`, `xsample-prepare` and so on.

Each runs the same file as `python tools/NAME.py` in a checkout; a wheel carries `tools/` and
`configs/`. A flagfile that is not there, as `--flagfile=configs/cc3m.flags` outside of a checkout,
is the package's own.
"""

import functools
import pathlib
import runpy
import sys

_TOOLS = pathlib.Path(__file__).parent
# In a wheel they lie inside, in a checkout beside.
_CONFIGS = next(
    folder for folder in (_TOOLS / "configs", _TOOLS.parent / "configs") if folder.exists()
)


def run(tool: str) -> None:
    """Runs a tool with the arguments of the command line, as a script of its own.

    Args:
        tool: Name of a file in `tools/`, without its ending.
    """
    sys.argv[1:] = [_with_own_flagfile(argument) for argument in sys.argv[1:]]
    sys.path.insert(0, str(_TOOLS))  # As of a script: tools import one another by their names.
    runpy.run_path(str(_TOOLS / f"{tool}.py"), run_name="__main__")


def _with_own_flagfile(argument: str) -> str:
    flag, _, value = argument.partition("=")
    path = pathlib.Path(value)
    own = _CONFIGS / path.name
    named = flag in ("--flagfile", "-flagfile") and path.parent.name in ("", "configs")
    if not named or path.exists() or not own.exists():
        return argument
    print(f"flagfile: {value} is not here; taking the package's own, {own}", flush=True)
    return f"{flag}={own}"


convert_text_encoder = functools.partial(run, "convert_text_encoder")
embed = functools.partial(run, "embed")
evaluate = functools.partial(run, "evaluate")
export = functools.partial(run, "export")
inspect_graph = functools.partial(run, "inspect_graph")
preflight = functools.partial(run, "preflight")
prepare = functools.partial(run, "prepare_data")
search = functools.partial(run, "search")
train = functools.partial(run, "train")
