"""Token ids inside TensorFlow graphs, equal to those of Hugging Face's tokenizers."""

from xsample_tf.text.tokenizers.read import read_tokenizer
from xsample_tf.text.tokenizers.tokenizer import Tokenizer

__all__ = ["Tokenizer", "read_tokenizer"]
