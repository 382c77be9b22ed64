"""`fit` and `evaluate` on several replicas and workers against one device."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.small_model import batches, small_model
from helpers.strategies import mirrored
from helpers.workers import run_two_workers

from xsample_tf.errors import InputError
from xsample_tf.models import XSampleModel, backbone, projector
from xsample_tf.models.distributed_model import DistributedModel, check_sharding


def train(strategy, dtype="float32", **arguments):
    """The change of all weights, the history, and what `evaluate` then gives."""
    with strategy.scope():
        model = small_model(dtype, **arguments)
    before = [np.array(weight) for weight in model.weights]
    history = model.fit(batches(dtype=dtype), verbose=0).history
    changes = [np.ravel(two - one) for one, two in zip(before, model.weights, strict=True)]
    scores = model.evaluate(batches(1, dtype), return_dict=True, verbose=0)
    return np.concatenate(changes), history, scores


@pytest.fixture(scope="module")
def on_one_device():
    return {dtype: train(tf.distribute.get_strategy(), dtype) for dtype in ("float32", "float64")}


@pytest.mark.parametrize(
    "replicas, dtype, tolerance, arguments",
    [
        (2, "float64", 1e-10, {}),
        # Four replicas are traced one by one on two cores: a minute.
        pytest.param(4, "float64", 1e-10, {}, marks=pytest.mark.slow),
        pytest.param(2, "float32", 1e-4, {"steps_per_execution": 2}, marks=pytest.mark.slow),
        (1, "float32", 1e-4, {"steps_per_execution": 3}),
    ],
)
def test_steps_are_the_same_on_several_replicas(
    on_one_device, replicas, dtype, tolerance, arguments
):
    expected, expected_history, expected_scores = on_one_device[dtype]
    ours, history, scores = train(mirrored(replicas), dtype, **arguments)
    assert np.linalg.norm(ours - expected) <= tolerance * np.linalg.norm(expected)
    for one, two in ((history, expected_history), (scores, expected_scores)):
        for name in two:
            np.testing.assert_allclose(one[name], two[name], rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.slow  # Two processes, 25 s.
def test_two_workers_take_the_same_steps(on_one_device):
    _, expected_history, expected_scores = on_one_device["float32"]
    results = run_two_workers("fit_worker.py", {"steps_per_execution": 2})
    assert results[0]["weights"] == results[1]["weights"]
    for result in results:
        for name, values in expected_history.items():
            np.testing.assert_allclose(result["history"][name], values, rtol=1e-4, err_msg=name)
        for name, value in expected_scores.items():
            np.testing.assert_allclose(result["scores"][name], value, rtol=1e-4, err_msg=name)


def test_a_batch_that_cannot_be_shared_is_named():
    strategy = mirrored(2)
    with strategy.scope():
        model = small_model()
    with pytest.raises(InputError, match="shares of 3, 4"):
        model.fit(batches(7).unbatch().batch(7, drop_remainder=True), verbose=0)


def test_a_strategy_made_after_the_model_is_named():
    outside, batch = small_model(), batches(1)
    words = "made within MirroredStrategy.scope.*kernel"
    with mirrored(2).scope():
        with pytest.raises(InputError, match=words):
            XSampleModel(outside.encoder, outside.projector)
        with pytest.raises(InputError, match=words):
            outside.compile("sgd", outside.loss)
        with pytest.raises(InputError, match=words):
            outside.fit(batch, verbose=0)
    outside.compile("sgd", outside.loss)
    outside.fit(batch, verbose=0)  # Without the strategy it still works.


def test_workers_refuse_data_that_they_would_not_share_by_rows():
    class Strategy:
        """Of a MultiWorkerMirroredStrategy what is asked here; a real one needs processes."""

        cluster_resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec({"worker": ["a:1", "b:1"]})
        )

    policies = tf.data.experimental.AutoShardPolicy
    dataset = tf.data.Dataset.range(8)  # Without options it is the policy AUTO.
    for policy in (policies.AUTO, policies.FILE, policies.OFF):
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = policy
        with pytest.raises(InputError, match=f"policy DATA .*received {policy.name}"):
            check_sharding(Strategy, dataset.with_options(options))
        check_sharding(tf.distribute.get_strategy(), dataset.with_options(options))
    check_sharding(Strategy, batches())


def test_batch_norm_is_synchronised_where_there_are_replicas():
    with mirrored(2).scope():
        parts = backbone("resnet18"), projector(512)
    alone = backbone("resnet18"), projector(512)
    for models, expected in ((parts, True), (alone, False)):
        for model in models:
            norms = [x for x in model._flatten_layers() if hasattr(x, "synchronized")]
            assert norms and all(norm.synchronized == expected for norm in norms)


def test_what_is_overridden_is_still_there_in_keras():
    for name in ("make_train_function", "make_test_function", "_maybe_symbolic_build"):
        assert name in vars(DistributedModel) and hasattr(keras.Model, name), (
            f"Keras {keras.__version__} has no {name}: look at models/distributed_model.py"
        )
