import functools

import numpy as np
import tensorflow as tf
from helpers.plain_encoders import blind

from xsample_tf.evaluation import Settings, fit_linear_probe, run_tasks
from xsample_tf.evaluation.tasks import scenes


def coarse(images) -> np.ndarray:
    """Colours in large cells: they tell the background and the colour, hardly the object."""
    return tf.reshape(tf.nn.avg_pool2d(images, 4, 4, "VALID"), [len(images), -1]).numpy()


def test_scenes_tell_object_attribute_and_background_apart(monkeypatch):
    one_decay = functools.partial(fit_linear_probe, weight_decays=(1e-2,))
    monkeypatch.setattr(scenes, "fit_linear_probe", one_decay)  # The others take time.
    settings = Settings(
        image_size=16, batch_size=100, values={"scenes_count": 300}, log=lambda line: None
    )
    found = run_tasks(coarse, ["scenes"], settings, baseline=blind)
    trained, untrained = (
        {key.removeprefix("scenes/"): score.value for key, score in scores.items()}
        for scores in found.scores.values()
    )
    assert trained["background_top1"] > 0.4 and trained["colour_top1"] > 0.25
    assert untrained["background_top1"] < 0.2
    # Where the object mostly has its own background, such an encoder goes by that.
    assert trained["usual_top1"] > trained["odd_top1"] + 0.2
    assert trained["bg_gap"] == trained["usual_top1"] - trained["odd_top1"]
    score = found.scores["trained"]["scenes/odd_top1"]
    assert len(score.per_image) < 300 and score.chance == 1 / 12
    assert found.meta["tasks"]["scenes"] == {"scenes": 300, "tied": 0.9, "image_size": 16}
