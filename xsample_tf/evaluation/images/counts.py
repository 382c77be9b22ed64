"""Whether a data set is whole."""

from xsample_tf.errors import InputError
from xsample_tf.registry import Option

ALLOW_PARTIAL = Option(
    "allow_partial",
    False,
    "Measure data sets that are not whole, and mark their results as such; else they are refused.",
)


def check_count(
    what: str, found: int, expected: int, where: str, partial: bool, unit: str = "images"
) -> dict[str, str]:
    """Returns what to say of a data set that has another number of images than it should.

    Args:
        what: The option that named it, or the data set.
        found: How many there are.
        expected: How many there should be.
        where: Where they were looked for.
        partial: Whether another number is only marked.
        unit: What is counted, in the plural. Defaults to "images".

    Returns:
        An entry of what was left out with its reason, or nothing.

    Raises:
        InputError: Another number where that is not allowed, or none at all.
    """
    if found == expected:
        return {}
    if found and partial:
        return {
            f"{what} is partial": f"{found:,} {unit} instead of {expected:,}, by --allow_partial"
        }
    raise InputError(
        f"{what}: expected {expected:,} {unit}, received {found:,} in {where}; complete the "
        "download" + (", or give --allow_partial to measure those there are" if found else "")
    )
