import pytest

from xsample_tf.errors import InputError
from xsample_tf.text import families
from xsample_tf.text.transformer import check_config


def test_distilberts_keys_are_read():
    config = {"model_type": "distilbert", "dim": 768, "n_heads": 12, "vocab_size": 9}
    settings = families.in_berts_words(config)
    assert (settings["hidden_size"], settings["num_attention_heads"]) == (768, 12)
    with pytest.raises(InputError, match="expected hidden_dim in config.json"):
        check_config(config, "here")


@pytest.mark.parametrize(
    ("config", "first"),
    [
        ({"model_type": "bert", "pad_token_id": 0}, 0),
        ({"model_type": "mpnet", "pad_token_id": 7}, 2),
        ({"model_type": "xlm-roberta", "pad_token_id": 1}, 2),
        ({"model_type": "roberta", "pad_token_id": 4}, 5),
    ],
)
def test_first_position(config, first):
    assert families.first_position(config) == first
