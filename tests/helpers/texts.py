"""A vocabulary for small data, made in a moment."""

from xsample_tf import data
from xsample_tf.text.tokenizers.padded import RESERVED


def learn(captions, size):
    """All words of the captions, as `text.learn_vocabulary` is called."""
    words = {word for group in captions for caption in group for word in caption.split()}
    return [*RESERVED, *sorted(words)][:size]


def add_vocabulary(directory, size=200):
    data.add_vocabulary(directory, size, learn, log=lambda line: None)
    return directory
