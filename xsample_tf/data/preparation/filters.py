"""What is mended in captions and images, and which of them are left out, by reason."""

import dataclasses
import re

from xsample_tf.data import image_files
from xsample_tf.errors import InputError

ARROW = "=>"
# What a filter leaves out says nothing about whether the source was read as it should be.
_FILTERED = {
    "too_small",
    "extreme_aspect",
    "duplicate_image",
    "already_there",
    "short_caption",
    "long_caption",
}


@dataclasses.dataclass(frozen=True)
class Quality:
    r"""Rules for captions and images.

    Attributes:
        caption_rules: Each "PATTERN=>REPLACEMENT", a regular expression and what takes its place
            (`\1` is the first group), applied in this order. White space is made single spaces
            after them in any case.
        min_words: Words below which a caption is left out ("short_caption").
        max_words: Words above which it is ("long_caption"); None sets no limit.
        min_side: Pixels of the shorter side below which an image is left out ("too_small").
        max_aspect: Longer over shorter side above which it is ("extreme_aspect"); None: no limit.
        deduplicate: Whether of the files with the same bytes only the first is kept, in the order
            of the source ("duplicate_image"); one of its validation split too.
        resize: Shorter side that larger images are brought to, encoded again as JPEG; smaller ones
            stay as they are; 0 keeps all; None is 256 for web archives and else 0.
        jpeg_quality: Of what is resized.

    Raises:
        InputError: a rule that is none, or a number out of range.

    Example:
        >>> Quality(caption_rules=("<PERSON>=>person",)).caption("<PERSON> at  sea")
        ('person at sea', '')
    """

    caption_rules: tuple[str, ...] = ()
    min_words: int = 1
    max_words: int | None = None
    min_side: int = image_files.MIN_SIDE
    max_aspect: float | None = None
    deduplicate: bool = False
    resize: int | None = None
    jpeg_quality: int = 90

    def __post_init__(self):
        object.__setattr__(self, "_rules", tuple(_rule(text) for text in self.caption_rules))
        fewest = self.min_words
        for name, value, right, expected in (
            ("min_words", fewest, fewest >= 1, "at least 1"),
            ("max_words", self.max_words, (self.max_words or fewest) >= fewest, f"from {fewest}"),
            ("min_side", self.min_side, self.min_side >= 1, "at least 1 pixel"),
            ("max_aspect", self.max_aspect, (self.max_aspect or 1) >= 1, "at least 1"),
            ("resize", self.resize, (self.resize or 0) >= 0, "pixels, or 0 to keep the size"),
            ("jpeg_quality", self.jpeg_quality, 1 <= self.jpeg_quality <= 100, "1 to 100"),
        ):
            if not right:
                raise InputError(f"{name}: expected {expected}, received {value!r}")

    def form(self, default_resize: int) -> image_files.ImageRules:
        """Returns what is made of the images of a source with this default."""
        resize = default_resize if self.resize is None else self.resize
        return image_files.ImageRules(self.min_side, self.max_aspect, resize, self.jpeg_quality)

    def caption(self, text: str) -> tuple[str, str]:
        """Returns a caption mended, or "" and the reason why it is left out."""
        try:
            text.encode()
        except UnicodeEncodeError:  # Surrogate escapes: bytes that were not UTF-8.
            return "", "caption_not_utf8"
        for pattern, replacement in self._rules:
            text = pattern.sub(replacement, text)
        words = text.replace("\0", " ").split()
        if not words:
            return "", "empty_caption"
        if len(words) < self.min_words:
            return "", "short_caption"
        if self.max_words and len(words) > self.max_words:
            return "", "long_caption"
        return " ".join(words), ""

    def changed(self) -> dict | None:
        """Returns the values that are not the defaults, as JSON has them; None if all are."""
        found = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        }
        if self.caption_rules:
            found["caption_rules"] = list(self.caption_rules)
        return found or None


def filtered(reasons: tuple[str, ...]) -> bool:
    """Whether filters alone left an image out."""
    return all(reason in _FILTERED for reason in reasons)


def _rule(text: str) -> tuple[re.Pattern, str]:
    pattern, arrow, replacement = text.partition(ARROW)
    if not (pattern and arrow):
        raise InputError(
            f"caption_rule: expected PATTERN{ARROW}REPLACEMENT such as '<PERSON>{ARROW}person', "
            f"received {text!r}"
        )
    try:
        compiled = re.compile(pattern)
        compiled.sub(replacement, "")  # Parses the replacement.
    except (re.error, IndexError) as error:
        raise InputError(f"caption_rule: cannot use {text!r}: {error}") from error
    return compiled, replacement
