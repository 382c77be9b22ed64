"""Images per second and peak memory of tools/prepare_data.py, by runner and by size of the data.

Makes one tar of JPEGs of 500x375 as img2dataset writes it, links it as often as is needed, and
prepares it with the settings for web data: shorter side 256, quality 90, shuffled, five in a
hundred for validation. Memory is that of the process and its workers, shared pages counted once.
Prints a table in Markdown, and exits 1 where the peak at the last count is over --ratio times that
at the first.

    python benchmarks/prepare.py --images=FOLDER_OF_PHOTOS --counts=10000,100000

With --against, another checkout prepares the first count of images in turns with this one, each
--turns times, and the ratio of the best rates is printed; exits 1 where this one is slower by more
than the --slower share.

    python benchmarks/prepare.py --images=FOLDER_OF_PHOTOS --counts=10000 --runners=pool \
        --against=OTHER_CHECKOUT

Needs the extra beam for other runners than the pool, and room for the tar and twice its images.
"""

import argparse
import io
import os
import pathlib
import re
import resource
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
HERE = pathlib.Path(__file__).parents[1]


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
            self.peak = max(self.peak, _memory(tree))
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


def _memory(processes: list[int]) -> int:
    """Their own pages, and the shared ones of the process that has most of them.

    A page that another program maps as well, such as TensorFlow's library, counts in full.
    """
    own, shared = 0, 0
    for process in processes:
        try:
            text = pathlib.Path(f"/proc/{process}/smaps_rollup").read_text()
        except OSError:  # It has ended.
            continue
        kilobytes = {name: int(n) for name, n in re.findall(r"^(\w+):\s+(\d+) kB", text, re.M)}
        private = kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]
        own += private
        shared = max(shared, kilobytes["Rss"] - private)
    return 1024 * (own + shared)


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
    """Images per second, seconds of the whole command, peak memory and bytes written.

    `processor` are the seconds of all cores, which other programs disturb less.
    """

    rate: float
    seconds: float
    processor: float
    peak: int
    written: int


def measure(
    source: str, output: pathlib.Path, flags: list[str], checkout: pathlib.Path = HERE
) -> Figures:
    """Prepares once, with the code of a checkout."""
    tool = checkout / "tools" / "prepare_data.py"
    command = [sys.executable, str(tool), f"--source={source}", f"--output={output}", *flags]
    start, used = time.monotonic(), _processor_seconds()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": str(checkout)},
    )
    memory = Memory(process)
    memory.start()
    lines = process.communicate()[0]
    seconds = time.monotonic() - start
    memory.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {lines[-2000:]}")
    written = sum(path.stat().st_size for path in output.rglob("*.tfrecord"))
    rate = float(re.search(r"images, ([\d,]+) a second", lines).group(1).replace(",", ""))
    return Figures(rate, seconds, _processor_seconds() - used, memory.peak, written)


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def compare(source: str, output: pathlib.Path, other: pathlib.Path, turns: int) -> float:
    """Prepares in turns with two checkouts; returns the ratio of their best times, ours above."""
    figures: dict[pathlib.Path, list[Figures]] = {other: [], HERE: []}
    print("| code | images/s | whole command, s | processor, s | peak memory, MB |")
    print("|---|---:|---:|---:|---:|", flush=True)
    for checkout in [other, HERE] * turns:
        one = measure(source, output, RUNNERS["pool"], checkout)
        shutil.rmtree(output)
        figures[checkout].append(one)
        name = "this" if checkout == HERE else "other"
        print(
            f"| {name} | {one.rate:,.0f} | {one.seconds:,.1f} | {one.processor:,.1f} | "
            f"{one.peak / 1e6:,.0f} |",
            flush=True,
        )
    best = {
        checkout: [min(column) for column in zip(*own, strict=True)]
        for checkout, own in figures.items()
    }
    names = ("seconds", "processor")
    ratios = {
        name: getattr(Figures(*best[HERE]), name) / getattr(Figures(*best[other]), name)
        for name in names
    }
    shown = ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
    print(f"\nthis over other, best of {turns} each: {shown}")
    return ratios["seconds"]


def tabulate(
    sources: dict[int, str], output: pathlib.Path, runners: list[str]
) -> dict[tuple[str, int], int]:
    """Prepares each count of images with each runner; returns the peaks of memory."""
    print("| runner | images | images/s | whole command, s | peak memory, MB | bytes/image |")
    print("|---|---:|---:|---:|---:|---:|", flush=True)
    peaks = {}
    for count, source in sources.items():
        for runner in runners:
            figures = measure(source, output, RUNNERS[runner])
            shutil.rmtree(output)
            peaks[runner, count] = figures.peak
            print(
                f"| {runner} | {count:,} | {figures.rate:,.0f} | {figures.seconds:,.0f} | "
                f"{figures.peak / 1e6:,.0f} | {figures.written / count:,.0f} |",
                flush=True,
            )
    return peaks


def link(folder: pathlib.Path, photos: list[pathlib.Path], counts: list[int]) -> dict[int, str]:
    """Writes a tar, and links it as often as each count needs; returns the sources by count."""
    size = min(TAR, *counts)
    tar = folder / "images.tar"
    mean = write_tar(tar, photos, size)
    print(f"JPEGs of {SIZE[0]}x{SIZE[1]}, {mean:,} bytes in the mean, in tars of {size:,}.")
    print(*environment(), "", sep="\n")
    sources = {}
    for count in counts:
        source = folder / f"source-{count}"
        source.mkdir()
        for number in range(count // size):
            os.link(tar, source / f"{number:05d}.tar")
        sources[count] = f"webdataset:{source}/*.tar"
    return sources


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", required=True, help="folder of photos, JPEG")
    parser.add_argument("--counts", default="10000,100000", help="images, comma-separated")
    parser.add_argument("--runners", default=";".join(RUNNERS), help="which, semicolons between")
    parser.add_argument("--folder", help="where there is room; the system's temporary folder")
    parser.add_argument("--ratio", type=float, default=1.1, help="of the peaks, at most")
    parser.add_argument("--against", type=pathlib.Path, help="another checkout, run in turns")
    parser.add_argument("--turns", type=int, default=2, help="runs of each with --against")
    parser.add_argument("--slower", type=float, default=0.05, help="than --against, at most")
    arguments = parser.parse_args()
    photos = sorted(pathlib.Path(arguments.images).rglob("*.jpg"))
    counts = [int(count) for count in arguments.counts.split(",")]
    runners = arguments.runners.split(";")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        sources = link(pathlib.Path(folder), photos, counts)
        output = pathlib.Path(folder, "output")
        if arguments.against:
            other = arguments.against.resolve()
            ratio = compare(sources[counts[0]], output, other, arguments.turns)
            return int(ratio > 1 + arguments.slower)
        peaks = tabulate(sources, output, runners)
    ratios = {r: peaks[r, counts[-1]] / peaks[r, counts[0]] for r in runners}
    for runner, ratio in ratios.items():
        print(f"{runner}: peak at {counts[-1]:,} over that at {counts[0]:,} images {ratio:.2f}")
    return int(max(ratios.values()) > arguments.ratio)


if __name__ == "__main__":
    sys.exit(main())
