import numpy as np
import pytest
import tensorflow as tf

from xsample_tf import text
from xsample_tf.errors import InputError

TEXTS = tf.TensorSpec([None], tf.string)


class Lengths(tf.Module):
    """Strings to (number of bytes, 1), as a module that can be called."""

    def __init__(self):
        super().__init__()
        self.one = tf.Variable(1.0)

    @tf.function(input_signature=[TEXTS])
    def __call__(self, captions):
        sizes = tf.cast(tf.strings.length(captions), tf.float32)
        return tf.stack([sizes, tf.ones_like(sizes) * self.one], axis=1)


class Signatures(tf.Module):
    def __init__(self):
        super().__init__()
        self.lengths = Lengths()

    @tf.function(input_signature=[TEXTS])
    def embed(self, words):
        vectors = self.lengths(words)
        return {"scores": vectors * 0, "embedding": vectors, "count": tf.shape(words)[0]}

    @tf.function(input_signature=[tf.TensorSpec([None, 2])])
    def numbers(self, x):
        return {"y": x}

    @tf.function(input_signature=[TEXTS])
    def ragged(self, x):
        return {"ids": tf.strings.length(x)}


def _check(directory, name=None):
    captions = ["dog", "a", "", "dog", *("x" * n for n in range(2, 300))]
    encoder = text.load_encoder(str(directory))
    vectors = encoder(captions)
    sizes = np.array([len(caption) for caption in captions], np.float64)
    expected = np.stack([sizes, sizes > 0], 1) / np.maximum(np.hypot(sizes, 1), 1)[:, None]
    assert encoder.size == 2 and encoder.name == (name or directory.name)
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_module_that_can_be_called(tmp_path):
    tf.saved_model.save(Lengths(), str(tmp_path / "lengths-1"))
    _check(tmp_path / "lengths-1")


@pytest.mark.parametrize("signature", ["serving_default", "default"])
def test_signature_with_several_outputs(tmp_path, signature):
    model = Signatures()
    tf.saved_model.save(model, str(tmp_path / "model"), signatures={signature: model.embed})
    _check(tmp_path / "model", f"{tmp_path.name}-model")


class List(tf.Module):
    """As Sentence-T5: any shape of strings, a list of one output."""

    def __init__(self):
        super().__init__()
        self.lengths = Lengths()

    @tf.function(input_signature=[tf.TensorSpec(None, tf.string)])
    def __call__(self, inputs):
        return [self.lengths(tf.reshape(inputs, [-1]))]


def test_list_of_one_output(tmp_path):
    tf.saved_model.save(List(), str(tmp_path / "st5"))
    _check(tmp_path / "st5")


def test_module_of_tf1_hub(tmp_path):
    # As Universal Sentence Encoder 1 to 3: no tags, signature "default", a table and a variable.
    directory = tmp_path / "use-3"
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        words = tf.compat.v1.placeholder(tf.string, [None])
        numbers = tf.lookup.KeyValueTensorInitializer(["dog"], [3.0])
        table = tf.lookup.StaticHashTable(numbers, -1.0)
        one = tf.compat.v1.get_variable("one", initializer=1.0, use_resource=False)
        sizes = tf.cast(tf.strings.length(words), tf.float32)
        sizes = tf.where(table.lookup(words) > 0, table.lookup(words), sizes)
        vectors = tf.stack([sizes, tf.ones_like(sizes) * one], 1)
        tables = tf.compat.v1.tables_initializer()
        session.run([tf.compat.v1.global_variables_initializer(), tables])
        signature = tf.compat.v1.saved_model.predict_signature_def(
            {"text": words}, {"default": vectors}
        )
        builder = tf.compat.v1.saved_model.Builder(str(directory))
        builder.add_meta_graph_and_variables(
            session, [], {"default": signature}, main_op=tables, strip_default_attrs=True
        )
        builder.save()
    (directory / "tfhub_module.pb").write_bytes(b"\x08\x03")  # format: 3
    _check(directory)


def test_address_without_network_gives_one_line():
    with pytest.raises(InputError, match="127.0.0.1:9/use/4'.*connection.*local copy") as error:
        text.load_encoder("https://127.0.0.1:9/use/4")
    assert "\n" not in str(error.value)


def test_what_does_not_embed_strings_is_refused(tmp_path):
    model = Signatures()
    signatures = {"serving_default": model.numbers, "default": model.ragged}
    tf.saved_model.save(model, str(tmp_path / "numbers"), signatures=signatures)
    with pytest.raises(InputError, match="numbers.*strings.*serving_default:.*default:") as error:
        text.load_encoder(str(tmp_path / "numbers"))
    assert "\n" not in str(error.value)


def test_model_without_signatures_is_refused(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "empty"))
    with pytest.raises(InputError, match="received signatures none"):
        text.load_encoder(str(tmp_path / "empty"))


def test_damaged_model_is_refused(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"not a graph")
    with pytest.raises(InputError, match="cannot be loaded as a SavedModel") as error:
        text.load_encoder(str(tmp_path))
    assert "\n" not in str(error.value)
