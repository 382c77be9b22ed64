"""Skipped steps: shown, borne up to a share, then the reason and the last good checkpoint."""

import math
import types

import pytest

from xsample_tf.errors import InputError
from xsample_tf.training import Options
from xsample_tf.training.callbacks import LogIntervals


def run(skipped, steps, every, loss=1.0, **options):
    """The progress lines of a run in which an interval has `skipped(first step)` skipped steps."""
    lines, written, drawn = [], [], []
    intervals = LogIntervals(
        logs=types.SimpleNamespace(
            append=written.append, draw=lambda step, values: drawn.append(step)
        ),
        checkpoints=types.SimpleNamespace(newest="checkpoints/step-00000007", step=7),
        options=Options(log_every_steps=every, **options),
        shown=("kl", "loss"),
        first_step=0,
        total_steps=steps,
        steps_per_epoch=steps,
        then=lambda step: None,
        stop=lambda: False,
        log=lines.append,
    )
    intervals.set_model(
        types.SimpleNamespace(
            optimizer=types.SimpleNamespace(learning_rate=0.1),
            metrics_variables=[],
            reset_metrics=lambda: None,
            get_metrics_result=lambda: values,
            seconds_waiting=0.0,
            steps_per_execution=1,
        )
    )
    intervals.on_train_begin()
    for step in range(steps):
        begin = step // every * every
        values = {"loss": loss, "kl": 1.0, "substituted": 0.0, "skipped": skipped(begin)}
        intervals.on_train_batch_end(step, values)
    assert [line["step"] for line in written] == drawn
    return lines


def test_skipped_steps_are_shown_and_borne():
    lines = run(lambda begin: 15 if begin == 0 else 0, steps=100, every=25)
    progress = [line for line in lines if line.startswith("epoch")]
    assert ["skipped 15  " in line for line in progress] == [True, False, False, False]
    assert all("  kl 1.0000  loss 1.0000  " in line for line in progress)
    # Intervals all of whose steps are skipped, as float16 may have at first, have no loss.
    run(lambda begin: 3, steps=6, every=3, loss=math.nan, max_skipped=1.0)


@pytest.mark.parametrize(
    "skipped, steps, every, words",
    [
        (lambda begin: 30, 100, 50, "30 of the 50 steps to step 50"),
        (lambda begin: 3, 99, 3, "27 of the 27 steps to step 27"),  # Short intervals add up,
        (lambda begin: 2, 6, 3, "4 of the 6 steps to step 6"),  # and the end is judged as it is.
    ],
)
def test_too_many_skipped_steps_stop_the_run(skipped, steps, every, words):
    with pytest.raises(InputError, match=rf"{words} were skipped.*max_skipped=0.5.*step-00000007"):
        run(skipped, steps, every)


def test_a_loss_that_is_not_finite_stops_a_run_that_skips_none():
    with pytest.raises(InputError, match="not finite between steps 0 and 5.*step-00000007"):
        run(lambda begin: 0, steps=10, every=5, loss=math.nan)
