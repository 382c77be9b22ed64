"""Images per second and peak memory of tools/prepare_data.py, by runner and by size of the data.

Makes one tar of JPEGs of 500x375 as img2dataset writes it, links it as often as is needed, and
prepares it with the settings for web data: shorter side 256, quality 90, shuffled, five in a
hundred for validation. Memory is that of the process and its workers, shared pages counted once.
Prints a table in Markdown, and exits 1 where the peak at the last count is over --ratio times that
at the first.

    python benchmarks/prepare.py --images=FOLDER_OF_PHOTOS --counts=10000,100000

Needs the extra beam for other runners than the pool, and room for the tar and twice its images.
"""

import argparse
import io
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import typing

from environment import environment
from PIL import Image

SIZE = (500, 375)
TAR = 10_000  # Images in a tar, as img2dataset writes them.
PROCESSES = "--direct_num_workers=2 --direct_running_mode=multi_processing"
RUNNERS = {
    "pool": [],
    "DirectRunner": ["--runner=DirectRunner"],
    "DirectRunner, 2 processes": ["--runner=DirectRunner", f"--beam_flags={PROCESSES}"],
}
TOOL = pathlib.Path(__file__).parents[1] / "tools" / "prepare_data.py"


class Memory(threading.Thread):
    """Watches a process and its descendants until it ends; `peak` is their memory in bytes."""

    def __init__(self, process: subprocess.Popen) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self._process = process

    def run(self) -> None:
        """Looks five times a second."""
        while self._process.poll() is None:
            tree = _descendants(self._process.pid)
            self.peak = max(self.peak, sum(map(_memory, tree)))
            time.sleep(0.2)


def _descendants(root: int) -> list[int]:
    parents = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # It has ended.
            continue
        parents[int(folder.name)] = int(fields[1])
    tree = [root]
    for process in tree:
        tree += [child for child, parent in parents.items() if parent == process]
    return tree


def _memory(process: int) -> int:
    try:
        text = pathlib.Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return 0
    return 1024 * int(re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE).group(1))


def write_tar(path: pathlib.Path, photos: list[pathlib.Path], count: int) -> int:
    """Writes a tar of `count` images; returns the bytes of a mean JPEG in it."""
    contents = []
    for photo in photos:
        buffer = io.BytesIO()
        Image.open(photo).convert("RGB").resize(SIZE).save(buffer, "JPEG", quality=90)
        contents.append(buffer.getvalue())
    with tarfile.open(path, "w") as tar:
        for i in range(count):
            for kind, content in (
                ("jpg", contents[i % len(contents)]),
                ("txt", f"a photo that has the number {i}".encode()),
            ):
                member = tarfile.TarInfo(f"{i:09d}.{kind}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return sum(map(len, contents)) // len(contents)


class Figures(typing.NamedTuple):
    """Images per second, seconds of the whole command, peak memory and bytes written."""

    rate: float
    seconds: float
    peak: int
    written: int


def measure(source: str, output: pathlib.Path, flags: list[str]) -> Figures:
    """Prepares once."""
    command = [sys.executable, str(TOOL), f"--source={source}", f"--output={output}", *flags]
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    memory = Memory(process)
    memory.start()
    lines = process.communicate()[0]
    seconds = time.monotonic() - start
    memory.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {lines[-2000:]}")
    written = sum(path.stat().st_size for path in output.rglob("*.tfrecord"))
    rate = float(re.search(r"images, ([\d,]+) a second", lines).group(1).replace(",", ""))
    return Figures(rate, seconds, memory.peak, written)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", required=True, help="folder of photos, JPEG")
    parser.add_argument("--counts", default="10000,100000", help="images, comma-separated")
    parser.add_argument("--runners", default=";".join(RUNNERS), help="which, semicolons between")
    parser.add_argument("--folder", help="where there is room; the system's temporary folder")
    parser.add_argument("--ratio", type=float, default=1.1, help="of the peaks, at most")
    arguments = parser.parse_args()
    photos = sorted(pathlib.Path(arguments.images).rglob("*.jpg"))
    counts = [int(count) for count in arguments.counts.split(",")]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    print("| runner | images | images/s | whole command, s | peak memory, MB | bytes/image |")
    print("|---|---:|---:|---:|---:|---:|", flush=True)
    peaks = {}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        size = min(TAR, *counts)
        tar = pathlib.Path(folder, "images.tar")
        mean = write_tar(tar, photos, size)
        for count in counts:
            source = pathlib.Path(folder, f"source-{count}")
            source.mkdir()
            for number in range(count // size):
                os.link(tar, source / f"{number:05d}.tar")
            for runner in arguments.runners.split(";"):
                output = pathlib.Path(folder, "output")
                figures = measure(f"webdataset:{source}/*.tar", output, RUNNERS[runner])
                shutil.rmtree(output)
                peaks[runner, count] = figures.peak
                print(
                    f"| {runner} | {count:,} | {figures.rate:,.0f} | {figures.seconds:,.0f} | "
                    f"{figures.peak / 1e6:,.0f} | {figures.written / count:,.0f} |",
                    flush=True,
                )
    print(f"\nJPEGs of {SIZE[0]}x{SIZE[1]}, {mean:,} bytes in the mean, in tars of {size:,}.")
    print(*environment(), sep="\n")
    ratios = {
        runner: peaks[runner, counts[-1]] / peaks[runner, counts[0]]
        for runner in arguments.runners.split(";")
    }
    for runner, ratio in ratios.items():
        print(f"{runner}: peak at {counts[-1]:,} over that at {counts[0]:,} images {ratio:.2f}")
    return int(max(ratios.values()) > arguments.ratio)


if __name__ == "__main__":
    sys.exit(main())
