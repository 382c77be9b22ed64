"""What a tool shows of the lines that TensorFlow writes from C++."""

import os
import signal
import subprocess
import sys

import pytest
from quiet_tensorflow import is_left_out

# Compiles by XLA and opens a file of records, of which TensorFlow tells as well.
PROGRAM = """
import os

import command_line
import tensorflow as tf

def main():
    os.write(2, b"of the program\\n")
    tf.function(lambda x: x + 1, jit_compile=True)(tf.ones([3]))
    list(tf.data.TFRecordDataset(os.devnull))

command_line.run(main, "A tool.")
"""
ABORTS = """
import os

os.write(2, b"I0000 00:00:1.5    7 port.cc:153] oneDNN custom operations are on.\\n")
os.write(2, b"F0000 00:00:1.5    7 cpu_feature_guard.cc:31] AVX is missing\\nin the last line")
os.abort()
"""


def run(repository, *arguments, path=()):
    environment = {name: value for name, value in os.environ.items() if "TF_CPP" not in name}
    environment["PYTHONPATH"] = os.pathsep.join(map(str, [*path, repository, repository / "tools"]))
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_a_tool_shows_what_the_program_writes_and_which_devices_there_are(repository):
    done = run(repository, "-c", PROGRAM)
    assert (done.returncode, done.stderr) == (0, "of the program\n")
    assert done.stdout.startswith("devices: ")


def test_a_process_that_is_aborted_at_import_says_why(repository, tmp_path):
    (tmp_path / "tensorflow.py").write_text(ABORTS)
    done = run(repository, "-c", "import quiet_tensorflow", path=[tmp_path])
    assert done.returncode == -signal.SIGABRT
    assert done.stderr.startswith("F0000 ") and done.stderr.endswith("missing\nin the last line")


@pytest.mark.parametrize(
    "text, lowest",
    [
        ("I0000 00:00:1795859705.942943   32418 port.cc:153] oneDNN custom operations are on.", 1),
        ("I0000 00:00:1795859705.943414   32418 cudart_stub.cc:31] Could not find cuda drivers", 1),
        ("W0000 00:00:1795859705.943414   32418 gpu_device.cc:2341] Cannot dlopen some GPU", 2),
        ("E0000 00:00:1795859705.943414   32418 cuda_dnn.cc:8] a fault of CUDA's", 3),
        (
            "E0000 00:00:1795859709.754848   32418 cuda_platform.cc:52] failed call to cuInit: "
            "INTERNAL: CUDA error: Failed call to cuInit: UNKNOWN ERROR (303)",
            1,
        ),
        (
            "E0000 00:00:1795859709.754848   32418 cuda_platform.cc:52] failed call to cuInit: "
            "INTERNAL: CUDA error: Failed call to cuInit: UNKNOWN ERROR (999)",
            3,
        ),
        ("WARNING: All log messages before absl::InitializeLog() is called are written", 4),
        ("F0000 00:00:1795859705.943414   32418 cpu_feature_guard.cc:31] AVX is missing", 4),
        ("terminate called after throwing an instance of 'std::bad_alloc'", 4),
        ("Traceback (most recent call last):", 4),
    ],
)
def test_lines_below_the_level_are_left_out_and_no_other(text, lowest):
    assert [is_left_out(text, level) for level in (1, 2, 3)] == [
        level >= lowest for level in (1, 2, 3)
    ]


def test_what_has_no_severity_and_is_no_fault_is_left_out():
    for text in (
        "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n",
        "To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow",
    ):
        assert is_left_out(text, 1)
