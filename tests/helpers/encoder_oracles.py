"""Writes tests/text/oracles: what transformers and sentence-transformers give for small encoders.

Runs in an environment of its own, without xsample_tf:
pip install torch sentence-transformers sentencepiece protobuf

    PYTHONPATH=tests python tests/helpers/encoder_oracles.py

The WordPiece vocabularies come out a little different each time, and their ids with them; the other
oracles are the same again.
"""

import base64
import hashlib
import io
import json
import lzma
import pathlib
import tempfile

import numpy as np
import safetensors
import sentence_transformers
import sentencepiece
import tokenizers
import torch
import transformers
from sentence_transformers import models

from helpers import lines, saved_encoder

TRAINING, CAPTIONS = lines.lines(6000, seed=1, invented=False), lines.lines(1000)
VECTORS = 40  # Captions of which the vectors are kept.
SIZES = {"vocab_size": 800, "pad_token_id": 1}
BERT = SIZES | {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "max_position_embeddings": 66,
}
DISTILBERT = {"dim": 16, "hidden_dim": 24, "n_heads": 2, "n_layers": 2, "vocab_size": 800}


def unigram(folder: pathlib.Path) -> transformers.PreTrainedTokenizerFast:
    """Trains SentencePiece, whose file is XLM-R's, and keeps it."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TRAINING),
        model_writer=model,
        vocab_size=798,
        character_coverage=0.998,
        minloglevel=2,
        num_threads=1,
    )
    (folder / "sentencepiece.bpe.model").write_bytes(model.getvalue())
    packed = lzma.compress(model.getvalue(), preset=9)
    (saved_encoder.ORACLES / "unigram.model.xz").write_bytes(packed)
    return transformers.XLMRobertaTokenizer.from_pretrained(folder)


def word_piece(folder: pathlib.Path, kind: type, lowercase: bool):
    trained = tokenizers.BertWordPieceTokenizer(lowercase=lowercase)
    trained.train_from_iterator(
        TRAINING, vocab_size=800, limit_alphabet=300, show_progress=False, min_frequency=2
    )
    trained.save_model(str(folder))
    return kind.from_pretrained(folder, do_lower_case=lowercase)


def byte_bpe(folder: pathlib.Path) -> transformers.RobertaTokenizer:
    trained = tokenizers.ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trained.train_from_iterator(
        TRAINING, vocab_size=800, special_tokens=special, show_progress=False
    )
    trained.save_model(str(folder))
    return transformers.RobertaTokenizer.from_pretrained(folder)


def save(directory, tokenizer, config, modules=(), pooling="mean", most=64):
    """Saves a random encoder as sentence-transformers does, its weights decided by their names."""
    with tempfile.TemporaryDirectory() as plain:
        model = transformers.AutoModel.from_config(config)
        model.save_pretrained(plain)
        tokenizer.save_pretrained(plain)
        transformer = models.Transformer(plain, max_seq_length=most)
    size = transformer.get_word_embedding_dimension()
    pool = models.Pooling(size, pooling_mode=pooling)
    encoder = sentence_transformers.SentenceTransformer(
        modules=[transformer, pool, *modules], device="cpu"
    )
    encoder.save(str(directory), create_model_card=False)


def record(name, directory: pathlib.Path) -> None:
    files = {
        str(path.relative_to(directory)): json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(directory.rglob("*.json"))
    }
    charsmap = b""
    for part in _parts(files["tokenizer.json"]["normalizer"] or {}):
        if "precompiled_charsmap" in part:
            charsmap = base64.b64decode(part["precompiled_charsmap"])
            part["precompiled_charsmap"] = saved_encoder.CHARSMAP
    tensors = {}
    for path in sorted(directory.rglob("*.safetensors")):
        with safetensors.safe_open(path, "np") as file:
            shapes = {key: file.get_slice(key).get_shape() for key in file.keys()}
        tensors[str(path.relative_to(directory))] = shapes
    content = {"files": files, "tensors": tensors}
    with tempfile.TemporaryDirectory() as folder:
        saved_encoder.write(pathlib.Path(folder), content, charsmap)
        encoder = sentence_transformers.SentenceTransformer(folder, device="cpu")
        rows = encoder.encode(CAPTIONS[:VECTORS], normalize_embeddings=True)
        ids = encoder.tokenizer(CAPTIONS)["input_ids"]
        kind = type(encoder.tokenizer).__name__
    digests = "".join(digest(row) for row in ids)
    written = {
        "versions": {
            m.__name__: m.__version__ for m in (sentence_transformers, transformers, torch)
        },
        "tokenizer": kind,
        "vectors": np.round(rows.astype(np.float64), 7).tolist(),
        "ids": ids[:VECTORS],
        "digests": digests,
    }
    text = json.dumps(content | written, ensure_ascii=False)
    (saved_encoder.ORACLES / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    unknown = np.mean([token == encoder.tokenizer.unk_token_id for row in ids for token in row])
    print(f"{name}: {kind}, {np.mean([len(row) for row in ids]):.1f} tokens, {unknown:.1%} unknown")


def digest(ids: list[int]) -> str:
    """Returns 8 characters that tell the ids of a caption."""
    return hashlib.sha256(" ".join(map(str, ids)).encode()).hexdigest()[:8]


def _parts(normalizer: dict) -> list[dict]:
    return normalizer.get("normalizers", [normalizer])


def main() -> None:
    saved_encoder.ORACLES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, build in BUILDERS.items():
            place = pathlib.Path(folder, name)
            (place / "trained").mkdir(parents=True)
            build(place / "trained", place / "saved")
            record(name, place / "saved")


def _xlm_roberta(trained, saved):
    config = transformers.XLMRobertaConfig(**BERT, type_vocab_size=1, layer_norm_eps=1e-5)
    save(saved, unigram(trained), config, [models.Normalize()])


def _bert_of_xlm_roberta(trained, saved):
    """As paraphrase-multilingual-MiniLM: BERT's layers, XLM-R's tokens, a tokenizer of no class."""
    whole = unigram(trained)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=whole.backend_tokenizer,
        **{f"{name}_token": str(getattr(whole, f"{name}_token")) for name in NAMES},
    )
    dense = models.Dense(16, 12, activation_function=torch.nn.Tanh())
    save(saved, tokenizer, transformers.BertConfig(**BERT), [dense, models.Normalize()])


def _distilbert(trained, saved):
    tokenizer = word_piece(trained, transformers.DistilBertTokenizer, lowercase=False)
    config = transformers.DistilBertConfig(**DISTILBERT, max_position_embeddings=64)
    dense = models.Dense(16, 8, bias=False, activation_function=torch.nn.Identity())
    save(saved, tokenizer, config, [dense])


def _bert(trained, saved):
    tokenizer = word_piece(trained, transformers.BertTokenizer, lowercase=True)
    config = transformers.BertConfig(**BERT | {"pad_token_id": 0})
    save(saved, tokenizer, config, pooling="cls")


def _roberta(trained, saved):
    config = transformers.RobertaConfig(**BERT, type_vocab_size=1, layer_norm_eps=1e-5)
    save(saved, byte_bpe(trained), config, [models.Normalize()])


NAMES = ("cls", "sep", "unk", "pad", "mask", "bos", "eos")
BUILDERS = {
    "xlm-roberta": _xlm_roberta,
    "bert-of-xlm-roberta": _bert_of_xlm_roberta,
    "distilbert": _distilbert,
    "bert": _bert,
    "roberta": _roberta,
}

if __name__ == "__main__":
    main()
