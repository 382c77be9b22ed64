"""Tables and plot of loss.py, and the counts that they hold the measurements against."""

import dataclasses
import pathlib
import statistics

from loss_worker import CAPTION_SIZE, EMBEDDING_SIZE, TORCH, VIEWS

LABELS = {
    "tiled": "tiled, XLA",
    "tiled_statistics": "tiled, XLA, with statistics",
    "tiled_plain": "tiled",
    "dense_xla": "dense, XLA",
    "dense": "dense",
    "torch": "PyTorch, or open_clip",
    "torch_chunked": "PyTorch, chunked",
}
OURS = "tiled"
# The dense contenders, with about how many matrices of all pairs of views each holds at its peak:
# estimated from the extra memory at 1,024 and 2,048 images.
MATRICES = {"dense_xla": 3.3, "dense": 7.0, "torch": 4.5}
MB, GB = 1e6, 1e9


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One contender at one number of images.

    Attributes:
        seconds: Of a step, by round.
        peak: Bytes of the whole process.
        extra: Bytes above the peak of the same program with few images.
    """

    seconds: list[float]
    peak: int
    extra: int

    @property
    def median(self) -> float:
        """Seconds of the median round."""
        return statistics.median(self.seconds)


Row = dict[str, Measurement]


def matrix_bytes(contender: str, images: int, loss: str) -> float:
    """Estimated bytes of the matrices that a contender writes out."""
    # Of images and texts, but that our dense form of CLIP's loss makes and masks those of all.
    images_by_texts = loss == "siglip" or (loss == "clip" and contender in TORCH)
    pairs = images**2 if images_by_texts else (VIEWS * images) ** 2
    return MATRICES.get(contender, 0) * 4 * pairs


def operations(images: int, loss: str) -> int:
    """Floating-point operations that the tiled form needs on one device, forward and backward.

    A multiply-add is two operations, and of a symmetric matrix half is computed: the products of
    N vectors of size D with each other take N^2 D operations, and twice that with N others.
    """
    sided = loss != "x_sample"
    logits = (2 * images**2 if sided else (VIEWS * images) ** 2) * EMBEDDING_SIZE
    similarities = 0 if sided else images**2 * CAPTION_SIZE
    # Both passes make both; the gradient goes to the rows and to the columns of a tile.
    return 2 * (logits + similarities) + 2 * logits


def tables(contenders: list[str], results: dict[int, Row], rate: float, loss: str) -> list[str]:
    """A table of times and one of memory, as lines of Markdown.

    Args:
        contenders: The columns.
        results: By number of images, without the contenders that were left out.
        rate: Operations a second of the machine's matrix products, wherever ours was run.
        loss: The loss that was measured.
    """
    return ["", *_times(contenders, results, rate, loss), "", *_memory(contenders, results, loss)]


def plot(contenders: list[str], results: dict[int, Row], path: pathlib.Path) -> None:
    """Time and extra memory by number of images, both logarithmic, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    panels = {
        "seconds, forward and backward": lambda measurement: measurement.median,
        "extra peak memory, MB": lambda measurement: measurement.extra / MB,
    }
    for axis, (title, quantity) in zip(axes, panels.items(), strict=True):
        for contender in contenders:
            points = {n: quantity(row[contender]) for n, row in results.items() if contender in row}
            x, y = list(points), list(points.values())
            axis.loglog(x, y, "o-", label=LABELS[contender], nonpositive="mask")
        axis.set(title=title, xlabel="images")
        axis.set_xticks(list(results), [f"{images:,}" for images in results], rotation=45)
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].legend()
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def _times(contenders: list[str], results: dict[int, Row], rate: float, loss: str) -> list[str]:
    body = []
    for images, row in results.items():
        cells = [
            f"{row[c].median:.3g}" if c in row else _skipped(c, images, loss) for c in contenders
        ]
        over_best = over_floor = "-"
        if OURS in row:
            over_floor = f"{row[OURS].median / (operations(images, loss) / rate):.2f}"
            if dense := [row[c] for c in MATRICES if c in row]:
                best = min(dense, key=lambda measurement: measurement.median)
                ratios = map(float.__truediv__, row[OURS].seconds, best.seconds)
                over_best = f"{statistics.median(ratios):.2f}"
        body.append([f"{images:,}", *cells, over_best, over_floor])
    labels = [LABELS[c] for c in contenders]
    return _table(["seconds at", *labels, "ours / best dense", "ours / floor"], body)


def _memory(contenders: list[str], results: dict[int, Row], loss: str) -> list[str]:
    body = []
    first = contenders[0]
    for images, row in results.items():
        extra = {contender: measurement.extra for contender, measurement in row.items()}
        cells = [
            f"{extra[c] / MB:.0f}" if c in row else _skipped(c, images, loss) for c in contenders
        ]
        over_best = "-"
        dense = [extra[c] for c in MATRICES if c in row and extra[c] > 0]
        # With few images the difference of two processes may be noise, below 0 even.
        if dense and extra.get(OURS, 0) > 0:
            over_best = f"{extra[OURS] / min(dense):.3f}"
        whole = f"{row[first].peak / MB:.0f}" if first in row else "-"
        body.append([f"{images:,}", *cells, over_best, whole])
    labels = [LABELS[c] for c in contenders]
    ends = ["ours / best dense", f"whole process: {LABELS[first]}"]
    return _table(["extra MB at", *labels, *ends], body)


def _skipped(contender: str, images: int, loss: str) -> str:
    return f"- ({matrix_bytes(contender, images, loss) / GB:.2g} GB)"


def _table(header: list[str], body: list[list[str]]) -> list[str]:
    """Lines of Markdown, without the columns that nothing fills."""
    filled = [k for k in range(len(header)) if any(row[k] != "-" for row in body)]
    lines = [[header[k] for k in filled], ["---:"] * len(filled)]
    lines += [[row[k] for k in filled] for row in body]
    return [f"| {' | '.join(line)} |" for line in lines]
