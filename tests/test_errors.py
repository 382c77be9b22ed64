"""Messages: one line that is bounded, and lists that are cut."""

import pickle

import pytest

from xsample_tf.errors import InputError, bounded, listing, suggest


def test_a_long_message_keeps_its_beginning_and_its_end():
    error = InputError(f"image: {'x ' * 1000}\n; name it with --image_column")
    text = str(error)
    assert len(text) == 300 and "\n" not in text
    assert text.startswith("image: x x") and text.endswith("; name it with --image_column")
    assert str(InputError("short")) == "short"
    assert bounded("y" * 300) == "y" * 300


def test_a_long_message_keeps_what_stands_between_long_paths():
    path = "/".join(["directory"] * 30)
    text = str(
        InputError(f"source: no record in {path}/t.csv: missing_file 1, the first in {path}")
    )
    assert "/t.csv: missing_file 1, the first in directory/" in text and len(text) <= 300


def test_a_command_behind_a_message_is_whole():
    command = "img2dataset " + "--flag=value " * 50
    error = InputError("m " * 1000, command)
    assert str(error).endswith(command) and len(str(error)) == 300 + len(command)
    again = pickle.loads(pickle.dumps(error))  # Workers of Apache Beam send errors so.
    assert (type(again), str(again)) == (InputError, str(error))


@pytest.mark.parametrize("count", [0, 3, 500])
def test_a_list_shows_what_fits_and_how_many_there_are(count):
    names = [f"column {i}" for i in range(count)]
    text = listing(names, repr)
    if count < 500:
        assert text == ", ".join(map(repr, names))
    else:
        assert text.startswith("'column 0', 'column 1', ") and text.endswith(", ... (500 in all)")
        assert len(text) < 200
    assert len(listing(["long" * 500])) < 60


def test_a_suggestion_is_bounded():
    assert suggest("zzz", [f"name_{i:03d}" for i in range(500)]).endswith("... (500 in all)")
