"""One sample -> one record, or the reason why not; and the tally of reasons."""

import collections
import dataclasses
import hashlib
from collections.abc import Callable, Sequence

from xsample_tf.data import images, records, sources
from xsample_tf.data.quality import FETCH, Quality
from xsample_tf.errors import InputError

TEMPLATE = "a photo of a {}"  # The paper's, section 4.


@dataclasses.dataclass(frozen=True)
class Made:
    """What became of one sample: a record, or none and the reasons.

    A record may have reasons too: captions that were left out of it. `digest` is the hash of the
    source's file.
    """

    key: str
    reasons: tuple[str, ...]
    record: bytes | None = None
    split: str = ""
    captions: int = 0
    encoded_again: bool = False
    digest: bytes = b""


@dataclasses.dataclass(frozen=True)
class Maker:
    """Turns samples into records; called from many threads.

    Attributes:
        template: Makes class names captions where the source has none.
        validation_fraction: Share of the images that the hash gives to "val".
        quality: Rules for captions and images.
    """

    template: str
    validation_fraction: float
    quality: Quality

    def __call__(self, source: sources.Source, prefix: str, sample: sources.Sample) -> Made:
        """Returns the record of a sample of `source`, its key after `prefix`."""
        key = prefix + sample.key
        if sample.fault:
            return Made(key, (sample.fault,))
        captions, reasons = self._captions(source, sample)
        if reasons and not captions:
            return Made(key, reasons)
        try:
            content = source.read(sample.image)
            form = self.quality.form(source.default_resize)
            image, encoded_again = images.normalize(content, form)
        except images.ImageError as error:
            return Made(key, (*reasons, str(error)))
        record = records.serialize(image, key, captions, sample.label)
        digest = hashlib.sha256(content).digest()
        split = self._split(digest)
        return Made(key, reasons, record, split, len(captions), encoded_again, digest)

    def _split(self, digest: bytes) -> str:
        """Splits by content, so that copies of an image are on one side."""
        place = int.from_bytes(digest[:8], "big") / 2.0**64
        return "val" if place < self.validation_fraction else "train"

    def _captions(
        self, source: sources.Source, sample: sources.Sample
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Returns the captions of a record, and the reasons why others are left out."""
        names = source.classes.names if source.classes else None
        limit = len(names) if names else 1 << 24  # Keras hands labels to losses as float32.
        if sample.label is not None and not 0 <= sample.label < limit:
            return (), ("label_out_of_range",)
        if source.captioned:
            found = [self.quality.caption(caption) for caption in sample.captions] or [
                ("", "missing_caption")
            ]
            captions = tuple(caption for caption, reason in found if not reason)
            return captions, tuple(reason for _, reason in found if reason)
        if names is None:
            return (), ()
        if sample.label is None:
            return (), ("empty_label",)
        return (fill(self.template, names[sample.label]),), ()


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
        never_fetched: Links of the source that gave no file; they are in `seen` and `reasons`.
        filtered: Images that filters alone left out.
    """

    seen: int
    kept: collections.Counter
    reasons: collections.Counter
    examples: dict[str, str]
    encoded_again: int
    never_fetched: int
    filtered: int

    @classmethod
    def of(
        cls, source: sources.Source, held_out: sources.Source | None, entries: Sequence[dict]
    ) -> "Tally":
        """Adds up the blocks' entries and what the sources left out while listing."""
        tally = cls(0, collections.Counter(), collections.Counter(source.rejected), {}, 0, 0, 0)
        if held_out:
            tally.reasons.update(held_out.rejected)
        tally.seen = tally.reasons.total()
        tally.never_fetched = sum(
            count for reason, count in tally.reasons.items() if reason.startswith(FETCH)
        )
        for entry in entries:
            tally.seen += entry["seen"]
            tally.encoded_again += entry["encoded_again"]
            tally.filtered += entry["filtered"]
            tally.reasons.update(entry["reasons"])
            tally.examples = entry["examples"] | tally.examples
            for split, shard in entry["shards"].items():
                tally.kept[split] += shard["records"]
        return tally

    def arrange(self, kept: dict[str, int], duplicates: int, example: str) -> None:
        """Takes over what a second pass keeps and leaves out."""
        self.kept = collections.Counter(kept)
        self.filtered += duplicates
        if duplicates:
            self.reasons["duplicate_image"] = duplicates
            self.examples["duplicate_image"] = example

    def check(self, max_rejected_fraction: float, source: str) -> None:
        """Raises `InputError` when there is too little to train on."""
        # Dead links and what was to be left out do not say that the source was misread.
        judged = self.seen - self.never_fetched - self.filtered
        left_out = judged - self.kept.total()
        found = ", ".join(self._reasons()) or "it is empty"
        if not self.kept["train"]:
            raise InputError(
                f"source: no usable training record in {source}: {found}; once "
                "they are mended, start over with --overwrite"
            )
        if left_out > max_rejected_fraction * judged:
            raise InputError(
                f"source: {left_out:,} of {judged:,} images of {source} cannot be used, more "
                f"than max_rejected_fraction={max_rejected_fraction:g}: {found}; once they are "
                "mended, start over with --overwrite"
            )

    def log(self, log: Callable[[str], None]) -> None:
        """Logs the yield as a table."""
        log(f"{'listed':<24}{self.seen:>12,} images")
        for split, count in sorted(self.kept.items()):
            log(f"{split:<24}{count:>12,} records  {count / self.seen:7.2%}")
        for reason, count in self.reasons.most_common():
            example = f"  first {self.examples[reason]}" if reason in self.examples else ""
            log(f"  {reason:<22}{count:>12,} left out {count / self.seen:7.2%}{example}")
        if self.encoded_again:
            log(f"{'encoded again':<24}{self.encoded_again:>12,} images")

    def _reasons(self) -> list[str]:
        return [
            f"{reason} {count:,}"
            + (f" ({self.examples[reason]})" if reason in self.examples else "")
            for reason, count in self.reasons.most_common()
        ]
