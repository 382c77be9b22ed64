"""Writes tests/text/mpnet_oracle.json: sentence-transformers' vectors of the tiny MPNet.

Runs in an environment of its own, without xsample_tf: pip install torch sentence-transformers

    PYTHONPATH=tests python tests/helpers/mpnet_oracle.py
"""

import json
import pathlib
import tempfile

import sentence_transformers
import torch
import transformers

from helpers import tiny_encoder

CAPTIONS = [
    "a",
    "A Dog running on grass.",
    "dogs, dogs, dogs",
    "CAFÉ café",
    "an unknown dog, <pad and mask>",
    "狗 on grass",
    "a dog on grass, " * 8,
    "dogs running. " * 20,  # 100 tokens: every bucket of the distances but the last.
    "dog grass a run " * 60,  # Cut at 160 tokens.
]
OUTPUT = pathlib.Path(__file__).parents[1] / "text" / "mpnet_oracle.json"


def main() -> None:
    torch.set_default_dtype(torch.float32)
    vectors = {}
    for pooling in ("mean", "cls"):
        with tempfile.TemporaryDirectory() as directory:
            path = tiny_encoder.write(
                pathlib.Path(directory), pooling, max_length=160, family="mpnet"
            )
            model = sentence_transformers.SentenceTransformer(str(path), device="cpu")
            assert isinstance(model[0].auto_model, transformers.MPNetModel)
            rows = model.encode(CAPTIONS, normalize_embeddings=True).tolist()
            vectors[pooling] = [[round(value, 7) for value in row] for row in rows]
    versions = {
        "sentence-transformers": sentence_transformers.__version__,
        "transformers": transformers.__version__,
        "torch": torch.__version__,
    }
    content = {"versions": versions, "captions": CAPTIONS, "vectors": vectors}
    OUTPUT.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
