"""Images and captions that look for each other: Flickr8k, Flickr30k, COCO, or the data."""

import numpy as np

from xsample_tf.arrays import unit_rows
from xsample_tf.errors import InputError
from xsample_tf.evaluation.images import ALLOW_PARTIAL, embed_split, read_karpathy
from xsample_tf.evaluation.images.karpathy import CaptionedImages
from xsample_tf.evaluation.ranking import RANKS, pair_recall
from xsample_tf.evaluation.results import Figure, Outcome, Score, of_images
from xsample_tf.evaluation.runner import Runner
from xsample_tf.evaluation.splits import Queries, Split
from xsample_tf.evaluation.tasks.base import TASKS, Task
from xsample_tf.registry import Option

WAYS = {"tower": "the towers", "map": "a linear map"}
_DIRECTIONS = {"text": "text to image", "image": "image to text"}


@TASKS.register(
    "retrieval",
    options=[
        Option(
            "retrieval_json",
            "",
            "Karpathy's dataset_flickr30k.json or dataset_coco.json, its test split; by default "
            "val of --data_dir.",
        ),
        Option("retrieval_images", "", "The folder of the images of --retrieval_json."),
        ALLOW_PARTIAL,
    ],
)
class Retrieval(Task):
    """Recall@1, 5 and 10 over all captions, text to image and image to text."""

    figures = tuple(
        Figure(f"{way}_{direction}_recall_at_{k}", f"{words} recall@{k} by {by}", "{:.1%}")
        for way, by in WAYS.items()
        for direction, words in _DIRECTIONS.items()
        for k in RANKS
    )

    def __init__(self, retrieval_json: str, retrieval_images: str, allow_partial: bool):
        self._json, self._folder, self._partial = retrieval_json, retrieval_images, allow_partial
        self._found: CaptionedImages | None = None
        self._vectors: np.ndarray | None = None  # Of the captions, the same for all encoders.
        self._no_map = ""

    def check(self, runner: Runner) -> None:
        """Lists the images, and looks for something to compare them with captions by.

        Raises:
            InputError: No data, not all of it, or an encoder of images alone without captions to
                fit the map on.
        """
        if self._json:
            self._found = read_karpathy("retrieval_json", self._json, self._folder, self._partial)
        elif runner.settings.data_dir is None:
            raise InputError(
                "retrieval: expected --retrieval_json with --retrieval_images, or --data_dir, "
                "received neither"
            )
        try:
            self._check_map(runner)
        except InputError as error:
            if runner.embed_texts is None:
                raise
            self._no_map = str(error)

    def _check_map(self, runner: Runner) -> None:
        if runner.settings.data_dir is None or runner.captions is None:
            where = runner.settings.data_dir
            raise InputError(
                "retrieval: expected a model that embeds texts, or images with caption vectors in "
                "--data_dir to fit a linear map on, received a model of images alone and "
                + (f"{where} without vectors" if where else "no --data_dir")
                + "; tools/prepare_data.py --text_encoder makes them"
            )
        if self._found is not None:
            runner.encode_captions(["a photo"])  # Its encoder may be elsewhere.

    def run(self, runner: Runner) -> Outcome:
        """Returns the recalls by the towers, where there are some, and by the linear map."""
        split, left_out = self._split(runner)
        if self._no_map:
            left_out["recall by a linear map"] = self._no_map
        if split.towers_apart:
            left_out["recall by the towers"] = split.towers_apart
        pairs = {"tower": _among_texts(split), "map": self._mapped(runner, split)}
        scores: dict[str, Score] = {}
        captions = 0
        for way, pair in pairs.items():
            if pair is None or not len(pair[0].content):
                continue
            queries, gallery = pair
            captions = len(queries.content)
            recalls = pair_recall(unit_rows(queries.content), queries.images, unit_rows(gallery))
            scores |= {
                f"{way}_{direction}_recall_at_{k}": score
                for direction, found in zip(_DIRECTIONS, recalls, strict=True)
                for k, score in found.items()
            }
        where = self._json or f"val of {runner.settings.data_dir}"
        if not scores and runner.embed_texts is not None:
            raise InputError(f"retrieval: expected captions to compare, received none of {where}")
        meta = {"from": where, "images": len(split), "captions": captions}
        return Outcome(of_images(scores, split.hashes), meta, left_out)

    def _split(self, runner: Runner) -> tuple[Split, dict[str, str]]:
        """The images with their captions as texts and as vectors, and what was left out."""
        found = self._found
        if found is None:
            return runner.data.val, {}
        images, left_out = embed_split(runner, "retrieval_images", found.images, self._partial)
        place = np.full(len(found.images), -1)
        place[images.labels] = np.arange(len(images))  # Some files may not have been decoded.
        own = place[found.own]
        texts = [text for text, row in zip(found.captions, own, strict=True) if row >= 0]
        queries = None
        if not self._no_map:
            if self._vectors is None:
                self._vectors = runner.encode_captions(found.captions)
            usable = (own >= 0) & np.isfinite(self._vectors).all(1) & self._vectors.any(1)
            queries = Queries(own[usable], self._vectors[usable])
        embed = runner.embed_texts
        split = Split(
            images.embeddings,
            images.labels,
            queries=queries,
            project_texts=embed and (lambda: Queries(own[own >= 0], embed(texts))),
            among_texts=images.among_texts,
            hashes=images.hashes,
        )
        return split, found.left_out | left_out

    def _mapped(self, runner: Runner, split: Split) -> tuple[Queries, np.ndarray] | None:
        """Captions and images where the linear map has them; None without the map."""
        caption_map = None if self._no_map else runner.caption_map
        queries = split.queries
        if caption_map is None or queries is None:
            return None
        vectors = caption_map.of_captions(queries.content)
        return Queries(queries.images, vectors), caption_map.of_images(split.embeddings)


def _among_texts(split: Split) -> tuple[Queries, np.ndarray] | None:
    """Captions and images where the towers have them; None without towers."""
    texts = split.text_projections
    return None if texts is None or split.towers_apart else (texts, split.among_texts)
