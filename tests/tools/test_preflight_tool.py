"""Where tools/preflight.py writes its report."""

import json
import pathlib
import re

import command_line
import preflight as preflight_tool
import pytest
from absl import flags

from xsample_tf.errors import InputError
from xsample_tf.training import preflight


@pytest.fixture
def inspected(tmp_path, monkeypatch):
    """The options that were inspected, in an empty working directory."""
    seen = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        preflight, "inspect", lambda options: seen.append(options) or {"passed": not options.seed}
    )
    return seen


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["--run_dir=first/run"], "first/run/preflight.json"),
        (["--run_dir=run", "--output=here.json"], "here.json"),
        ([], "runs/run-preflight.json"),
        (["--flagfile=small.flags"], "runs/small-preflight.json"),
    ],
)
def test_the_report_is_beside_the_run_or_where_it_is_wanted(inspected, capsys, arguments, expected):
    pathlib.Path("small.flags").write_text("--steps=2\n")
    command_line.parse(["preflight", *arguments])
    preflight_tool.main()
    assert capsys.readouterr().out.endswith(f"written: {expected}\n")
    assert json.loads(pathlib.Path(expected).read_text()) == {"passed": True}
    files = {str(path) for path in pathlib.Path().rglob("*") if path.is_file()}
    assert files == {"small.flags", expected}


def test_a_check_that_fails_is_an_exit_of_1(inspected):
    command_line.parse(["preflight", "--seed=1"])
    with pytest.raises(SystemExit) as caught:
        preflight_tool.main()
    assert caught.value.code == 1


def test_a_place_that_cannot_be_written_is_named_before_the_checks(inspected):
    pathlib.Path("file").write_text("")
    for output, words in (
        ("file/a.json", "cannot write file/a.json"),
        (".", "received the folder"),
    ):
        command_line.parse(["preflight", f"--output={output}"])
        with pytest.raises(InputError, match=words):
            preflight_tool.main()
    assert not inspected


def test_help_lists_the_settings_by_group_with_their_choices():
    command_line.parse(["preflight"])
    shown = {name: flags.FLAGS.module_help(name) for name in ("objective", "optimization")}
    # Other tests of the process may have registered graphs as well.
    graphs = r"One of (\w+, )*class, (\w+, )*cosine, (\w+, )*instance, (\w+, )*label"
    assert re.search(graphs, " ".join(shown["objective"].split()))
    assert "--optimizer: Optimizer by name. One of " in " ".join(shown["optimization"].split())
    assert "--optimizer" not in shown["objective"]
