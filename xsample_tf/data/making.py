"""One sample -> one record, or the reason why not; and the tally of reasons."""

import collections
import dataclasses
import hashlib
from collections.abc import Callable

from xsample_tf.data import images, records, sources
from xsample_tf.data.writing import Journal
from xsample_tf.errors import InputError

TEMPLATE = "a photo of a {}"  # The paper's, section 4.


@dataclasses.dataclass(frozen=True)
class Made:
    """What became of one sample: a record, or none and the reasons.

    A record may have reasons too: captions that were left out of it.
    """

    key: str
    reasons: tuple[str, ...]
    record: bytes | None = None
    split: str = ""
    captions: int = 0
    encoded_again: bool = False


@dataclasses.dataclass(frozen=True)
class Maker:
    """Turns samples into records; called from many threads.

    Attributes:
        template: Makes class names captions where the source has none.
        validation_fraction: Share of the images that the hash gives to "val".
    """

    template: str
    validation_fraction: float

    def __call__(self, source: sources.Source, prefix: str, sample: sources.Sample) -> Made:
        """Returns the record of a sample of `source`, its key after `prefix`."""
        key = prefix + sample.key
        captions, reasons = _captions(source, sample, self.template)
        if reasons and not captions:
            return Made(key, reasons)
        try:
            image, encoded_again = images.normalize(source.read(sample.image))
        except images.ImageError as error:
            return Made(key, (*reasons, str(error)))
        record = records.serialize(image, key, captions, sample.label)
        return Made(key, reasons, record, self._split(image), len(captions), encoded_again)

    def _split(self, image: bytes) -> str:
        """Splits by content, so that copies of an image are on one side."""
        place = int.from_bytes(hashlib.sha256(image).digest()[:8], "big") / 2.0**64
        return "val" if place < self.validation_fraction else "train"


def _captions(
    source: sources.Source, sample: sources.Sample, template: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the captions of a record, and the reasons why there are fewer than the source has."""
    names = source.classes.names if source.classes else None
    limit = len(names) if names else 1 << 24  # Keras hands labels to losses as float32.
    if sample.label is not None and not 0 <= sample.label < limit:
        return (), ("label_out_of_range",)
    if source.captioned:
        found = [_clean(caption) for caption in sample.captions] or [("", "empty_caption")]
        captions = tuple(caption for caption, reason in found if not reason)
        return captions, tuple(reason for _, reason in found if reason)
    if names is None:
        return (), ()
    if sample.label is None:
        return (), ("empty_label",)
    return (fill(template, names[sample.label]),), ()


def _clean(caption: str) -> tuple[str, str]:
    """Returns a caption with single spaces, or the reason why it cannot be used."""
    try:
        caption.encode()
    except UnicodeEncodeError:  # Surrogate escapes: bytes that were not UTF-8.
        return "", "caption_not_utf8"
    words = " ".join(caption.replace("\0", " ").split())
    return words, "" if words else "empty_caption"


def fill(template: str, class_name: str) -> str:
    """Returns the caption of a class: `template` with the name, underscores as spaces, for {}."""
    return template.replace("{}", class_name.replace("_", " ").strip())


@dataclasses.dataclass
class Tally:
    """What was read, kept and left out, over all blocks.

    Attributes:
        seen: Images of the source.
        kept: Records by split.
        reasons: Images, captions and rows left out, by reason.
        examples: The key of one of them, by reason.
        encoded_again: Records whose image is not the source's file byte for byte.
    """

    seen: int
    kept: collections.Counter
    reasons: collections.Counter
    examples: dict[str, str]
    encoded_again: int

    @classmethod
    def of(
        cls, source: sources.Source, held_out: sources.Source | None, journal: Journal
    ) -> "Tally":
        """Adds up the blocks in the journal and what the sources left out while listing."""
        entries = journal.entries.values()
        tally = cls(0, collections.Counter(), collections.Counter(source.rejected), {}, 0)
        if held_out:
            tally.reasons.update(held_out.rejected)
        tally.seen = tally.reasons.total()
        for entry in entries:
            tally.seen += entry["seen"]
            tally.encoded_again += entry["encoded_again"]
            tally.reasons.update(entry["reasons"])
            tally.examples = entry["examples"] | tally.examples
            for split, shard in entry["shards"].items():
                tally.kept[split] += shard["records"]
        return tally

    def check(self, max_rejected_fraction: float, source: str) -> None:
        """Raises `InputError` when there is too little to train on."""
        left_out = self.seen - self.kept.total()
        found = ", ".join(self._reasons()) or "it is empty"
        if not self.kept["train"]:
            raise InputError(
                f"source: no usable training record in {source}: {found}; once "
                "they are mended, start over with --overwrite"
            )
        if left_out > max_rejected_fraction * self.seen:
            raise InputError(
                f"source: {left_out:,} of {self.seen:,} images of {source} cannot be used, more "
                f"than max_rejected_fraction={max_rejected_fraction:g}: {found}; once they are "
                "mended, start over with --overwrite"
            )

    def log(self, log: Callable[[str], None]) -> None:
        """Logs the yield as a table."""
        for split, count in sorted(self.kept.items()):
            log(f"{split:<24}{count:>12,} records")
        for line in self._reasons():
            log(f"{'left out':<24}{line}")
        if self.encoded_again:
            log(f"{'encoded again':<24}{self.encoded_again:>12,} images")

    def _reasons(self) -> list[str]:
        return [
            f"{reason} {count:,}"
            + (f" ({self.examples[reason]})" if reason in self.examples else "")
            for reason, count in self.reasons.most_common()
        ]
