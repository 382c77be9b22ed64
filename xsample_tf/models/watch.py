"""What `fit` says while it trains: of the target, of skipped steps, of captions without values."""

import math
import threading
import warnings
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.graphs.inspection import OWN_MASS_RANGE

# Fewer steps say little about the share of skipped ones: float16 skips some at first.
_WINDOW = 50
# Captions that are named before the rest is passed over.
_MOST_NAMED = 10


class Watch(keras.callbacks.Callback):
    """Warns of an extreme target after the first step, and looks at the share of skipped ones.

    Args:
        max_skipped: Largest share of steps that may be skipped before `fit` ends with an
            `InputError`; None warns of any, but those that float16's scale needs.
    """

    # Else Keras would wait for every step, to hand on its logs.
    async_safe = True

    def __init__(self, max_skipped: float | None):
        super().__init__()
        if max_skipped is not None and not 0 <= max_skipped <= 1:
            raise InputError(
                f"max_skipped: expected a share of the steps from 0 to 1 or None, received "
                f"{max_skipped!r}"
            )
        self._max_skipped = max_skipped
        self._target_seen = self._warned = False
        self._lock = threading.Lock()  # Keras may hand on several steps at once, in any order.

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Starts to count anew, as the metrics do."""
        self._steps = 0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks at the first step's target, and now and then at the share of skipped steps."""
        if logs is None or "own_mass" not in logs:
            return
        with self._lock:
            before, self._steps = self._steps, max(self._steps, batch + 1)
            if not self._target_seen and not float(logs["skipped"]):
                self._target_seen = True
                warn_of_target(self.model.loss, float(logs["own_mass"]))
            if self._max_skipped is not None and before // _WINDOW < self._steps // _WINDOW:
                self._check(float(logs["skipped"]))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks at the share of skipped steps of the epoch."""
        self.model.unusable_captions.look()
        if logs and "skipped" in logs:
            self._check(float(logs["skipped"]))

    def _check(self, skipped: float) -> None:
        text = (
            f"loss: {skipped:.0f} of {self._steps} steps were skipped, since the loss or a "
            "gradient was not finite"
        )
        if self._max_skipped is not None:
            if skipped > self._max_skipped * self._steps:
                raise InputError(
                    f"{text}, more than max_skipped={self._max_skipped:g}; look for labels that "
                    "are not valid and pixels that are not finite, or lower the learning rate"
                )
        elif skipped and not self._warned and not hasattr(self.model.optimizer, "dynamic_scale"):
            self._warned = True
            warnings.warn(f"{text}; fit(max_skipped=0) ends there", stacklevel=2)


def warn_of_target(loss: Any, own_mass: float) -> None:
    """Warns where captions leave an image's own views almost all of the target, or hardly any."""
    low, high = OWN_MASS_RANGE
    graph = getattr(loss, "graph", None)
    if not getattr(graph, "of_captions", False) or low <= own_mass <= high:
        return
    given = loss.target_temperature
    temperature = graph.target_temperature if given is None else given
    texts = getattr(loss, "sides", 1) == 2
    own, other, sides = ("text", "CLIP", ", sides=2") if texts else ("other views", "SimCLR", "")
    warnings.warn(
        f"target: temperature {temperature:g} leaves {own_mass:.2f} of the mass on an image's own "
        f"{own}, outside of {low:g} to {high:g}, so that it "
        + (f"hardly ranks {'it' if texts else 'them'} first" if own_mass < low else "")
        + (f"hardly differs from {other}'s" if own_mass > high else "")
        + "; choose it by this mass: target_temperature=losses.solve_target_temperature(graph, "
        f"captions_of_a_batch, 0.5{sides})",
        stacklevel=2,
    )


class Captions:
    """Names images whose caption vectors are not finite, once each, without waiting for a step."""

    def __init__(self):
        self._waiting: tuple[Any, Any] | None = None
        self._named: set[str] = set()

    def take(self, missing: list[Any], keys: list[Any] | None) -> None:
        """Looks at the step before this one, which is done.

        Args:
            missing: For each replica, bool `[b]`.
            keys: For each replica, strings `[b]`, where they are known.
        """
        self.look()
        if len(self._named) < _MOST_NAMED:
            self._waiting = missing, keys

    def look(self) -> None:
        """Looks at the last step that was taken in."""
        if self._waiting is None:
            return
        missing, keys = self._waiting
        self._waiting = None
        rows = np.concatenate([np.asarray(part) for part in missing])
        if not rows.any():
            return
        names = None if keys is None else np.concatenate([np.asarray(part) for part in keys])
        for row in np.flatnonzero(rows):
            name = "" if names is None else _text(names[row])
            if name in self._named or len(self._named) >= _MOST_NAMED:
                continue
            self._named.add(name)
            image = f"image {name!r}" if name else "an image"
            warnings.warn(
                f"embedding: the caption vector of {image}, row {row} of a batch of {len(rows)}, "
                "is NaN or infinite; the image is treated as one without a caption",
                stacklevel=2,
            )


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def with_nan(logs: dict[str, Any], bad: tf.Tensor) -> dict[str, Any]:
    """The logs, with a loss of NaN where this step's was not finite: for `TerminateOnNaN`."""
    return {**logs, "loss": tf.where(bad, tf.cast(math.nan, logs["loss"].dtype), logs["loss"])}
