"""Evaluates an encoder by tasks: on a data directory, probes with labels, measures without.

    python tools/evaluate.py --model=runs/first --data_dir=data/own --output=evaluation
    python tools/evaluate.py --model=SAVED_MODEL --data_dir=data/cifar100 --probes=knn,linear
    python tools/evaluate.py --model=runs/first --checkpoint=all --data_dir=data/own --output=all
    python tools/evaluate.py --model=their.keras --input_range=-1,1 --data_dir=data/own --output=out
    python tools/evaluate.py --compare=runs/first,runs/second --output=comparison

Writes results.json, scores.npz, report.md and report.html into --output. An export's encoder stands
beside the same architecture untrained, or beside the weights that its run started from. Measures
and tasks of your own join by --import. --compare puts evaluations side by side that runs and this
tool have written, and needs no model.
"""

import json
import pathlib
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import command_line
import model_flags
import numpy as np
from absl import flags

from xsample_tf import data, evaluation, text, training
from xsample_tf.errors import InputError
from xsample_tf.evaluation import MEASURES, TASKS
from xsample_tf.files import write_text

# Of features that are held at a time, of all checkpoints that are compared.
_MOST_BYTES = 8 << 30

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint",
    None,
    "Of a run: the name of a checkpoint in place of the export, or all, which compares those kept.",
)
_LAYER = flags.DEFINE_enum(
    "layer",
    None,
    ["encoder", "projection"],
    "Of a run: whether the output of the encoder or of the projector of a checkpoint is evaluated.",
)
_TASKS = flags.DEFINE_list(
    "tasks", ["shards"], "What to evaluate on, by name; shards is --data_dir itself."
)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "A directory that prepare_data wrote.")
_PROBES = flags.DEFINE_list(
    "probes",
    None,
    "Which measures of those that need labels; by default knn,linear. Others take longer.",
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

_COMPARE = flags.DEFINE_list(
    "compare",
    [],
    "Directories of runs or evaluations, with results.json and scores.npz: writes a report.html of "
    "them side by side, the others against the first.",
)

command_line.choose_from(MEASURES, TASKS)


def main() -> None:
    output = _check_flags()
    if _COMPARE.value:
        page = evaluation.comparison_page(_COMPARE.value, _command())
        write_text(output / evaluation.REPORT, page)
        print(f"written: {output / evaluation.REPORT}")
        return
    if _CHECKPOINT.value or _LAYER.value:
        _evaluate_run(output)
    else:
        _evaluate_model(output)


def _evaluate_model(output: pathlib.Path) -> None:
    """Evaluates an export or anyone's model."""
    encoder = model_flags.open_model()
    trained = encoder.encoder()
    settings = _settings(encoder.card.get("image_size"), encoder.model.embed_texts)
    # Of an export in the directory of a run that started from weights that existed.
    run = encoder.saved_model.absolute().parent.parent
    baseline, name = training.read_start(str(run)), evaluation.START
    if baseline is None and trained is not None:
        baseline, name = evaluation.untrained(trained, _SEED.value), evaluation.UNTRAINED
    found = evaluation.run_tasks(encoder, _TASKS.value, settings, baseline, baseline_name=name)
    found.meta["model"] = str(encoder.saved_model)
    _write(output, found, run)


def _evaluate_run(output: pathlib.Path) -> None:
    """Evaluates checkpoints of a run."""
    run, layer = model_flags.MODEL.value, _LAYER.value or "encoder"
    names = {_CHECKPOINT.value: _CHECKPOINT.value}
    if _CHECKPOINT.value == "all":
        names = training.checkpoints_of(run)
    candidates, facts = {}, {}
    for title, name in names.items():
        found, values = training.load_candidate(run, name, layer)
        title = title or values["checkpoint"]
        print(f"model: {run}, checkpoint {title}, step {values['step']:,}, its {layer}")
        candidates[title] = found
        own = {name: values[name] for name in ("checkpoint", "step")}
        facts[title] = {"model": run, **own, "layer": layer}
        if layer == "projection":
            facts[title]["kl_of"] = layer
    first = next(iter(candidates.values()))
    baseline, kind = training.load_start(run, first, layer, _SEED.value)
    settings, results = _settings(values["image_size"]), {}
    for group in _groups(candidates, settings):
        several = evaluation.compare(group, _TASKS.value, settings, baseline, kind)
        for title, found in several.items():
            found.meta.update(facts[title])
            if _CHECKPOINT.value != "all":
                _write(output, found, pathlib.Path(run))
                return
            results[title] = found.as_dict()
            _write_part(output / title, found)
    print(evaluation.comparison(results))
    _write_results(output, {"checkpoints": results})
    report = evaluation.comparison_markdown(results)
    (output / "report.md").write_text(report, encoding="utf-8")
    written = [f"{output}/results.json", "report.md"]
    if len(results) > 1:
        page = evaluation.comparison_page([str(output / title) for title in results], _command())
        write_text(output / evaluation.REPORT, page)
        written.append(evaluation.REPORT)
    print(f"written: {', '.join(written)}, and of each checkpoint results.json and scores.npz")


def _write_results(output: pathlib.Path, results: dict[str, Any]) -> None:
    write_text(output / "results.json", json.dumps(results, indent=1) + "\n")


def _write_part(output: pathlib.Path, found: evaluation.Evaluation) -> None:
    """Writes what a checkpoint is compared by."""
    output.mkdir(exist_ok=True)
    _write_results(output, found.as_dict())
    evaluation.ImageScores.of(found.scores).write(output / "scores.npz")


def _command() -> str:
    return shlex.join(["python", "tools/evaluate.py", *sys.argv[1:]])


def _groups(
    candidates: dict[str, evaluation.Candidate], settings: evaluation.Settings
) -> Iterator[dict[str, evaluation.Candidate]]:
    """Yields as many candidates at a time as have features that fit in memory together."""
    records = 0
    if settings.data_dir is not None:
        dataset = data.read_dataset(settings.data_dir)
        counts = map(dataset.records, dataset.splits)
        records = sum(min(count, settings.limit or count) for count in counts)
    size = max(one.encoder.output_shape[-1] for one in candidates.values())
    at_a_time = max(1, _MOST_BYTES // max(1, 4 * size * records) - 1)  # And the baseline.
    names = list(candidates)
    if len(names) > at_a_time:
        print(f"features: those of {at_a_time} checkpoints at a time fit in memory")
    for start in range(0, len(names), at_a_time):
        yield {name: candidates[name] for name in names[start : start + at_a_time]}


def _settings(
    image_size: int | None, embed_texts: Callable[[Sequence[str]], np.ndarray] | None = None
) -> evaluation.Settings:
    """The settings of the flags."""
    return evaluation.Settings(
        data_dir=_DATA_DIR.value,
        probes=_PROBES.value,
        batch_size=_BATCH_SIZE.value,
        image_size=_IMAGE_SIZE.value or image_size,
        embed_texts=embed_texts,
        embedding=text.load_encoder(_ENCODE_CAPTIONS.value)
        if _ENCODE_CAPTIONS.value
        else _EMBEDDING.value,
        limit=_LIMIT.value,
        seed=_SEED.value,
        values=command_line.entry_values(MEASURES, TASKS),
    )


def _write(output: pathlib.Path, found: evaluation.Evaluation, run: pathlib.Path) -> None:
    """Prints and writes the results of one encoder."""
    results = found.as_dict()
    print(evaluation.table(results))
    _write_results(output, results)
    (output / "report.md").write_text(evaluation.markdown(results), encoding="utf-8")
    written = [f"{output}/results.json", "report.md"]
    written += evaluation.write_report(output, found, model_flags.MODEL.value, run, _command())
    print(f"written: {', '.join(written)}")


def _check_flags() -> pathlib.Path:
    """Checks what can be checked before the model is loaded; returns the directory to write to."""
    if _COMPARE.value and model_flags.MODEL.value:
        raise InputError("--compare: expected no --model, which is evaluated on its own first")
    if not _COMPARE.value:
        _check_model_flags()
    if not _OUTPUT.value:
        raise InputError("--output: expected a directory to write to, received none")
    output = pathlib.Path(_OUTPUT.value)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"--output: cannot make the directory {output}: {error.strerror}"
        ) from None
    return output


def _check_model_flags() -> None:
    model_flags.check()
    given = model_flags.chosen_parts()
    if given and (_CHECKPOINT.value or _LAYER.value):
        raise InputError(
            f"--{given[0]}: chooses of a SavedModel or .keras; leave it out with --checkpoint and "
            "--layer, which take a run's checkpoints"
        )
    if not _TASKS.value:
        raise InputError(f"--tasks: expected some of {', '.join(TASKS.names())}, received none")
    for task in _TASKS.value:
        _ = TASKS[task]
    if not _DATA_DIR.value and "shards" in _TASKS.value:
        raise InputError("--data_dir: expected a directory, received none")


if __name__ == "__main__":
    command_line.run(main, __doc__)
