"""What a Keras user brings to `fit`: one and the same update, or a line that says why not."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import door
from helpers.strategies import mirrored

from xsample_tf import graphs
from xsample_tf.errors import InputError
from xsample_tf.losses import XSampleContrastiveLoss, contrastive_rows

PIXELS, CAPTIONS = door.pixels(), door.captions()
VIEWS = PIXELS / 255
WEIGHTS = np.linspace(0.0, 3.0, door.ROWS)
LABELS = np.arange(door.ROWS) % 3
SIDE = {"embedding": CAPTIONS, "label": LABELS}

# Form of the data by name, and whether it is weighted.
FORMS = {
    "one tensor": ((VIEWS, {"embedding": CAPTIONS}), False),
    "a tuple, captions alone": (((VIEWS[:, 0], VIEWS[:, 1]), CAPTIONS), False),
    "a dict of uint8": (({"a": PIXELS[:, 0], "b": PIXELS[:, 1]}, SIDE), False),
    "uint8, weights [B, 1]": ((PIXELS, SIDE, WEIGHTS[:, np.newaxis]), True),
    "weights [B]": ((VIEWS, {"embedding": CAPTIONS}, WEIGHTS), True),
}
MODES = {
    "graph": {},
    "xla": {"jit_compile": True},
    "eager": {"run_eagerly": True},
    "graph on 2": {"replicas": 2},
    "xla on 2": {"replicas": 2, "jit_compile": True},
}


@pytest.fixture(scope="module")
def updates():
    """The encoder's weights after one step by hand, not weighted and weighted."""
    found = {}
    for weighted in (False, True):
        encoder = door.encoder("float64")
        with tf.GradientTape() as tape:
            z = tf.reshape(encoder(VIEWS.reshape(-1, 4, 4, 3)), [door.ROWS, 2, 6])
            rows, _ = contrastive_rows(z, tf.constant(CAPTIONS), graphs.CosineGraph())
            loss = tf.reduce_mean(rows * WEIGHTS if weighted else rows)
        variables = encoder.trainable_variables
        gradients = tape.gradient(loss, variables)
        found[weighted] = [
            np.array(v) - door.RATE * np.array(g) for v, g in zip(variables, gradients, strict=True)
        ]
    return found


@pytest.fixture(scope="module", params=MODES)
def trained(request):
    """A model in a mode of execution; each form starts from its first weights."""
    mode = dict(MODES[request.param])
    replicas = mode.pop("replicas", 1)
    with (mirrored(replicas) if replicas > 1 else tf.distribute.get_strategy()).scope():
        return door.model(dtype="float64", compiled=mode)


@pytest.fixture
def float64():
    keras.config.set_floatx("float64")  # Keras brings arrays to it.
    yield
    keras.config.set_floatx("float32")


