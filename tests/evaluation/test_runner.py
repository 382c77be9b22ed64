import numpy as np
import pytest
import tensorflow as tf
from helpers.plain_encoders import mean_color

from xsample_tf import evaluation
from xsample_tf.errors import InputError
from xsample_tf.evaluation import Figure, Measure, Outcome, Score, Settings, Task


def run(task, data_dir=None, **settings):
    """Runs the body of a task."""
    made = type("Made", (Task,), {"run": lambda self, runner: task(runner)})
    evaluation.TASKS.register("made")(made)
    given = Settings(data_dir, image_size=16, **settings)
    return evaluation.run_tasks(mean_color, ["made"], given).scores["trained"]


@pytest.mark.parametrize(
    ("images", "received"),
    [
        ({"image": tf.zeros([4, 16, 16, 3], tf.uint8)}, "uint8"),
        ({"image": tf.zeros([4, 20, 20, 3])}, "20, 20, 3"),
        ({"image": tf.zeros([1, 4, 16, 16, 3])}, "4, 16, 16, 3"),
        ({"images": tf.zeros([4, 16, 16, 3])}, "'images'"),
        (tf.zeros([4, 16, 16, 3]), "TensorSpec"),
    ],
)
def test_images_that_the_encoder_would_misread_are_refused(images, received, own_entries):
    with pytest.raises(InputError, match=rf"made: expected .*\[16, 16, 3\].*{received}"):
        run(lambda runner: runner.embed("made", tf.data.Dataset.from_tensor_slices(images)))


def test_labels_and_captions_of_own_images_reach_the_measures(own_entries):
    random = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = np.broadcast_to(np.eye(3)[labels][:, None, None], (60, 16, 16, 3))
    captions = np.eye(4)[labels] + 0.1 * random.normal(size=(60, 4))
    content = {"image": images.astype(np.float32), "label": labels, "embedding": captions}

    def measure(runner):
        part = runner.embed("own", tf.data.Dataset.from_tensor_slices(content))
        return runner.measure(runner.splits(part, part, classes=3))

    scores = run(measure, batch_size=16)
    assert scores["made/knn_top1"].value == scores["made/linear_top1"].value == 1
    assert scores["made/recall_at_10"].value > 0.3


def test_a_head_needs_labels(bare_dir, own_entries):
    with pytest.raises(InputError, match="data_dir: expected labelled images to fit a linear"):
        run(lambda runner: runner.head, bare_dir)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"other": Score(1.0)}, "measure 'faulty': expected figures faulty, received 'other'"),
        ({"faulty": Score(np.nan)}, "measure 'faulty': faulty: expected a finite number.*nan"),
        ({"faulty": Score(1.0, np.inf)}, "measure 'faulty': faulty: expected a finite.*inf"),
        (1.0, "measure 'faulty': expected a dict of Score by figure, received 1.0"),
        ({"faulty": 1.0}, "measure 'faulty': expected a dict of Score"),
        ({"faulty": Score(1.0, None, np.ones(3))}, "expected scores of 48 images, received 3"),
    ],
)
def test_scores_that_nobody_could_use_are_refused(scores, message, data_dir, own_entries):
    @evaluation.MEASURES.register("faulty")
    class Faulty(Measure):
        figures = (Figure("faulty", "faulty"),)

        def run(self, features):
            return scores

    with pytest.raises(InputError, match=message):
        evaluation.evaluate(mean_color, data_dir, probes=[], image_size=16)


def test_a_task_gives_its_own_figures_and_those_of_measures(own_entries):
    with pytest.raises(InputError, match="task 'made': expected figures .*kmeans_nmi.*'top1'"):
        run(lambda runner: Outcome({"top1": Score(1.0)}))
    with pytest.raises(InputError, match="task 'made': expected an Outcome, received 0.5"):
        run(lambda runner: 0.5)
    assert run(lambda runner: Outcome({"knn_top1": Score(0.5)}))["made/knn_top1"].value == 0.5
