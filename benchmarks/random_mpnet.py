"""Writes an MPNet of the size of all-mpnet-base-v2 with random weights, and captions for it.

For text_encoder.py where no trained weights are at hand. Runs in an environment of its own:
pip install torch sentence-transformers

    python benchmarks/random_mpnet.py --vocabulary=BERT_VOCAB.txt --output=models/random-mpnet

Writes the directory as sentence-transformers does, and OUTPUT/captions.csv: 200 captions of 1 to
400 words, so that every length up to the maximum of 384 tokens is there. Seed 0.
"""

import argparse
import csv
import pathlib
import random
import tempfile

import sentence_transformers
import torch
import transformers
from sentence_transformers import models  # By its name in versions 2 to 6.


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vocabulary", required=True, help="vocab.txt of uncased BERT")
    parser.add_argument("--output", required=True, help="the directory to write")
    arguments = parser.parse_args()
    words = pathlib.Path(arguments.vocabulary).read_text(encoding="utf-8").splitlines()
    torch.manual_seed(0)
    config = transformers.MPNetConfig(
        vocab_size=len(words) + 5, max_position_embeddings=514, layer_norm_eps=1e-5
    )
    transformer = transformers.MPNetModel(config)
    with torch.no_grad():  # Away from the initial values, at which most of the model hardly counts.
        for name, parameter in transformer.named_parameters():
            if "relative_attention_bias" in name:
                parameter.normal_(0, 1)
            elif "LayerNorm.weight" in name:
                parameter.normal_(1, 0.2)
            else:
                parameter.normal_(0, 0.05)
    with tempfile.TemporaryDirectory() as folder:
        transformer.save_pretrained(folder)
        vocabulary = ["<s>", "<pad>", "</s>", "<unk>", *words, "<mask>"]
        pathlib.Path(folder, "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
        module = models.Transformer(folder, max_seq_length=384)
        pooling = models.Pooling(config.hidden_size)
        model = sentence_transformers.SentenceTransformer(
            modules=[module, pooling, models.Normalize()], device="cpu"
        )
        model.save(arguments.output)
    _write_captions(pathlib.Path(arguments.output, "captions.csv"), words)


def _write_captions(path: pathlib.Path, words: list[str]) -> None:
    draw = random.Random(0)
    plain = [word for word in words if word.isalpha()]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["caption"])
        for row in range(200):
            writer.writerow([" ".join(draw.choices(plain, k=1 + 2 * row))])


if __name__ == "__main__":
    main()
