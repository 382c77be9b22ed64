"""Options: what is refused, and how the target temperature is written."""

import pytest

from xsample_tf.errors import InputError
from xsample_tf.training import Options


@pytest.mark.parametrize(
    "values, words",
    [
        ({"backbone": "resnet5"}, "backbone: received 'resnet5', did you mean 'resnet"),
        ({"optimizer": "lar"}, "did you mean 'lars'"),
        ({"graph": "cosin"}, "did you mean 'cosine'"),
        ({"epochs": 3, "steps": 5}, "epochs or steps, received both"),
        ({"batch_size": 1}, "batch_size: expected a number at least 2, received 1"),
        ({"views": 1}, "views: expected at least 2"),
        ({"temperature": 0.0}, "temperature"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"target_temperature": "auto:1.5"}, "between 0 and 1"),
        ({"target_temperature": "warm"}, "'graph', or 'auto:MASS'"),
        ({"target_temperature": -0.1}, "target_temperature"),
        ({"allow_changed": ("learning_rat",)}, "did you mean 'learning_rate'"),
    ],
)
def test_settings_that_cannot_be_used_are_named(values, words):
    with pytest.raises(InputError, match=words):
        Options(**values)


@pytest.mark.parametrize(
    "written, read",
    [
        ("graph", (None, None)),
        ("0.1", (0.1, None)),
        (0.0, (0.0, None)),
        ("auto:0.5", (None, 0.5)),
    ],
)
def test_target_temperature_is_a_number_a_mass_or_the_graphs(written, read):
    assert Options(target_temperature=written).parse_target_temperature() == read
