"""The encoder that needs no download: hashed words and their character n-grams."""

import functools
import hashlib
import re
import unicodedata

import numpy as np

from xsample_tf.text.encoder import TextEncoder

SIZE = 384
_WORD_LENGTH = 64  # Characters of a word that count; longer ones are addresses or noise.

# Function words, and the words of prompt templates: they say little about what an image shows.
_STOP_WORDS = frozenset(
    """
    a about above after again against all also am among an and another any are as at away be
    been before behind being below beside between both but by can could did do does doing down
    during each few for from had has have having he her here hers him his how i if in into is it
    its itself just me more most my near next no nor not of off on one onto or other our out
    over own s same she so some such t than that the their them then there these they this those
    through to too toward towards under until up upon us very was we were what when where which
    while who whom why will with within without would you your bad blurry cropped depicting
    depicts displays drawing good image images photo photograph photographs photos pic picture
    pictures rendering scene scenes seen showing shown shows view
    """.split()
)
_STOP_WEIGHT = 0.1


class LexicalEncoder(TextEncoder):
    """Captions that share content words are near; nothing is learned, nothing downloaded.

    A word's vector is, in equal parts, the sign vector that a hash of the word gives (without a
    final s) and the sum of those of its 3- and 4-character pieces, so that "dog" and "dogs" are
    near. A caption's vector is the sum over its distinct words, stop words weighted 0.1. Words that
    share nothing have a cosine of 0 ± 0.05 (1/√T). The same on every machine, in every process.

    Example:
        >>> vectors = LexicalEncoder()(["a red ball", "the red ball", "a sleepy cat"])
        >>> (vectors @ vectors[0]).round(1).tolist()
        [1.0, 1.0, 0.0]
    """

    def __init__(self) -> None:
        super().__init__("lexical", SIZE)

    def _encode(self, captions: list[str]) -> np.ndarray:
        vectors = np.zeros([len(captions), SIZE], np.float32)
        for row, caption in enumerate(captions):
            # Sorted: a sum of floats depends on the order, and word order should not matter.
            for word in sorted(set(_words(caption))):
                vectors[row] += _word_vector(word)
        return vectors


def _words(caption: str) -> list[str]:
    text = unicodedata.normalize("NFKC", caption).casefold()
    return [word[:_WORD_LENGTH] for word in re.findall(r"[^\W_]+", text)]


@functools.lru_cache(maxsize=1 << 15)  # 50 MB when full.
def _word_vector(word: str) -> np.ndarray:
    """Returns the weighted vector of a word, float32 `[T]`; its length is the word's weight."""
    marked = f"<{word}>"  # Marks beginning and end, and no word has these characters.
    pieces = {marked[at : at + size] for size in (3, 4) for at in range(len(marked) - size + 1)}
    spelling = np.sum([_signs(piece) for piece in sorted(pieces)], axis=0, dtype=np.float32)
    stem = word.removesuffix("s") if len(word) > 3 else word  # A plural's hash is its singular's.
    vector = _signs("=" + stem) / np.sqrt(SIZE) + spelling / np.linalg.norm(spelling)
    weight = _STOP_WEIGHT if word in _STOP_WORDS else 1.0
    return (weight * vector / np.linalg.norm(vector)).astype(np.float32)


def _signs(text: str) -> np.ndarray:
    """Returns a vector of ±1, int8 `[T]`, that only the text decides."""
    digest = hashlib.shake_128(text.encode("utf-8", "replace")).digest(SIZE // 8)
    return np.unpackbits(np.frombuffer(digest, np.uint8)).astype(np.int8) * 2 - 1
