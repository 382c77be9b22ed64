"""Flags from files and the command line: what wins, where it came from, what is refused."""

import sys

import command_line
import pytest
from absl import flags

from xsample_tf import registry
from xsample_tf.errors import InputError


@pytest.fixture
def defined(monkeypatch):
    values = flags.FlagValues()
    flags.DEFINE_integer("batch_size", 8, "Images.", flag_values=values)
    flags.DEFINE_list("data_dir", [], "Directories.", flag_values=values)
    flags.DEFINE_bool("blur", True, "Blur.", flag_values=values)
    flags.DEFINE_string("graph", "cosine", "Graph.", flag_values=values)
    monkeypatch.setattr(command_line.flags, "FLAGS", values)
    return values


def parse(*arguments):
    command_line.parse(["tool", *arguments])


def test_the_command_line_wins_wherever_the_flagfile_stands(defined, tmp_path):
    file = tmp_path / "a.flags"
    file.write_text("# A comment.\n\n--batch_size=16\n--data_dir=a,b\n--noblur\n")
    parse("--batch_size=32", f"--flagfile={file}", "--data_dir", "c")
    assert (defined.batch_size, defined.data_dir, defined.blur) == (32, ["c"], False)
    assert {name: origin for name, _, origin in command_line.settings()} == {
        "batch_size": "command line",
        "data_dir": "command line",
        "blur": f"{file}:5",
    }
    assert command_line.config_name() == "a"


def test_a_nested_flagfile_is_relative_to_its_parent_and_later_lines_win(defined, tmp_path):
    (tmp_path / "base.flags").write_text("--batch_size=16\n--graph=label\n")
    file = tmp_path / "a.flags"
    file.write_text("--flagfile=base.flags\n--batch_size=64\n")
    parse("--flagfile", str(file))
    assert (defined.batch_size, defined.graph) == (64, "label")


@pytest.mark.parametrize(
    "content, arguments, words",
    [
        ("--batchsize=16\n", (), r"unknown flag --batchsize \(.*a.flags:1\): did you mean 'batch"),
        ("--batch_size=16\nepochs=3\n", (), "a.flags:2: expected a flag as --name=value"),
        ("--batch_size=many\n", (), "batch_size"),
        ("--flagfile=a.flags\n", (), "names itself"),
        ("--flagfile=other.flags\n", (), "expected a file.*other.flags.*a.flags:1"),
        ("", ("left_over",), "received 'left_over'"),
        ("", ("--grap=label",), "unknown flag --grap .command line.: did you mean 'graph'"),
    ],
)
def test_mistakes_are_named(defined, tmp_path, content, arguments, words):
    file = tmp_path / "a.flags"
    file.write_text(content)
    with pytest.raises(InputError, match=words):
        parse(f"--flagfile={file}", *arguments)


def test_exit_status_tells_whose_fault_it_is(defined, monkeypatch, capsys):
    def fail():
        raise InputError("batch_size: expected\n2 images")

    monkeypatch.setattr(sys, "argv", ["tool"])
    with pytest.raises(SystemExit) as caught:
        command_line.run(fail, "A tool.")
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: batch_size: expected 2 images\n"
    command_line.run(lambda: None, "A tool.")
    with pytest.raises(ZeroDivisionError):
        command_line.run(lambda: 1 / 0, "A tool.")


def test_the_header_of_a_flagfile_gives_a_command(defined, tmp_path):
    file = tmp_path / "a.flags"
    file.write_text(
        "# What it is.\n#   python tools/prepare_data.py --source=table:a.parquet \\\n"
        "#       --output=data/a\n# Then train.\n--batch_size=16\n"
    )
    parse(f"--flagfile={file}")
    assert command_line.header_command("prepare_data.py") == (
        "python tools/prepare_data.py --source=table:a.parquet --output=data/a"
    )
    assert command_line.header_command("train.py") is None


def test_help_lists_what_there_is_to_choose_from(defined, monkeypatch, capsys):
    shades = registry.Registry("shade", "xsample_tf.graphs")

    @shades.register("dim")
    def dim():
        """Half dark.

        And more.
        """

    monkeypatch.setattr(command_line, "_registries", [])
    command_line.choose_from(shades)
    monkeypatch.setattr(sys, "argv", ["tool", "--help"])
    command_line.run(lambda: pytest.fail("the tool ran"), "A tool.")
    assert capsys.readouterr().out.endswith("\nshade:\n  dim: Half dark.\n")


def test_an_option_of_an_entry_is_not_a_flag_of_the_tool(defined, monkeypatch):
    entries = registry.Registry("graph", "xsample_tf.graphs")
    entries.register("own", options=[registry.Option("batch_size", 1, "Mine.")])(dict)
    monkeypatch.setattr(command_line, "_registries", [entries])
    with pytest.raises(InputError, match="'batch_size', which is a flag of this tool already"):
        parse()
