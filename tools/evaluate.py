"""Evaluates an encoder on a data directory: probes with labels, measures without.

    python tools/evaluate.py --model=runs/first --data_dir=data/own --output=evaluation
    python tools/evaluate.py --model=SAVED_MODEL --data_dir=data/cifar100 --probes=knn,linear

Writes results.json, report.md and neighbours.png into --output. An export's encoder stands beside
the same architecture untrained.
"""

import json
import pathlib

import command_line
from absl import flags

from xsample_tf import evaluation, text
from xsample_tf.errors import InputError, suggest
from xsample_tf.export import load

_MODEL = flags.DEFINE_string(
    "model", None, "A run directory, an export, or a SavedModel of serving_default(images)."
)
_TASKS = flags.DEFINE_list("tasks", ["shards"], "What to evaluate on; shards: --data_dir.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "A directory that prepare_data wrote.")
_PROBES = flags.DEFINE_list(
    "probes", None, "Of knn and linear; by default both where there are labels."
)
_OUTPUT = flags.DEFINE_string("output", None, "Directory for the results.")
_EMBEDDING = flags.DEFINE_string(
    "embedding", None, "Which encoder's caption vectors, where there are several."
)
_ENCODE_CAPTIONS = flags.DEFINE_string(
    "encode_captions", None, "Text encoder's handle, where no vectors are stored."
)
_IMAGE_SIZE = flags.DEFINE_integer(
    "image_size", None, "Side of the images; by default the model card's.", lower_bound=1
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 256, "Images at a time.", lower_bound=1)
_LIMIT = flags.DEFINE_integer("limit", None, "At most so many images of a split.", lower_bound=2)
_SEED = flags.DEFINE_integer("seed", 0, "Of the untrained encoder and of held-out parts.")

TASKS = ("shards",)


def main() -> None:
    for name, value in (("model", _MODEL.value), ("data_dir", _DATA_DIR.value)):
        if not value:
            raise InputError(f"--{name}: expected a directory, received none")
    if not _OUTPUT.value:
        raise InputError("--output: expected a directory to write to, received none")
    for task in _TASKS.value:
        if task not in TASKS:
            raise InputError(f"--tasks: unknown task {task!r}; {suggest(task, TASKS)}")
    output = pathlib.Path(_OUTPUT.value)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"--output: cannot make the directory {output}: {error.strerror}"
        ) from None
    encoder = load(_MODEL.value)
    trained = encoder.encoder()
    size = _IMAGE_SIZE.value or encoder.card.get("image_size")
    results = evaluation.evaluate(
        encoder,
        _DATA_DIR.value,
        probes=_PROBES.value,
        baseline=None if trained is None else evaluation.untrained(trained, _SEED.value),
        batch_size=_BATCH_SIZE.value,
        image_size=size,
        embedding=text.load_encoder(_ENCODE_CAPTIONS.value)
        if _ENCODE_CAPTIONS.value
        else _EMBEDDING.value,
        limit=_LIMIT.value,
        seed=_SEED.value,
    )
    results["meta"]["model"] = str(encoder.saved_model)
    print(evaluation.table(results))
    (output / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    report = evaluation.markdown(results)
    (output / "report.md").write_text(report, encoding="utf-8")
    evaluation.neighbour_sheet(
        encoder, _DATA_DIR.value, output / "neighbours.png", size, batch_size=_BATCH_SIZE.value
    )
    print(f"written: {output}/results.json, report.md, neighbours.png")


if __name__ == "__main__":
    command_line.run(main, __doc__)
