"""The settings of an evaluation."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from xsample_tf.data.text_encoder import TextEncoder


@dataclasses.dataclass(frozen=True)
class Settings:
    """What an evaluation is computed from and with; see `evaluate`.

    Attributes:
        data_dir: A data directory. Defaults to None, for tasks that need none.
        probes: Which of the measures that need labels. Defaults to None: all, where there are
            labels.
        batch_size: Images at a time. Defaults to 256.
        image_size: Side of the images in pixels. Defaults to None: the encoder's.
        embedding: Which text encoder's caption vectors, or a text encoder. Defaults to None: those
            that are stored.
        limit: At most so many images of each split of the data directory. Defaults to None: all.
        seed: Seed of the held-out parts of training splits. Defaults to 0.
        temperature: tau of the KL. Defaults to 0.1.
        target_temperature: tau_s of the KL. Defaults to 0.1.
        embed_texts: What the model embeds texts by, beside its images: strings to float `[K, P]`,
            in the space of the encoder's output. Defaults to None: a model of images alone.
        values: Values of the options that measures and tasks declare, by name. Defaults to theirs.
        log: Receives lines on what takes long. Defaults to `print`.
    """

    data_dir: str | None = None
    probes: Sequence[str] | None = None
    batch_size: int = 256
    image_size: int | None = None
    embedding: str | TextEncoder | None = None
    limit: int | None = None
    seed: int = 0
    temperature: float = 0.1
    target_temperature: float = 0.1
    embed_texts: Callable[[Sequence[str]], np.ndarray] | None = None
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    log: Callable[[str], None] = print
