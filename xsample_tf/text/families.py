"""Families of encoders that `Transformer` computes: one entry each."""

import dataclasses
from collections.abc import Mapping
from typing import Any

_BERT_ATTENTION = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "attention.output.LayerNorm",
)


@dataclasses.dataclass(frozen=True)
class Family:
    """What sets the encoders of one family apart.

    Attributes:
        tokenizer: Class of the tokenizer in transformers where a directory names none.
        prefix: What may stand before the names of the weights.
        layer: Name of the layers.
        attention: Names in a layer of the query's, key's, value's and output's weights, and of the
            norm after them.
        feed: Names in a layer of the two dense layers after that, and of the norm after them.
        first_position: Row of the first token in the table of positions; None for the one behind
            `pad_token_id` of `config.json`.
        segments: Whether there is a table of token types.
        distances: Whether attention has a bias by the distance of the tokens.
        keys: Keys of `config.json` where they are not BERT's, by BERT's.
    """

    tokenizer: str
    prefix: str
    layer: str = "encoder.layer"
    attention: tuple[str, str, str, str, str] = _BERT_ATTENTION
    feed: tuple[str, str, str] = ("intermediate.dense", "output.dense", "output.LayerNorm")
    first_position: int | None = 0
    segments: bool = True
    distances: bool = False
    keys: Mapping[str, str] = dataclasses.field(default_factory=dict)


FAMILIES = {
    # Devlin et al. 2018, "BERT", Section 3.
    "bert": Family("BertTokenizer", "bert"),
    # Sanh et al. 2019, "DistilBERT".
    "distilbert": Family(
        "DistilBertTokenizer",
        "distilbert",
        layer="transformer.layer",
        attention=(
            "attention.q_lin",
            "attention.k_lin",
            "attention.v_lin",
            "attention.out_lin",
            "sa_layer_norm",
        ),
        feed=("ffn.lin1", "ffn.lin2", "output_layer_norm"),
        segments=False,
        keys={
            "hidden_act": "activation",
            "hidden_size": "dim",
            "intermediate_size": "hidden_dim",
            "num_attention_heads": "n_heads",
            "num_hidden_layers": "n_layers",
        },
    ),
    # Song et al. 2020, "MPNet". Positions count from behind the padding's id, always 1.
    "mpnet": Family(
        "MPNetTokenizer",
        "mpnet",
        attention=(
            "attention.attn.q",
            "attention.attn.k",
            "attention.attn.v",
            "attention.attn.o",
            "attention.LayerNorm",
        ),
        first_position=2,
        segments=False,
        distances=True,
    ),
    # Liu et al. 2019, "RoBERTa".
    "roberta": Family("RobertaTokenizer", "roberta", first_position=None),
    # Conneau et al. 2019, "XLM-R".
    "xlm-roberta": Family("XLMRobertaTokenizer", "roberta", first_position=None),
}


def in_berts_words(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the `config.json` of a known family with the keys of BERT's.

    Example:
        >>> in_berts_words({"model_type": "distilbert", "dim": 768})["hidden_size"]
        768
    """
    keys = FAMILIES[config["model_type"]].keys
    return dict(config) | {key: config[own] for key, own in keys.items() if own in config}


def first_position(config: Mapping[str, Any]) -> int:
    """Returns the row of the first token in a model's table of positions."""
    first = FAMILIES[config["model_type"]].first_position
    return config["pad_token_id"] + 1 if first is None else first
