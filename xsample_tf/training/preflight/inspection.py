"""A preflight from a run's options: checks, rates and the verdict."""

import dataclasses
import datetime
import functools
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from xsample_tf.errors import InputError
from xsample_tf.training.execution import compile_step, explained
from xsample_tf.training.options import Options
from xsample_tf.training.preflight import loss_checks, rates, report, step_checks
from xsample_tf.training.preflight.check import Check
from xsample_tf.training.preflight.setting import OpenedRun, open_run

FORMAT = 1  # Of the report.
_CHECKS_END = 120.0  # Seconds after which no group of checks begins, to be done in five minutes.


def inspect(options: Options, log: Callable[[str], None] = print) -> dict[str, Any]:
    """Checks what this machine computes for a run, and measures what limits it.

    Takes up to five minutes on usual machines, and leaves nothing behind. Where there is one
    device, the checks of several replicas run on two logical devices of the CPU, if TensorFlow has
    not started yet: that shows the code to be right, not other devices.

    Args:
        options: The settings of the run.
        log: Where lines for the user go.

    Returns:
        The report, for `json.dumps`:

        - "passed", whether no check failed; "verdict", all in one line; "limit", what limits the
          run: "input", "encoder" or "loss";
        - "checks", each with "name", "status" ("pass", "fail" or "skipped"), "error", "bound" and
          "note";
        - "rates", by part: "pairs_per_second", "batch_size" and "steps", how many were timed;
        - "peak_device_memory", bytes of the fullest GPU, or None;
        - "data", what the images are; "notes", in what this was not the run;
        - "machine", "options", "date", "seconds" and "format".

    Raises:
        InputError: The options or the data cannot be used, as `train` would say, or the batch does
            not fit into memory.

    Example:
        >>> inspect(Options(data_dir=("data/flickr8k",), epochs=10))["passed"]
        True
    """
    begin = time.perf_counter()
    tf32 = tf.config.experimental.tensor_float_32_execution_enabled()
    try:
        with open_run(options, log) as setting:
            machine = report.machine()
            log(report.header(machine, setting))
            tf.config.experimental.enable_tensor_float_32_execution(False)
            checks = []
            for check in _checks(setting, begin + _CHECKS_END):
                checks.append(check)
                log(report.check_row(check))
            tf.config.experimental.enable_tensor_float_32_execution(options.tf32)
            measured = {}
            rates.peak_memory()
            with explained(options):
                for part, rate in rates.measure(setting):
                    measured[part] = rate
                    log(report.rate_row(part, rate))
            peak = rates.peak_memory()
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(tf32)
    result = {
        "format": FORMAT,
        "passed": all(check.status != "fail" for check in checks),
        "verdict": report.verdict(checks, measured),
        "limit": report.limiting(measured)[0],
        "checks": [report.as_json(check) for check in checks],
        "rates": {part: dataclasses.asdict(rate) for part, rate in measured.items()},
        "peak_device_memory": peak,
        "data": setting.images,
        "notes": report.notes(setting, measured),
        "machine": machine,
        "options": options.as_flat(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - begin),
    }
    log(report.footer(result, setting))
    return result


def _checks(setting: OpenedRun, end: float) -> Iterator[Check]:
    """Makes the checks, by groups, until the time is spent."""
    step = functools.cache(functools.partial(step_checks.take_step, setting))
    whole = compile_step(setting.options)[0]
    groups = {
        "loss and gradient": lambda: loss_checks.check_forms(setting),
        "train step": lambda: step_checks.check_replicas(setting, step),
        "XLA": lambda: (
            step_checks.check_compiled(setting, step)
            if whole
            else loss_checks.check_compiled(setting)
        ),
        "reduced precision": lambda: step_checks.check_precision(setting, step),
    }
    for name, make in groups.items():
        if time.perf_counter() > end:
            yield Check(name, note="no time left")
            continue
        try:
            yield from make()
        except InputError:
            raise
        except Exception as error:  # What a device cannot do is a failed check as well.
            first = (str(error).strip().splitlines() or [""])[0][:200]
            yield Check(name, math.nan, note=f"{type(error).__name__}: {first}")