@pytest.mark.parametrize("form", FORMS)
def test_every_form_takes_the_same_step(trained, updates, float64, form, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", door.Torch)
    data, weighted = FORMS[form]
    first = door.encoder("float64").get_weights()
    if isinstance(data[1], dict):  # Strings must reach neither XLA nor replicas.
        words = np.array([f"photo {i}" for i in range(door.ROWS)])
        data = (data[0], data[1] | {"caption": words}, *data[2:])
    for name, source in door.sources(data).items():
        trained.encoder.set_weights(first)
        trained.fit(**source, verbose=0)
        for ours, expected in zip(trained.encoder.weights, updates[weighted], strict=True):
            np.testing.assert_allclose(np.array(ours), expected, rtol=0, atol=1e-10, err_msg=name)


def test_generators_and_pydatasets_take_the_steps_of_arrays():
    views, captions = door.arrays(24)
    batches = [
        (views[i : i + 8], {"embedding": captions[i : i + 8], "key": tf.constant(["a"] * 8)})
        for i in (0, 8, 16)
    ]

    class Data(keras.utils.PyDataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return batches[index]

    expected = door.model(compiled={"run_eagerly": True})
    expected.fit(views, captions, batch_size=8, shuffle=False, verbose=0)
    of_batches = door.model(compiled={"run_eagerly": True})
    for batch in batches:
        of_batches.train_on_batch(*batch)
    found = [of_batches]
    for source in ((batch for batch in batches), ((*batch, None) for batch in batches), Data()):
        found.append(door.model(compiled={"run_eagerly": True}))
        found[-1].fit(source, shuffle=False, verbose=0)
    for model in found:
        for one, two in zip(door.values(model.encoder), door.values(expected.encoder), strict=True):
            np.testing.assert_allclose(one, two, atol=1e-6)


def test_a_batch_of_arrays_is_shared_by_replicas():
    with mirrored(2).scope():
        ours = door.model()
    alone = door.model(compiled={"run_eagerly": True})
    views, captions = door.arrays()
    for model in (ours, alone):
        model.train_on_batch(views, {"embedding": captions})
    for one, two in zip(door.values(ours.encoder), door.values(alone.encoder), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)
    with pytest.raises(InputError, match="2 replicas share equally, received 7"):
        ours.train_on_batch(views[:7], captions[:7])


def fitted(loss=None, **data):
    model = door.model(loss, compiled={"run_eagerly": True})
    history = model.fit(**{"batch_size": 8, "shuffle": False, "verbose": 0, **data}).history
    return history["loss"][0], door.values(model.encoder)


@pytest.mark.parametrize("side", [LABELS, {"label": LABELS}], ids=["array", "dict"])
def test_class_weights_are_those_of_plain_keras(side):
    views, weights = door.arrays()[0], {0: 0.5, 1: 2.0}  # A class without one weighs 1.
    loss = XSampleContrastiveLoss(graphs.LabelGraph())
    ours = fitted(loss, x=views, y=side, class_weight=weights)
    made = door.encoder()
    plain = door.plain(made, loss, keras.optimizers.SGD(door.RATE), run_eagerly=True)
    expected = plain.fit(
        views, LABELS, class_weight=weights, batch_size=8, shuffle=False, verbose=0
    ).history["loss"][0]
    assert ours[0] == pytest.approx(expected, rel=1e-6)
    for one, two in zip(ours[1], door.values(made), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int64", "uint32", "float16", "bool", "column"])
def test_labels_of_every_dtype_train_alike(dtype):
    labels, views = LABELS % 2, door.arrays()[0]
    loss = XSampleContrastiveLoss(graphs.LabelGraph())
    given = labels[:, np.newaxis] if dtype == "column" else labels.astype(dtype)
    expected, ours = (fitted(loss, x=views, y=label) for label in (labels, given))
    assert ours[0] == expected[0] and np.isfinite(ours[0])
    hot = XSampleContrastiveLoss(graphs.LabelGraph(one_hot=True))
    assert fitted(hot, x=views, y=np.eye(2)[labels])[0] == expected[0]


def test_the_first_steps_values_are_looked_at_once():
    views, captions = door.arrays()
    for bad in (views * 255, views - 1):
        with pytest.raises(InputError, match=r"floats in \[0, 1\].*Rescaling.*input_range=None"):
            fitted(x=bad, y=captions)
        with pytest.raises(InputError, match="expected floats"):
            door.model().evaluate(bad, captions, verbose=0)
    assert np.isfinite(fitted(x=views * 1.05, y=captions)[0])  # As resampling overshoots.
    seen = []

    def batches():
        for i in range(3):
            seen.append(i)
            yield views, captions

    model = door.model(input_range=None, compiled={"run_eagerly": True})
    model.fit(((x * 255, y) for x, y in batches()), verbose=0)
    assert int(model.optimizer.iterations) == len(seen) == 3
    with pytest.raises(InputError, match="input_range: .*received 3"):
        door.model(input_range=3)


def test_uint8_is_scaled_to_the_range_of_the_encoder():
    for given, expected in (((-1, 1), PIXELS / 127.5 - 1), (None, PIXELS.astype("float32"))):
        model = door.model(input_range=given)
        np.testing.assert_allclose(
            model.embed_views(PIXELS), model.embed_views(expected.astype("float32")), atol=1e-4
        )


F32 = {"views": VIEWS.astype("float32"), "captions": CAPTIONS.astype("float32")}


@pytest.mark.parametrize(
    "data, words",
    [
        ((F32["views"][:, 0], CAPTIONS), r"views \[B, V, H, W, 3\].*received \(8, 4, 4, 3\)"),
        (((F32["views"][:, 0], F32["views"][:, 1, :2]), CAPTIONS), "one shape.*8, 2, 4, 3"),
        ((VIEWS[..., :2].astype("float32"), CAPTIONS), r"images \[4, 4, 3\].*8, 2, 4, 4, 2"),
        ((np.moveaxis(F32["views"], -1, 2), CAPTIONS), r"8, 2, 3, 4, 4\); transpose channels"),
        ((PIXELS.astype("int32"), CAPTIONS), "floating or uint8 pixels, received int32"),
        ((F32["views"], CAPTIONS[:7]), r"embedding: .*each of 8 images, received \(7, 5\)"),
        ((F32["views"], CAPTIONS, WEIGHTS[:7]), r"sample_weight: .*8 images, received \(7,\)"),
        ((F32["views"], CAPTIONS, np.ones((8, 2))), r"\[B\] or \[B, 1\].*\(8, 2\)"),
        ((F32["views"], CAPTIONS, {"embedding": WEIGHTS}), "one weight counts for the whole"),
        ((F32["views"], {"label": LABELS}), "'embedding' in the dataset, received label"),
        ((F32["views"],), "'embedding' in the dataset, received nothing"),
        ((F32["views"], (CAPTIONS, LABELS)), "a dict with it, received a tuple of 2"),
        ((F32["views"], np.array(["a photo"] * 8)), "'embedding' as numbers, received strings"),
    ],
)
@pytest.mark.parametrize("eager", [True, False])
def test_what_does_not_fit_is_one_line_with_its_shape(data, words, eager):
    model = door.model(compiled={"run_eagerly": eager})
    with pytest.raises(InputError, match=words) as error:
        model.train_on_batch(*data)
    assert "\n" not in str(error.value)


def test_arrays_that_do_not_fit_are_refused_before_the_first_batch():
    views, captions = door.arrays()
    model = door.model()
    with pytest.raises(InputError, match=r"x \(8, 2, 4, 4, 3\), y .*\(7, 5\)"):
        model.fit(views, {"embedding": captions[:7]}, verbose=0)
    with pytest.raises(InputError, match="sample_weight: expected an array .* received dict"):
        model.fit(views, captions, sample_weight={"embedding": WEIGHTS}, verbose=0)
    with pytest.raises(InputError, match="class_weight: expected a dict"):
        model.fit(views, captions, class_weight=[1, 2], verbose=0)
    with pytest.raises(InputError, match="class_weight: expected 'label' in the dataset"):
        model.fit(views, captions, class_weight={0: 1.0}, verbose=0)
    labels = door.model(XSampleContrastiveLoss(graphs.LabelGraph()))
    with pytest.raises(InputError, match="'label' as numbers, received strings.*StringLookup"):
        labels.fit(views, {"label": np.array(["cat"] * 8)}, verbose=0)
