"""Counts what a preparation kept and left out, by reason."""

import collections
import dataclasses
from collections.abc import Callable, Sequence

from xsample_tf.data import sources
from xsample_tf.data.sources.base import FETCH, LEFT_OUT_SPLIT
from xsample_tf.errors import InputError, bounded, listing


@dataclasses.dataclass
class Tally:
    """What was read, kept and left out, over all blocks.

    Attributes:
        seen: Images of the source.
        kept: Records by split.
        reasons: Images, captions and rows left out, by reason.
        examples: One of them, by reason: its key and place.
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
        tally.examples.update(source.examples)
        if held_out:
            tally.reasons.update(held_out.rejected)
            tally.examples = dict(held_out.examples) | tally.examples
        tally.seen = tally.reasons.total()
        # A split that is not used says nothing about whether the source was misread.
        tally.filtered = sum(
            count for reason, count in tally.reasons.items() if reason.startswith(LEFT_OUT_SPLIT)
        )
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
        found = self._reasons() or "it is empty"
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
        seen = max(self.seen, 1)
        for split, count in sorted(self.kept.items()):
            log(f"{split:<24}{count:>12,} records  {count / seen:7.2%}")
        for reason, count in self.reasons.most_common():
            example = f"  first {self.examples[reason]}" if reason in self.examples else ""
            log(bounded(f"  {reason:<22}{count:>12,} left out {count / seen:7.2%}{example}"))
        if self.encoded_again:
            log(f"{'encoded again':<24}{self.encoded_again:>12,} images")

    def _reasons(self) -> str:
        """The counts by reason, and an example of the commonest."""
        counts = self.reasons.most_common()
        found = listing(f"{reason} {count:,}" for reason, count in counts)
        first = self.examples.get(counts[0][0]) if counts else None
        return f"{found}; the first {counts[0][0]} is {first}" if first else found
