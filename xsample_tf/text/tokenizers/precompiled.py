"""SentencePiece's compiled rules that normalize a text, applied as Hugging Face applies them.

SentencePiece takes the longest rule that fits at each place. Hugging Face's tokenizers take a
cluster (a character with its accents) of less than six bytes as one, the shortest rule that fits
its beginning, and else each character alone, so that か with a separate accent, and ﾊ with ﾟ, are
not put together. A model's own ids are those of the latter.
"""

import numpy as np
import tensorflow as tf

_LARGEST_CLUSTER = 5  # Bytes of those that are taken as one.
_NO_RULE = b"\xff"  # No text has that byte.
# What belongs to the character before it (Unicode's Annex 29, clusters of up to five bytes), and
# after what nothing does.
_MARK = (
    r"[\p{M}\x{200C}\x{200D}\x{E33}\x{EB3}\x{FF9E}\x{FF9F}\x{1F3FB}-\x{1F3FF}\x{E0020}-\x{E007F}]"
)
_CONTROL = r"[\p{C}\p{Zl}\p{Zp}]"


class Precompiled(tf.Module):
    """Rules in a graph.

    Args:
        charsmap: The rules, as a SentencePiece model or `precompiled_charsmap` has them.

    Raises:
        ValueError: They are damaged.

    Example:
        >>> Precompiled(charsmap)(tf.constant(["ﬁne"])).numpy()
        array([b'fine'], dtype=object)
    """

    def __init__(self, charsmap: bytes) -> None:
        super().__init__()
        found = rules(charsmap)
        self._rules = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                list(found), list(found.values()), tf.string, tf.string
            ),
            _NO_RULE,
        )

    def __call__(self, captions: tf.Tensor) -> tf.Tensor:
        """Returns K normalized captions, UTF-8 `[K]`."""
        characters = tf.strings.unicode_split(captions, "UTF-8")
        flat = characters.flat_values
        alone = self._rules.lookup(flat)
        normalized = tf.where(alone == _NO_RULE, flat, alone)
        first = _first_of_cluster(characters)
        cluster = tf.cumsum(tf.cast(first, tf.int32)) - 1
        whole, rule = self._of_clusters(flat, first, cluster)
        normalized = tf.where(whole, tf.where(first, rule, ""), normalized)
        return tf.strings.reduce_join(characters.with_flat_values(normalized), axis=1)

    def _of_clusters(
        self, flat: tf.Tensor, first: tf.Tensor, cluster: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns whether a rule takes the whole cluster of each of N characters, and its result.

        Args:
            flat: N characters.
            first: Whether each begins a cluster.
            cluster: The cluster of each, int32 `[N]`, counted from 0.
        """
        size = tf.math.segment_sum(tf.strings.length(flat), cluster)
        count = tf.math.segment_sum(tf.ones_like(cluster), cluster)
        several = tf.where((count > 1) & (size <= _LARGEST_CLUSTER))[:, 0]
        starts = tf.gather(tf.where(first)[:, 0], several)
        rule = tf.fill(tf.shape(starts), _NO_RULE)
        text = tf.fill(tf.shape(starts), "")
        for place in range(3):  # No more fit into five bytes.
            inside = place < tf.gather(count, several)
            next_place = tf.where(inside, starts + place, starts)
            text = tf.strings.join([text, tf.where(inside, tf.gather(flat, next_place), "")])
            rule = tf.where((rule == _NO_RULE) & inside, self._rules.lookup(text), rule)
        of_cluster = tf.tensor_scatter_nd_update(
            tf.fill(tf.shape(size), _NO_RULE), several[:, None], rule
        )
        of_character = tf.gather(of_cluster, cluster)
        return of_character != _NO_RULE, of_character


def _first_of_cluster(characters: tf.RaggedTensor) -> tf.Tensor:
    """Returns whether each character begins a cluster, bool `[N]`."""
    flat = characters.flat_values
    mark = tf.strings.regex_full_match(flat, _MARK)
    control = tf.strings.regex_full_match(flat, _CONTROL) & ~mark
    after_control = tf.concat([[True], control[:-1]], 0)[: tf.size(control)]
    starts = tf.boolean_mask(characters.row_starts(), characters.row_lengths() > 0)
    first_of_row = tf.scatter_nd(
        starts[:, None], tf.ones_like(starts, tf.int32), [tf.size(flat, tf.int64)]
    )
    return ~mark | after_control | (first_of_row > 0)


def rules(charsmap: bytes) -> dict[str, str]:
    """Returns what each text becomes that no shorter rule begins, up to five bytes long.

    The format is the size of a trie, the trie (a double array as darts-clone has it, a node's
    children at its offset XOR their byte) and the results, which end with a zero byte.

    Raises:
        ValueError: The rules are damaged.
    """
    size = int.from_bytes(charsmap[:4], "little")
    if not 0 < size <= len(charsmap) - 4 or size % 4:
        raise ValueError(f"a trie of {size} bytes")
    units, results = np.frombuffer(charsmap[4 : 4 + size], "<u4"), charsmap[4 + size :]
    labels = units & 0x800000FF
    offsets = (units >> 10) << ((units >> 6) & 8)
    found, waiting, every_byte = {}, [(b"", int(offsets[0]))], np.arange(256)
    while waiting:
        key, offset = waiting.pop()
        children = offset ^ every_byte
        inside = children < len(units)
        present = inside & (labels[np.where(inside, children, 0)] == every_byte)
        for byte in np.flatnonzero(present[1:]) + 1:
            child = offset ^ int(byte)
            below, place = key + bytes([byte]), child ^ int(offsets[child])
            if units[child] >> 8 & 1:
                start = int(units[place] & 0x7FFFFFFF)
                found[below.decode()] = results[start : results.index(b"\0", start)].decode()
            elif len(below) < _LARGEST_CLUSTER:
                waiting.append((below, place))
    return found


def without_rules() -> bytes:
    """Returns rules that change no text: SentencePiece writes a line to stderr where it has none.

    The one rule is that the character 1 becomes itself.
    """
    units = np.zeros(256, "<u4")
    units[0] = 2 << 10  # The root, whose child of byte 1 is at 2 XOR 1.
    units[3] = 1 | 1 << 8 | 7 << 10  # That child; it has a result, at 3 XOR 7.
    units[4] = 1 << 31  # The result's start, 0.
    return units.nbytes.to_bytes(4, "little") + units.tobytes() + b"\x01\0"
