"""Draws what the loss aims at: the target of one small batch under X-CLR, SupCon and SimCLR.

Twelve captions of four kinds, two views each, so 24 views. Every panel is the target `[24, 24]`,
made by the package's own graphs and target softmax. SupCon and SimCLR have their own target
temperature, 0. X-CLR's is solved for a mass on the image's own other view, as
`tools/train.py --target_temperature=auto:0.5` does. Needs matplotlib.

    python benchmarks/target_figure.py --output=docs/target.png
"""

import argparse
import pathlib

import numpy as np
import tensorflow as tf

from xsample_tf import graphs, losses, text
from xsample_tf.losses.dense import target_softmax

VIEWS = 2
# Captions by kind. SupCon sees the kinds alone; some captions are near to those of another kind.
CAPTIONS = {
    "dog": (
        "a dog runs on the beach",
        "a brown dog with a red ball",
        "a puppy sleeps on a sofa",
    ),
    "cat": (
        "a cat sleeps on a sofa",
        "a kitten plays with a ball",
        "a black cat on a kitchen table",
    ),
    "sea": (
        "waves break on a sandy beach",
        "a sailing boat off the beach",
        "surfers ride the waves",
    ),
    "food": (
        "a pizza on a kitchen table",
        "a bowl of fresh fruit salad",
        "fried fish with lemon",
    ),
}


def target_of(
    graph: graphs.SimilarityGraph, side_info: np.ndarray, target_temperature: float
) -> np.ndarray:
    """The target `[B V, B V]` of B images, views of an image side by side; NaN on the diagonal."""
    side_info = tf.constant(side_info)
    similarity = graph.similarity(side_info, side_info).numpy()
    np.fill_diagonal(similarity, 1)  # Views of one image, whatever the graph says.
    similarity = similarity.repeat(VIEWS, axis=0).repeat(VIEWS, axis=1)
    itself = np.eye(len(similarity), dtype=bool)
    target, _ = target_softmax(tf.constant(similarity), tf.constant(~itself), target_temperature)
    return np.where(itself, np.nan, target.numpy())


def draw(panels: list[tuple[str, str, np.ndarray]], path: pathlib.Path) -> None:
    """Writes the heat maps with the captions beside them as a PNG.

    Args:
        panels: Title, a line below it, and the target of each.
        path: Where to.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import colors, pyplot

    captions = [caption for kind in CAPTIONS.values() for caption in kind]
    ends = np.cumsum([VIEWS * len(kind) for kind in CAPTIONS.values()])
    places = VIEWS * np.arange(len(captions)) + (VIEWS - 1) / 2
    colour_map = pyplot.get_cmap("YlGnBu").copy()
    colour_map.set_bad("#c4c4c4")
    # A power, so that a mass of 0.02 is seen beside one of 1.
    norm = colors.PowerNorm(0.4, vmin=0, vmax=1)
    figure, axes = pyplot.subplots(1, len(panels), figsize=(12, 3.95), layout="constrained")
    for axis, (title, below, target) in zip(axes, panels, strict=True):
        image = axis.imshow(target, cmap=colour_map, norm=norm, interpolation="nearest")
        for end in ends[:-1]:
            axis.axhline(end - 0.5, color="0.55", linewidth=0.7)
            axis.axvline(end - 0.5, color="0.55", linewidth=0.7)
        axis.set_title(title, fontsize=13, fontweight="bold", pad=24)
        axis.text(0.5, 1.03, below, transform=axis.transAxes, ha="center", fontsize=10.5)
        middles = ends - np.diff(ends, prepend=0) / 2 - 0.5
        axis.set_xticks(middles, list(CAPTIONS), fontsize=10.5)
        axis.set_yticks([])
        axis.tick_params(length=0)
    axes[0].set_yticks(places, captions, fontsize=10.5)
    bar = figure.colorbar(image, ax=axes, ticks=[0, 0.01, 0.05, 0.2, 0.5, 1], shrink=0.9, pad=0.01)
    bar.ax.set_yticklabels(["0", "0.01", "0.05", "0.2", "0.5", "1"], fontsize=10)
    bar.set_label("mass of the target", fontsize=10.5)
    figure.savefig(path, dpi=150, facecolor="white")
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("docs/target.png"))
    parser.add_argument("--text_encoder", default="sentence-transformers/all-MiniLM-L6-v2")
    parser.add_argument("--own_mass", type=float, default=0.5, help="X-CLR's.")
    arguments = parser.parse_args()

    captions = [caption for kind in CAPTIONS.values() for caption in kind]
    labels = np.repeat(np.arange(len(CAPTIONS)), [len(kind) for kind in CAPTIONS.values()])
    vectors = text.load_encoder(arguments.text_encoder)(captions)
    cosine = graphs.CosineGraph()
    solved = losses.solve_target_temperature(cosine, vectors, arguments.own_mass, VIEWS)
    choices = {
        "X-CLR: captions": (cosine, vectors, solved),
        "SupCon: labels": (graphs.LabelGraph(), labels, 0.0),
        "SimCLR: the image itself": (graphs.InstanceGraph(), np.arange(len(captions)), 0.0),
    }
    panels = []
    for title, (graph, side_info, temperature) in choices.items():
        summary = losses.summarize_target(graph, side_info, temperature, VIEWS)
        mass = f"{summary.own_mass:.0%} on the image's other view"
        print(
            f"{title}: {mass}, {summary.effective_positives:.1f} effective positives, target "
            f"temperature {temperature:g}"
        )
        panels.append((title, mass, target_of(graph, side_info, temperature)))
    draw(panels, arguments.output)


if __name__ == "__main__":
    main()
