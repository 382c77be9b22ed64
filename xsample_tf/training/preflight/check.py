"""The result of a check."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Check:
    """What one check found.

    Attributes:
        name: What was compared.
        error: As measured; None where the check was skipped, NaN where it could not be completed.
        bound: The largest error that passes.
        note: Why the check was skipped or not completed, or what else is worth knowing.
    """

    name: str
    error: float | None = None
    bound: float = 0.0
    note: str = ""

    @property
    def status(self) -> str:
        """Either "pass", "fail" or "skipped"."""
        if self.error is None:
            return "skipped"
        return "pass" if self.error <= self.bound else "fail"
