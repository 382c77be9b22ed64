"""Habits of Keras users, each with the value of plain Keras or a line that says what to do."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import door
from helpers.strategies import mirrored

from xsample_tf import evaluation, graphs
from xsample_tf.data import views
from xsample_tf.errors import InputError
from xsample_tf.losses import XSampleContrastiveLoss
from xsample_tf.models import XSampleModel

EAGER = {"run_eagerly": True}
FED = {"batch_size": door.ROWS, "shuffle": False, "verbose": 0}
LABELLED = XSampleContrastiveLoss(graphs.LabelGraph())
VIEWS, CAPTIONS = door.arrays(32)
LABELS = np.arange(32) % 4


def adam():
    return keras.optimizers.Adam(0.01)


def assert_same(ours, expected, tolerance=1e-6):
    for one, two in zip(door.values(ours), door.values(expected), strict=True):
        np.testing.assert_allclose(one, two, atol=tolerance)


def pandas_columns():
    pandas = pytest.importorskip("pandas")
    column = pandas.Series(LABELS, index=np.arange(100, 132))
    return [column, column.astype("category"), column.astype("Int64"), column.to_frame("label")]


@pytest.mark.parametrize("as_dict", [False, True])
def test_columns_of_pandas_are_their_arrays(as_dict):
    pandas = pytest.importorskip("pandas")
    model = door.model(LABELLED, compiled=EAGER)
    expected = model.evaluate(VIEWS, LABELS, batch_size=8, verbose=0)[0]
    for column in pandas_columns():
        given = {"label": column} if as_dict else column
        assert model.evaluate(VIEWS, given, batch_size=8, verbose=0)[0] == expected
    words = pandas.Series(list("abcd") * 8)
    for column in (words, words.astype("category"), words.to_numpy(), words.to_numpy("U1")):
        with pytest.raises(InputError, match="'label' as numbers, received strings"):
            model.fit(VIEWS, {"label": column} if as_dict else column, **FED)
    with pytest.raises(InputError, match="received datetime64"):
        model.fit(VIEWS, pandas.Series(pandas.date_range("2020", periods=32)), **FED)


def test_a_part_that_is_held_out_is_that_of_plain_keras():
    weight = np.linspace(0, 2, 32)
    model, made = door.model(optimizer=adam(), compiled=EAGER), door.encoder()
    fed = {"sample_weight": weight, "validation_split": 0.25, "epochs": 2, **FED}
    ours = model.fit(VIEWS, {"embedding": CAPTIONS}, **fed).history
    plain = door.plain(made, None, adam(), **EAGER).fit(VIEWS, CAPTIONS, **fed).history
    for name in ("loss", "val_loss"):
        assert ours[name] == pytest.approx(plain[name], rel=1e-5), name
    assert_same(model.encoder, made, 1e-5)


def test_callbacks_that_watch_act_as_on_a_plain_keras_model(tmp_path):
    def callbacks(name):
        return [
            keras.callbacks.ModelCheckpoint(tmp_path / f"{name}.keras", save_best_only=True),
            keras.callbacks.ReduceLROnPlateau(patience=1, min_delta=10.0),
            keras.callbacks.EarlyStopping(patience=2, min_delta=10.0, restore_best_weights=True),
        ]

    held = {"validation_data": (VIEWS[:8], CAPTIONS[:8]), "epochs": 5, **FED}
    model, made = door.model(optimizer=adam(), compiled=EAGER), door.encoder()
    plain = door.plain(made, None, adam(), **EAGER)
    ours = model.fit(VIEWS, CAPTIONS, callbacks=callbacks("ours"), **held).history
    expected = plain.fit(VIEWS, CAPTIONS, callbacks=callbacks("plain"), **held).history
    for name in ("loss", "val_loss", "learning_rate"):
        assert ours[name] == pytest.approx(expected[name], rel=1e-5), name
    assert_same(model.encoder, made, 1e-5)
    best = keras.saving.load_model(tmp_path / "ours.keras")
    found = best.evaluate(VIEWS[:8], CAPTIONS[:8], verbose=0)[0]
    assert found == pytest.approx(min(ours["val_loss"]), rel=1e-5)


def test_training_goes_on_from_a_saved_model_and_from_a_backup(tmp_path):
    whole = door.model(optimizer=adam(), compiled=EAGER)
    whole.fit(VIEWS, CAPTIONS, epochs=3, **FED)
    model = door.model(optimizer=adam(), compiled=EAGER)
    model.fit(VIEWS, CAPTIONS, epochs=1, **FED)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    again.fit(VIEWS, CAPTIONS, epochs=3, initial_epoch=1, **FED)
    assert_same(again.encoder, whole.encoder)

    class Power(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    with pytest.raises(KeyboardInterrupt):
        door.model(optimizer=adam(), compiled=EAGER).fit(
            VIEWS, CAPTIONS, epochs=3, callbacks=[backup, Power()], **FED
        )
    restored = door.model(optimizer=adam(), compiled=EAGER)
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    restored.fit(VIEWS, CAPTIONS, epochs=3, callbacks=[backup], **FED)
    assert_same(restored.encoder, whole.encoder)


def test_a_seed_makes_a_training_again():
    found = []
    for _ in range(2):
        keras.utils.set_random_seed(5)
        layers = [keras.layers.Flatten(), keras.layers.Dropout(0.5), keras.layers.Dense(6)]
        model = door.model(made=keras.Sequential([keras.Input((4, 4, 3)), *layers]))
        model.fit(VIEWS, {"embedding": CAPTIONS}, batch_size=8, verbose=0)
        found.append(model.encoder)
    assert_same(*found, 0)


def test_a_layer_of_both_parts_gets_the_sum_of_its_gradients():
    def made():
        keras.utils.set_random_seed(0)
        shared = keras.layers.Dense(6, name="shared")
        images, vectors = keras.Input((4, 4, 3)), keras.Input((6,))
        x = keras.layers.Dense(6)(keras.layers.Flatten()(images))
        return keras.Model(images, shared(x)), keras.Model(vectors, shared(vectors))

    encoder, projector = made()
    model = XSampleModel(encoder, projector)
    model.compile(keras.optimizers.SGD(0.1), XSampleContrastiveLoss(), **EAGER)
    model.fit(VIEWS, CAPTIONS, **FED)
    twin, last = made()
    images = keras.Input((4, 4, 3))
    plain = door.plain(
        keras.Model(images, last(twin(images))), None, keras.optimizers.SGD(0.1), **EAGER
    )
    plain.fit(VIEWS, CAPTIONS, **FED)
    assert len(model.trainable_variables) == 4
    assert_same(encoder, twin, 1e-5)


class Penalty(keras.layers.Layer):
    def call(self, x):
        self.add_loss(0.3 * keras.ops.mean(keras.ops.square(x)))
        return x


@pytest.mark.parametrize("last", [Penalty, lambda: keras.layers.ActivityRegularization(l2=0.1)])
def test_losses_of_layers_count_as_in_plain_keras(last):
    ours, theirs = (door.encoder(last=[last()]) for _ in range(2))
    optimizers = [keras.optimizers.SGD(0.1) for _ in range(2)]
    history = door.model(None, optimizers[0], made=ours).fit(VIEWS, CAPTIONS, **FED).history
    plain = door.plain(theirs, None, optimizers[1]).fit(VIEWS, CAPTIONS, **FED).history
    assert history["loss"] == pytest.approx(plain["loss"], rel=1e-5)
    assert_same(ours, theirs, 1e-5)


def test_parts_that_are_frozen_after_compile_stay_as_they_are():
    model = door.model(compiled=EAGER)
    model.fit(VIEWS, CAPTIONS, **FED)
    first = model.encoder.get_layer("first")
    first.trainable = False
    before, others = door.values(first), door.values(model.encoder.get_layer("second"))
    model.fit(VIEWS, CAPTIONS, **FED)
    for one, two in zip(before, door.values(first), strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(others[0], door.values(model.encoder.get_layer("second"))[0])


def test_training_nothing_is_refused():
    frozen = door.encoder()
    frozen.trainable = False
    with pytest.raises(InputError, match="encoder: expected weights to train, received none"):
        door.model(made=frozen).fit(VIEWS, CAPTIONS, **FED)
    model = XSampleModel(door.encoder())
    model.compile(optimizer=None, loss=XSampleContrastiveLoss())
    with pytest.raises(InputError, match=r"optimizer: expected one, as compile\('adam'"):
        model.fit(VIEWS, CAPTIONS, **FED)
    assert model.evaluate(VIEWS, CAPTIONS, verbose=0)[0] > 0


def test_a_method_that_no_step_calls_is_refused():
    class Scaled(XSampleModel):
        def compute_loss(self, *arguments, **options):
            return 100 * super().compute_loss(*arguments, **options)

    with pytest.raises(InputError, match="compute_loss: expected Keras's own.*of Scaled"):
        Scaled(door.encoder()).compile("sgd", XSampleContrastiveLoss())

    class Shown(XSampleModel):
        def train_step(self, data):
            logs = super().train_step(data)
            return logs | {"twice": 2 * logs["loss"]}

    model = Shown(door.encoder())
    model.compile("sgd", XSampleContrastiveLoss())
    history = model.fit(VIEWS[:8], CAPTIONS[:8], **FED).history
    assert history["twice"][0] == pytest.approx(2 * history["loss"][0], rel=1e-6)


def test_a_dataset_without_an_end_needs_a_number_of_steps():
    data = tf.data.Dataset.from_tensor_slices((VIEWS, CAPTIONS)).batch(8)
    model = door.model(compiled=EAGER)
    with pytest.raises(InputError, match="steps_per_epoch: .* repeats without end"):
        model.fit(data.repeat(), verbose=0)
    with pytest.raises(InputError, match="validation_steps: expected a number"):
        model.fit(data, validation_data=data.repeat(), verbose=0)
    with pytest.raises(InputError, match="^steps: expected a number"):
        model.evaluate(data.repeat(), verbose=0)
    model.fit(data.repeat(), steps_per_epoch=3, epochs=2, verbose=0)
    assert int(model.optimizer.iterations) == 6


@pytest.mark.parametrize("input_range", [(0, 1), (-1, 1), None])
def test_uint8_images_are_predicted_as_they_are_trained_on(input_range):
    images = door.pixels()[:, 0]
    model = XSampleModel(door.encoder(), input_range=input_range)
    low, high = input_range or (0, 255)
    expected = model.encoder(low + (high - low) * images.astype("float32") / 255)
    for found in (model(images), model.predict(images, verbose=0), model(tf.constant(images))):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="floating or uint8 images, received int32"):
        model(images.astype("int32"))


def test_evaluation_gives_a_model_its_range():
    images = door.pixels()[:, 0] / 255
    model = XSampleModel(door.encoder(), input_range=(-1, 1))
    found = evaluation.embedder(model)(images.astype("float32"))
    expected = model.encoder((2 * images - 1).astype("float32"))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_parts_of_several_inputs_are_refused():
    images, words = keras.Input((4, 4, 3)), keras.Input((2,))
    both = keras.layers.Concatenate()([keras.layers.Flatten()(images), words])
    encoder = keras.Model([images, words], keras.layers.Dense(4)(both))
    with pytest.raises(InputError, match=r"encoder: .*one input, .*\(None, 4, 4, 3\), \(None, 2\)"):
        XSampleModel(encoder)


@pytest.mark.parametrize(
    "data, words",
    [
        (tf.data.Dataset.from_tensor_slices((VIEWS, CAPTIONS)), r"\(2, 4, 4, 3\); batch the data"),
        (
            tf.data.Dataset.from_tensor_slices((VIEWS[:, 0], VIEWS[:, 1])).batch(8),
            r"received \(8, 4, 4, 3\); .*as \(\(first, second\), side\)",
        ),
        (
            tf.data.Dataset.from_tensors((tf.ragged.stack([VIEWS[0], VIEWS[1, :1]]), CAPTIONS[:2])),
            "views: expected dense tensors, received a RaggedTensor",
        ),
    ],
)
def test_views_of_another_structure_are_named_with_what_to_do(data, words):
    model = door.model(XSampleContrastiveLoss(graphs.InstanceGraph()), compiled=EAGER)
    with pytest.raises(InputError, match=words) as error:
        model.fit(data, verbose=0)
    assert "\n" not in str(error.value)


def test_ragged_arrays_and_sparse_labels_are_one_line():
    model = door.model(compiled=EAGER)
    with pytest.raises(InputError, match="views: expected dense tensors"):
        model.fit(tf.ragged.stack([VIEWS[0], VIEWS[1, :1]]), CAPTIONS[:2], verbose=0)
    sparse = pytest.importorskip("scipy.sparse")
    hot = door.model(XSampleContrastiveLoss(graphs.LabelGraph(one_hot=True)), compiled=EAGER)
    with pytest.raises(InputError, match="'label' as a dense tensor, received a SparseTensor"):
        hot.fit(VIEWS, sparse.csr_matrix(np.eye(4)[LABELS]), **FED)


@pytest.mark.parametrize("replicas", [1, 2])
def test_batches_whose_size_is_not_known_are_trained_on(replicas):
    sizes = [(0, 8), (8, 12), (12, 20)]
    data = tf.data.Dataset.from_generator(
        lambda: ((VIEWS[i:j], CAPTIONS[i:j]) for i, j in sizes),
        output_signature=(tf.TensorSpec([None, 2, 4, 4, 3]), tf.TensorSpec([None, 5])),
    )
    with (mirrored(2) if replicas > 1 else tf.distribute.get_strategy()).scope():
        model = door.model()
    model.fit(data, verbose=0)
    twin = door.model(compiled=EAGER)
    for i, j in sizes:
        twin.train_on_batch(VIEWS[i:j], CAPTIONS[i:j])
    assert_same(model.encoder, twin.encoder, 1e-5)


def test_a_model_is_cloned_and_compiled_again():
    model = door.model(optimizer=adam(), compiled=EAGER)
    model.fit(VIEWS, CAPTIONS, **FED)
    fresh = keras.models.clone_model(model)
    fresh.set_weights(model.get_weights())
    loss = XSampleContrastiveLoss(temperature=0.5)
    scores = []
    for one in (fresh, model):
        one.compile(adam(), loss, **EAGER)
        scores.append(one.fit(VIEWS, CAPTIONS, **FED).history["loss"][0])
        assert int(one.optimizer.iterations) == 4
    assert scores[0] == pytest.approx(scores[1], rel=1e-6)


def test_a_last_batch_of_one_image_counts_as_in_plain_keras():
    model, made = door.model(), door.encoder()
    ours = model.fit(VIEWS[:9], {"embedding": CAPTIONS[:9]}, **FED).history["loss"]
    plain = door.plain(made, None, keras.optimizers.SGD(door.RATE))
    assert ours == pytest.approx(
        plain.fit(VIEWS[:9], CAPTIONS[:9], **FED).history["loss"], rel=1e-5
    )
    assert_same(model.encoder, made, 1e-5)


def test_a_model_goes_on_under_a_strategy_from_its_file(tmp_path):
    strategy = mirrored(2)
    with strategy.scope():
        model = door.model(optimizer=adam())
    model.fit(VIEWS, CAPTIONS, **FED)
    model.save(tmp_path / "model.keras")
    with strategy.scope():
        again = keras.saving.load_model(tmp_path / "model.keras")
    for one in (model, again):
        one.fit(VIEWS, CAPTIONS, **FED)
    assert_same(again.encoder, model.encoder)
    assert int(again.optimizer.iterations.numpy()) == 8


def test_a_saved_model_keeps_what_finishes_its_views(tmp_path):
    policy = views.SimCLR(4, strength=0.0, blur=False)
    crops = np.stack([door.pixels()[:, 0], door.pixels(seed=3)[:, 0]], axis=1)
    draws = np.stack([policy.crops(image, [3, i])[1] for i, image in enumerate(crops[:, 0])])
    model = door.model(finish_views=policy.finish, compiled=EAGER)
    batches = tf.data.Dataset.from_tensors(((crops, draws), CAPTIONS[:8]))
    model.fit(batches, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for one in (model, again):
        one.fit(batches, verbose=0)
    assert_same(again.encoder, model.encoder)
