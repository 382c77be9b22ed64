"""Shows the target of a run as a page with sliders, to choose its temperature before training.

    python tools/inspect_graph.py --data_dir=data/photos --output=graph.html
    python tools/inspect_graph.py --flagfile=configs/cc3m.flags --data_dir=DIR --center
    python tools/inspect_graph.py --data_dir=DIR --graph=class --compare_graph=taxonomy

Takes the flags of tools/train.py and makes no run. The page is one file, which opens from the disk
and asks no network.
"""

import pathlib
import shlex
import sys

import command_line
import run_flags
import tensorflow as tf
from absl import flags

from xsample_tf.errors import InputError
from xsample_tf.files import write_text
from xsample_tf.training.graph_page import graph_page

_OUTPUT = flags.DEFINE_string("output", "graph.html", "The HTML file to write.")
_ANCHORS = flags.DEFINE_integer(
    "anchors", 256, "Images whose targets are looked at.", lower_bound=2, upper_bound=1024
)
_POPULATION = flags.DEFINE_integer(
    "population",
    4096,
    "Images that batches are drawn from; the run's, where these are fewer.",
    lower_bound=3,
    upper_bound=65_536,
)
_COMPARE_GRAPH = flags.DEFINE_string(
    "compare_graph", "", "Another graph, as for --graph, to compare with the run's."
)
_COMPARE_EMBEDDING = flags.DEFINE_string(
    "compare_embedding",
    "",
    "Other caption vectors to compare with the run's: their name in the data directory, or a text "
    "encoder's handle.",
)


def main() -> None:
    options, own = run_flags.read_with_other_graph(_COMPARE_GRAPH.value)
    output = pathlib.Path(_OUTPUT.value)
    if output.is_dir() or not output.parent.is_dir():
        raise InputError(f"output: expected a file in a folder that is there, received {output}")
    tf.config.experimental.enable_tensor_float_32_execution(False)
    text = graph_page(
        options,
        _ANCHORS.value,
        _POPULATION.value,
        _COMPARE_GRAPH.value,
        _COMPARE_EMBEDDING.value,
        own,
        command=shlex.join(["python", "tools/inspect_graph.py", *sys.argv[1:]]),
    )
    write_text(output, text)
    print(f"written: {output} ({len(text.encode()) / 1e6:.1f} MB); open it in a browser")


if __name__ == "__main__":
    command_line.run(main, __doc__)
