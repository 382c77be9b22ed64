"""Directories that sentence-transformers saved, written anew from an oracle's file.

An oracle has what the JSON files say and the shapes of the weights; the weights themselves are
random numbers that their names decide, in PyTorch's environment and in the tests.
"""

import base64
import json
import lzma
import pathlib
import zlib

import numpy as np

ORACLES = pathlib.Path(__file__).parents[1] / "text" / "oracles"
CHARSMAP = "(of unigram.model.xz)"  # Stands for 240 KB in tokenizer.json.


def weights(shapes: dict[str, list[int]]) -> dict[str, np.ndarray]:
    """Returns the tensors of a module by name, the same in every process."""
    return {name: _values(name, shape) for name, shape in shapes.items()}


def _values(name: str, shape: list[int]) -> np.ndarray:
    rng = np.random.default_rng(zlib.crc32(name.split(".", 1)[-1].encode()))
    return rng.normal(0, 0.3, shape).astype(np.float32)


def oracle(name: str) -> dict:
    """Returns the content of an oracle's file."""
    return json.loads((ORACLES / f"{name}.json").read_text(encoding="utf-8"))


def sentencepiece_model() -> bytes:
    """Returns SentencePiece's file of the Unigram tokenizer."""
    return lzma.decompress((ORACLES / "unigram.model.xz").read_bytes())


def write(directory: pathlib.Path, content: dict, charsmap: bytes = b"") -> pathlib.Path:
    """Writes the directory of an oracle, and returns it."""
    import safetensors.numpy

    for name, file in content["files"].items():
        text = json.dumps(file, ensure_ascii=False)
        text = text.replace(CHARSMAP, base64.b64encode(charsmap).decode())
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text, encoding="utf-8")
    for name, shapes in content["tensors"].items():
        metadata = {"format": "pt"}  # PyTorch's readers ask for it.
        safetensors.numpy.save_file(weights(shapes), directory / name, metadata)
    return directory
