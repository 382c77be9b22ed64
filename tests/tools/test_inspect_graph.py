"""tools/inspect_graph.py: the flags of train, and those of another graph beside them."""

import subprocess
import sys

import command_line
import pytest
import run_flags
from helpers import tiny_data

from xsample_tf.errors import InputError


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("data")
    tiny_data.write(directory, train=24, val=6)
    lines = [f"color_{i}\t{'warm' if i < 3 else 'cold'}\n" for i in range(6)]
    (directory / "tree.tsv").write_text("".join(lines) + "warm\tall\ncold\tall\n")
    return directory


@pytest.mark.slow  # A process of 15 s; the page is tested in tests/training/graph_page.
def test_a_page_is_written_and_named(repository, directory, tmp_path):
    output = tmp_path / "graph.html"
    command = [sys.executable, str(repository / "tools" / "inspect_graph.py")]
    command += [f"--data_dir={directory}", "--batch_size=8", "--target_temperature=auto:0.5"]
    command += ["--compare_graph=taxonomy", f"--taxonomy={directory / 'tree.tsv'}"]
    done = subprocess.run([*command, f"--output={output}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "similarities of 24 images: cosine, taxonomy" in done.stdout
    assert done.stdout.splitlines()[-1].startswith(f"written: {output} (0.")
    page = output.read_text(encoding="utf-8")
    assert "<h1>The target of cosine on data0</h1>" in page and "--compare_graph=taxonomy" in page


def test_options_of_the_other_graph_are_left_to_it(directory):
    flags = ["inspect", f"--data_dir={directory}", "--taxonomy=tree.tsv", "--spurious_edges=0.1"]
    command_line.parse([*flags, "--graph=label"])
    options, own = run_flags.read_with_other_graph("taxonomy")
    assert options.own["spurious_edges"] == 0.1 and "taxonomy" not in options.own
    assert own == {"taxonomy": "tree.tsv", "spurious_edges": 0.1}
    command_line.parse([*flags, "--graph=label"])
    with pytest.raises(InputError, match="taxonomy: expected an option of"):
        run_flags.read_with_other_graph("")
    with pytest.raises(InputError, match="graph: received 'taxonomi', did you mean 'taxonomy'"):
        run_flags.read_with_other_graph("taxonomi")
