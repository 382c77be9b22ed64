"""`scores.npz`: the scores of single images, so that evaluations can be compared later."""

import dataclasses
import io
import json
import os
import pathlib
import zipfile
from collections.abc import Mapping

import numpy as np

from xsample_tf.errors import InputError
from xsample_tf.evaluation.results import Score
from xsample_tf.files import write_atomic, writing

NAME = "scores.npz"
_FORMAT = 1


@dataclasses.dataclass(frozen=True)
class ImageScores:
    """The scores of single images of an evaluation.

    Attributes:
        scores: Float32 `[N]` by encoder, "trained" or a baseline, then by figure.
        hashes: Uint64 `[N]` by figure: which images those are, equal for images of equal keys.
            Figures without are those of tasks that do not say so.
    """

    scores: dict[str, dict[str, np.ndarray]]
    hashes: dict[str, np.ndarray]

    @classmethod
    def of(cls, scores: Mapping[str, Mapping[str, Score]]) -> "ImageScores":
        """Returns those of an evaluation's scores, by encoder and figure."""
        values = {
            encoder: {
                name: np.asarray(score.per_image, np.float32)
                for name, score in figures.items()
                if score.per_image is not None
            }
            for encoder, figures in scores.items()
        }
        hashes = {
            name: score.hashes
            for figures in scores.values()
            for name, score in figures.items()
            if score.per_image is not None and score.hashes is not None
        }
        return cls(values, hashes)

    def in_one_order(self) -> "ImageScores":
        """Returns the same with places in place of hashes where there are none.

        Encoders of one evaluation are scored on the same images in the same order.
        """
        places = {
            name: np.arange(len(values), dtype=np.uint64)
            for figures in self.scores.values()
            for name, values in figures.items()
        }
        return ImageScores(self.scores, places | self.hashes)

    def write(self, path: str | os.PathLike) -> None:
        """Writes them as an `.npz` of NumPy, which has no pickled objects.

        Scores stand under `ENCODER:FIGURE`, hashes under `images:NUMBER`, once for all figures of
        the same images, and "index" says in JSON which number a figure has.
        """
        sets: dict[bytes, int] = {}
        index = {
            name: sets.setdefault(hashes.tobytes(), len(sets))
            for name, hashes in self.hashes.items()
        }
        arrays = {
            f"images:{number}": np.frombuffer(content, np.uint64)
            for content, number in sets.items()
        }
        arrays |= {
            f"{encoder}:{name}": values
            for encoder, figures in self.scores.items()
            for name, values in figures.items()
        }
        head = json.dumps({"format": _FORMAT, "images": index})
        content = io.BytesIO()
        np.savez_compressed(content, index=np.array(head), **arrays)
        with writing(pathlib.Path(path), setting="output"):
            write_atomic(pathlib.Path(path), content.getvalue())

    @classmethod
    def read(cls, path: str | os.PathLike) -> "ImageScores":
        """Reads what `write` wrote.

        Raises:
            InputError: No such file, a damaged one, or one of another version.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = dict(file)
            head = json.loads(str(arrays.pop("index")))
            if head["format"] != _FORMAT:
                raise InputError(
                    f"{path}: expected scores of format {_FORMAT}, received {head['format']}; "
                    "evaluate again"
                )
            sets = {name: arrays.pop(name) for name in list(arrays) if name.startswith("images:")}
            scores: dict[str, dict[str, np.ndarray]] = {}
            for key, values in arrays.items():
                encoder, _, name = key.partition(":")
                scores.setdefault(encoder, {})[name] = values
            hashes = {name: sets[f"images:{number}"] for name, number in head["images"].items()}
        except FileNotFoundError:
            raise InputError(
                f"{path}: expected the scores of an evaluation, found none; tools/evaluate.py "
                "--model=RUN writes them"
            ) from None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{path}: expected the scores of an evaluation, received a file that cannot be "
                f"read ({error}); evaluate again"
            ) from error
        return cls(scores, hashes)
