"""Images with several captions each, from a JSON of Karpathy's splits and a folder of images."""

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np

from xsample_tf.errors import InputError
from xsample_tf.evaluation.images.counts import check_count
from xsample_tf.evaluation.images.image_list import ImageList, from_paths

SPLIT = "test"
# Images and captions of the test split, by the JSON's own name of the data set.
COUNTS = {"flickr8k": (1_000, 5_000), "flickr30k": (1_000, 5_000), "coco": (5_000, 25_010)}


@dataclasses.dataclass(frozen=True)
class CaptionedImages:
    """Images and their captions.

    Attributes:
        name: Of the data set.
        images: The files.
        captions: Strings `[K]`, all captions of all images.
        own: Int64 `[K]`, the image of each caption.
        left_out: What was left out, with the reason.
    """

    name: str
    images: ImageList
    captions: tuple[str, ...]
    own: np.ndarray
    left_out: dict[str, str]


def read_karpathy(option: str, where: str, folder: str, partial: bool) -> CaptionedImages:
    """Reads the test split of `dataset_flickr30k.json`, `dataset_coco.json` and the like.

    Args:
        option: The option that has `where`, for messages.
        where: The JSON.
        folder: The images, as they are called in the JSON, with its folders (`val2014`) or without.
        partial: Whether another number than the data set's is only marked.

    Raises:
        InputError: Another layout, no such files, or another number of images or captions than the
            data set has.
    """
    content = _content(option, where)
    entries = [one for one in content["images"] if one.get("split") == SPLIT]
    if not folder or not pathlib.Path(folder).is_dir():
        raise InputError(
            f"{option}: expected the folder of its images in retrieval_images, received "
            f"{folder or 'none'!r}"
        )
    found = [(path, one) for one in entries if (path := _path(folder, one)) is not None]
    name = str(content.get("dataset", pathlib.Path(where).stem))
    expected = COUNTS.get(name, (len(entries), None))
    left_out = check_count(option, len(entries), expected[0], where, partial)
    left_out |= check_count("retrieval_images", len(found), len(entries), folder, partial)
    texts = [[str(sentence["raw"]).strip() for sentence in one["sentences"]] for _, one in found]
    listed = sum(len(one["sentences"]) for one in entries)
    if expected[1] is not None:
        left_out |= check_count(
            f"captions of {option}", listed, expected[1], where, partial, "captions"
        )
    own = np.repeat(np.arange(len(found)), [len(own) for own in texts])
    captions = [text for own in texts for text in own]
    blank = np.array([not text for text in captions], bool)
    if blank.any():
        left_out[f"{blank.sum()} captions"] = "they are blank"
    return CaptionedImages(
        name,
        from_paths(folder, [str(path) for path, _ in found]),
        tuple(text for text in captions if text),
        own[~blank],
        left_out,
    )


def _content(option: str, where: str) -> dict[str, Any]:
    """The JSON, with the parts that are used."""
    try:
        content = json.loads(pathlib.Path(where).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{option}: expected a JSON such as dataset_flickr30k.json, received {where}, which "
            f"cannot be read ({error})"
        ) from None
    images = content.get("images") if isinstance(content, dict) else None
    if not isinstance(images, list) or not images:
        raise InputError(
            f"{option}: expected a list 'images' as in dataset_flickr30k.json, received none in "
            f"{where}"
        )
    for place, one in enumerate(images):
        sentences = one.get("sentences") if isinstance(one, dict) else None
        known = isinstance(sentences, list) and all(
            isinstance(sentence, dict) and "raw" in sentence for sentence in sentences
        )
        if not known or "filename" not in one or "split" not in one:
            raise InputError(
                f"{option}: expected 'filename', 'split' and 'sentences' with 'raw' of each image, "
                f"received image {place} of {where} without"
            )
    if not any(one["split"] == SPLIT for one in images):
        splits = ", ".join(sorted({str(one["split"]) for one in images}))
        raise InputError(f"{option}: expected images of split {SPLIT!r} in {where}, not {splits}")
    return content


def _path(folder: str, image: dict[str, Any]) -> pathlib.Path | None:
    """The file of an image, in the JSON's folder or without it."""
    root, name = pathlib.Path(folder), str(image["filename"])
    places = (root / str(image.get("filepath", "")) / name, root / name)
    return next((path for path in places if path.is_file()), None)
