import numpy as np
import pytest

from xsample_tf.errors import InputError
from xsample_tf.evaluation.heads.zero_shot import zero_shot_scores, zero_shot_weights

WORDS = {"a cat.": [3.0, 4], "the cat": [0.0, 2], "a dog.": [1.0, 0], "the dog": [1.0, 0]}


def embed(texts):
    return np.array([WORDS[text] for text in texts])


def test_each_prompt_counts_alike_and_the_mean_is_a_unit_vector():
    weights = zero_shot_weights(embed, ["cat", "dog"], ["a {}.", "the {}"])
    mean = np.array([0.6 + 0.0, 0.8 + 1.0]) / 2
    np.testing.assert_allclose(weights, [mean / np.linalg.norm(mean), [1, 0]], rtol=1e-6)
    scores = zero_shot_scores(np.array([[5.0, 0]], np.float32), weights)
    np.testing.assert_allclose(scores, [[mean[0] / np.linalg.norm(mean), 1]], rtol=1e-6)


@pytest.mark.parametrize(
    ("templates", "message"),
    [
        ([], "templates: expected one or more"),
        (["a cat."], "expected {} for the class, received 'a cat.'"),
    ],
)
def test_templates_need_a_place_for_the_class(templates, message):
    with pytest.raises(InputError, match=message):
        zero_shot_weights(embed, ["cat"], templates)


def test_images_elsewhere_than_texts_are_told_how_to_get_there():
    with pytest.raises(InputError, match="as vectors of 2, received 3; --output_name=embedding"):
        zero_shot_scores(np.ones([1, 3]), np.ones([4, 2]))
