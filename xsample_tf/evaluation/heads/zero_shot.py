"""Classification by the names of the classes, for models that embed texts beside images."""

from collections.abc import Callable, Sequence

import numpy as np

from xsample_tf.arrays import unit_rows
from xsample_tf.errors import InputError
from xsample_tf.evaluation.runner import Runner

_BATCH = 512  # Texts at a time.


def check_texts(runner: Runner, what: str) -> None:
    """Raises `InputError` where the model embeds no texts."""
    if runner.embed_texts is None:
        raise InputError(
            f"{what}: expected a model of images and texts, whose SavedModel has a signature "
            "embed_text, received one of images alone; --probes=linear fits a classifier"
        )


def zero_shot_scores(embeddings: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns cosines float32 `[N, C]` of images `[N, P]` and classes `[C, P]`.

    Raises:
        InputError: Images that are not where texts are.
    """
    if embeddings.shape[1] != weights.shape[1]:
        raise InputError(
            f"zero_shot: expected images among the texts, as vectors of {weights.shape[1]}, "
            f"received {embeddings.shape[1]}; --output_name=embedding takes an export's"
        )
    return unit_rows(embeddings) @ weights.T


def zero_shot_weights(
    embed: Callable[[Sequence[str]], np.ndarray], names: Sequence[str], templates: Sequence[str]
) -> np.ndarray:
    """Returns a unit vector of each class: that of the mean of the unit vectors of its prompts.

    Args:
        embed: Strings to float `[K, P]`.
        names: Of the C classes.
        templates: Prompts with `{}` for the class.

    Returns:
        Float32 `[C, P]`; a class's score is its product with an image's vector.

    Raises:
        InputError: No template, one without `{}`, or vectors of another number.

    Example:
        >>> zero_shot_weights(embed, ["cat", "dog"], ["a photo of a {}.", "a drawing of a {}."])
    """
    for template in templates:
        if "{}" not in template:
            raise InputError(f"templates: expected {{}} for the class, received {template!r}")
    if not templates:
        raise InputError("templates: expected one or more, received none")
    prompts = [template.replace("{}", name) for name in names for template in templates]
    parts = [
        np.asarray(embed(prompts[start : start + _BATCH]), np.float32)
        for start in range(0, len(prompts), _BATCH)
    ]
    vectors = np.concatenate(parts)
    if vectors.ndim != 2 or len(vectors) != len(prompts):
        raise InputError(
            f"embed_text: expected a vector for each of {len(prompts)} texts, received "
            f"{vectors.shape}"
        )
    means = unit_rows(vectors).reshape(len(names), len(templates), -1).mean(axis=1)
    return unit_rows(means)
