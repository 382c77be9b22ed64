"""Several replicas against one: the loss, its gradients, and what is refused."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import reference
from helpers.loss_values import COSINE, evaluate
from helpers.strategies import mirrored
from helpers.workers import run_two_workers

from xsample_tf import graphs
from xsample_tf.errors import InputError
from xsample_tf.losses import XSampleContrastiveLoss, contrastive_rows, image_text_rows

BATCH = 8


def inputs(dtype=np.float64):
    random = np.random.default_rng(0)
    z, captions = random.normal(size=(BATCH, 2, 5)), random.normal(size=(BATCH, 6))
    weight = random.uniform(0.1, 3, size=BATCH)
    return z.astype(dtype), captions.astype(dtype), weight.astype(dtype)


def split(strategy, arrays):
    share = BATCH // strategy.num_replicas_in_sync

    def part(array):
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(array[context.replica_id_in_sync_group * share :][:share])
        )

    return [part(array) for array in arrays]


def joined(strategy, value):
    return np.concatenate(strategy.experimental_local_results(value))


@pytest.mark.parametrize(
    "replicas, form, known, sides",
    [
        (2, "dense", True, 1),
        (4, "dense", False, 2),
        (2, "tiled", True, 1),
        (2, "tiled", False, 2),
        pytest.param(4, "tiled", True, 2, marks=pytest.mark.slow),  # 10 s; its like are above.
        pytest.param(4, "tiled", False, 1, marks=pytest.mark.slow),
    ],
)
def test_a_hand_written_loop_agrees_with_one_device(replicas, form, known, sides):
    z, captions, weight = inputs()
    expected = evaluate(z, captions, COSINE, 0.1, weight, sides, known)
    strategy = mirrored(replicas)
    rows = contrastive_rows if sides == 1 else image_text_rows

    def step(z, captions, weight):
        tau = tf.constant(0.1, tf.float64)
        with tf.GradientTape() as tape:
            tape.watch([z, tau])
            loss, statistics = rows(
                z,
                captions,
                COSINE,
                0.1 if known else tau,
                implementation=form,
                tile_size=3,
            )
            share = tf.reduce_sum(weight * loss) / BATCH
        gradient, tau_gradient = tape.gradient(share, [z, tau])
        tau_gradient = tf.zeros([]) if known else tau_gradient
        return {"loss": loss, "gradient": gradient, **statistics}, tau_gradient

    run = tf.function(lambda *args: strategy.run(step, args), autograph=False)
    ours, tau_gradient = run(*split(strategy, (z, captions, weight)))
    for name, value in ours.items():
        np.testing.assert_allclose(
            joined(strategy, value), expected[name], atol=1e-10, err_msg=name
        )
    if not known:
        total = sum(strategy.experimental_local_results(tau_gradient))
        np.testing.assert_allclose(total, expected["temperature_gradient"], rtol=1e-10)


@pytest.mark.parametrize("graph", [graphs.InstanceGraph(), graphs.LabelGraph()])
def test_every_graph_knows_the_global_batch(graph):
    z, _, _ = inputs()
    labels = np.arange(BATCH) % 3
    expected = evaluate(z, labels, graph)["loss"]
    strategy = mirrored(2)
    run = tf.function(lambda *args: strategy.run(graph_loss, args), autograph=False)

    def graph_loss(z, labels):
        return contrastive_rows(z, labels, graph, implementation="tiled", tile_size=3)[0]

    ours = run(*split(strategy, (z, labels)))
    np.testing.assert_allclose(joined(strategy, ours), expected, atol=1e-10)


@pytest.mark.parametrize(
    "replicas, form", [(2, "dense"), pytest.param(4, "tiled", marks=pytest.mark.slow)]
)
def test_a_plain_keras_model_trains_the_same(replicas, form):
    z, captions, weight = inputs(np.float32)

    def train(strategy):
        with strategy.scope():
            keras.utils.set_random_seed(0)
            model = keras.Sequential([keras.Input((2, 5)), keras.layers.Dense(4)])
            loss = XSampleContrastiveLoss(implementation=form, tile_size=3)
            model.compile(keras.optimizers.SGD(0.5), loss=loss)
        data = tf.data.Dataset.from_tensor_slices((z, captions, weight))
        history = model.fit(data.batch(BATCH, drop_remainder=True), epochs=3, verbose=0)
        return [*map(np.array, model.weights), history.history["loss"]]

    for ours, expected in zip(
        train(mirrored(replicas)), train(tf.distribute.get_strategy()), strict=True
    ):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow  # Processes compile, 17 s; tests/models has two workers too.
def test_two_worker_processes_agree_with_one_device():
    z, captions, weight = inputs()
    expected = {
        "": evaluate(z, captions, COSINE, 0.1, weight),
        "sigmoid ": reference.sigmoid_loss(z, 0.1, -3, weight),
    }
    given = {"z": z.tolist(), "captions": captions.tolist(), "weight": weight.tolist()}
    results = run_two_workers("loss_worker.py", given)
    for loss, form in itertools.product(expected, ("dense", "tiled")):
        for name in ("loss", "gradient"):
            ours = np.concatenate([result[loss + form][name] for result in results])
            np.testing.assert_allclose(ours, expected[loss][name], atol=1e-10, err_msg=name)
        for name in {"temperature_gradient", "bias_gradient"} & expected[loss].keys():
            total = sum(result[loss + form][name] for result in results)
            np.testing.assert_allclose(total, expected[loss][name], rtol=1e-10)


def test_unequal_shares_are_named():
    strategy = mirrored(2)
    z = strategy.experimental_distribute_values_from_function(
        lambda context: tf.ones([3 + context.replica_id_in_sync_group, 2, 4])
    )
    run = tf.function(
        lambda z: strategy.run(lambda z: contrastive_rows(z, None, graphs.InstanceGraph()), (z,)),
        autograph=False,
    )
    with pytest.raises(InputError, match="equal shares of the batch on 2 replicas"):
        run(z)


def test_a_mean_over_a_replicas_own_weights_is_refused():
    strategy = mirrored(2)
    loss = XSampleContrastiveLoss(graphs.InstanceGraph(), reduction="mean_with_sample_weight")
    run = tf.function(
        lambda: strategy.run(lambda: loss(tf.zeros([4]), tf.ones([4, 2, 3]))), autograph=False
    )
    with pytest.raises(InputError, match="mean_with_sample_weight"):
        run()
