"""MIT-States: the state of a thing, and the thing, by linear probes on random halves."""

import hashlib
import pathlib
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from xsample_tf.errors import InputError, listing
from xsample_tf.evaluation.images import (
    ALLOW_PARTIAL,
    ImageList,
    check_count,
    embed_list,
    from_paths,
    is_image,
)
from xsample_tf.evaluation.ranking import accuracies
from xsample_tf.evaluation.results import Figure, Outcome, Score
from xsample_tf.evaluation.runner import Runner
from xsample_tf.evaluation.splits import Split
from xsample_tf.evaluation.tasks.base import TASKS, Task
from xsample_tf.files import walk
from xsample_tf.registry import Option

COUNT = 53_753  # Images without those of "adj".
HALVES = 5
_NO_STATE = "adj"  # Folders of a thing in no state.
_THREADS = 8


@TASKS.register(
    "mit_states",
    options=[
        Option("mit_states_dir", "", "MIT-States' folder, release_dataset or the images in it."),
        Option("keep_adj", False, "Keep MIT-States' images of things without a state."),
        ALLOW_PARTIAL,
    ],
)
class MITStates(Task):
    """Attributes and objects of MIT-States, over five random halves."""

    figures = tuple(
        figure
        for what in ("attributes", "objects")
        for figure in (
            Figure(f"{what}_top1", f"{what}, linear top-1, mean of {HALVES} halves", "{:.1%}"),
            Figure(f"{what}_top5", f"{what}, linear top-5, mean of {HALVES} halves", "{:.1%}"),
            Figure(f"{what}_deviation", "  standard deviation of top-1 over halves", "{:.1%}"),
        )
    )

    def __init__(self, mit_states_dir: str, keep_adj: bool, allow_partial: bool):
        self._where, self._keep, self._partial = mit_states_dir, keep_adj, allow_partial
        self._images: ImageList | None = None
        self._pairs: list[tuple[str, str]] = []
        self._hashes: list[bytes] = []
        self._left_out: dict[str, str] = {}

    def check(self, runner: Runner) -> None:
        """Lists the images.

        Raises:
            InputError: No folder, folders that are not "attribute object", or not all images.
        """
        del runner
        folders = _folders(self._where)
        used = [f for f in folders if self._keep or f[1][0] != _NO_STATE]
        paths = [[path for path in walk(folder) if is_image(path)] for folder, _ in used]
        self._pairs = [pair for _, pair in used]
        labels = np.repeat(np.arange(len(used)), [len(own) for own in paths])
        flat = [path for own in paths for path in own]
        self._images = from_paths(self._where, flat, labels)
        if not self._keep:  # How many there are with them is not published.
            self._left_out = check_count(
                "mit_states_dir", len(flat), COUNT, self._where, self._partial
            )
        with ThreadPoolExecutor(_THREADS) as pool:
            self._hashes = list(pool.map(_hash, flat))

    def run(self, runner: Runner) -> Outcome:
        """Returns the mean accuracies of both over the halves, with their deviations."""
        embeddings, rows, left_out = embed_list(
            runner, "mit_states_dir", self._images, self._partial
        )
        content = np.array(self._hashes, object)[rows]
        pairs = np.array(self._pairs, object)[self._images.labels[rows]]
        scores, counts = {}, {}
        for place, what in enumerate(("attributes", "objects")):
            names, labels = np.unique(pairs[:, place].astype(str), return_inverse=True)
            counts[what] = len(names)
            each = [
                _accuracies(runner, embeddings, labels, halves(content, seed))
                for seed in range(HALVES)
            ]
            scores |= _summary(what, each)
        meta = {"from": self._where, "images": len(rows), "keep_adj": self._keep} | counts
        return Outcome(scores, meta, self._left_out | left_out)


def halves(content: np.ndarray, seed: int) -> np.ndarray:
    """Returns bool `[N]`, true for a random half of the different images.

    Equal images, which stand in several folders, are in the same half.

    Args:
        content: Objects `[N]`, equal for equal images.
        seed: Of the choice, which does not depend on the order of the images.
    """
    distinct, which = np.unique(content, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(distinct))
    first = np.zeros(len(distinct), bool)
    first[order[: len(distinct) // 2]] = True
    return first[which]


def _accuracies(
    runner: Runner, embeddings: np.ndarray, labels: np.ndarray, first: np.ndarray
) -> dict[str, Score]:
    """Those of a linear probe that is fitted on one half, on the other."""
    parts = [Split(embeddings[half], labels[half]) for half in (first, ~first)]
    splits = runner.splits(*parts, classes=labels.max() + 1)
    scores = splits.head.scores(parts[1].embeddings)
    return accuracies("linear", scores, parts[1].labels, parts[0].labels, splits.classes)


def _summary(what: str, each: list[dict[str, Score]]) -> dict[str, Score]:
    found = {}
    for name in each[0]:
        values = [one[name].value for one in each]
        chance = float(np.mean([one[name].chance for one in each]))
        found[f"{what}_{name.removeprefix('linear_')}"] = Score(float(np.mean(values)), chance)
    tops = [one["linear_top1"].value for one in each]
    return found | {f"{what}_deviation": Score(float(np.std(tops, ddof=1)))}


def _folders(where: str) -> list[tuple[pathlib.Path, tuple[str, str]]]:
    """The folders with their attribute and object."""
    if not where or not pathlib.Path(where).is_dir():
        raise InputError(f"mit_states_dir: expected a folder, received {where or 'none'}")
    root = pathlib.Path(where)
    root = root / "release_dataset" if (root / "release_dataset").is_dir() else root
    root = root / "images" if (root / "images").is_dir() else root
    found = sorted(entry for entry in root.iterdir() if entry.is_dir())
    pairs = [re.split(r"[ _]", folder.name, maxsplit=1) for folder in found]
    strangers = [f.name for f, pair in zip(found, pairs, strict=True) if len(pair) != 2]
    if strangers or not found:
        raise InputError(
            "mit_states_dir: expected folders such as 'ancient building' or ancient_building in "
            f"{root}, received {listing(strangers, repr) or 'none'}"
        )
    return [(folder, tuple(pair)) for folder, pair in zip(found, pairs, strict=True)]


def _hash(path: str) -> bytes:
    return hashlib.blake2b(pathlib.Path(path).read_bytes(), digest_size=16).digest()
