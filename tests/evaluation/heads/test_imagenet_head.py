import numpy as np

from xsample_tf.evaluation import tables
from xsample_tf.evaluation.heads.imagenet import imagenet_places


def test_classes_are_known_by_any_of_their_names():
    places = imagenet_places(["n01443537", "tench", "great white shark", "a thing"])
    assert places[:3].tolist() == [1, 0, 2]
    assert (places[3:] == -1).all()


def test_all_classes_in_order_are_found_by_ids_and_by_the_names_of_prompts():
    classes = tables.imagenet_classes()
    np.testing.assert_array_equal(imagenet_places([one.wnid for one in classes]), range(1000))
    # Two of them are called missile and two sunglasses: their places tell them apart.
    np.testing.assert_array_equal(imagenet_places([one.name for one in classes]), range(1000))
    backwards = [one.wnid for one in reversed(classes)]
    np.testing.assert_array_equal(imagenet_places(backwards), np.arange(1000)[::-1])


def test_a_name_that_two_classes_have_is_nobodys_out_of_its_place():
    assert (imagenet_places(["crane"]) == -1).all()
