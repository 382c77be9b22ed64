"""Images that say in their first pixels which classes to guess, and the encoder that reads them."""

import pathlib

import numpy as np

from xsample_tf.data import image_files
from xsample_tf.evaluation import Settings, run_tasks

SIZE = 8
CLASSES = 1000


def picture(*guesses: int, border: int = 0) -> bytes:
    """A PNG of 8 x 8 pixels within a red border, whose first pixels are the guesses in order."""
    pixels = np.zeros([SIZE, SIZE, 3], np.uint8)
    for place, guess in enumerate(guesses):
        pixels[0, place] = (guess // 256, guess % 256, 1)
    framed = np.full([SIZE + 2 * border, SIZE + 2 * border, 3], (255, 0, 0), np.uint8)
    framed[border : border + SIZE, border : border + SIZE] = pixels
    return image_files.encode_png(framed)


def scores_of(images) -> np.ndarray:
    """A classifier's 1,000 outputs: the guesses of each image, its first highest."""
    first = np.round(255 * np.asarray(images)[:, 0]).astype(int)
    result = np.zeros([len(first), CLASSES], np.float32)
    for row, pixels in zip(result, first, strict=True):
        guesses = [high * 256 + low for high, low, mark in pixels if mark]
        row[guesses] = 1 / np.arange(1, len(guesses) + 1)
    return result


def write(folder: pathlib.Path, name: str, *guesses: int, border: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(picture(*guesses, border=border))


def run(task: str, encoder=scores_of, data_dir=None, **values):
    """Evaluates the classifier on a task that may be partial."""
    given = {"imagenet_head": "output", "allow_partial": True} | values
    settings = Settings(
        data_dir, image_size=SIZE, batch_size=16, values=given, log=lambda line: None
    )
    return run_tasks(encoder, [task], settings)
