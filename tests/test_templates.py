import pytest

from xsample_tf import text
from xsample_tf.errors import InputError


def test_names_go_where_the_braces_are():
    names = ["aquarium_fish", "bear", "{0}"]
    assert text.fill_template("a photo of a {}, {x}", names) == [
        "a photo of a aquarium fish, {x}",
        "a photo of a bear, {x}",
        "a photo of a {0}, {x}",
    ]


def test_template_without_braces_is_refused():
    with pytest.raises(InputError, match="'{}'.*'a photo'"):
        text.fill_template("a photo", ["dog"])


def test_blank_class_name_is_refused():
    with pytest.raises(InputError, match="index 1"):
        text.fill_template("a {}", ["dog", "_"])
