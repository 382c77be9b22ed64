"""One worker of two: its share of the loss and the gradients, from the inputs on stdin."""

import functools
import json
import sys

import numpy as np
import tensorflow as tf

from xsample_tf import graphs
from xsample_tf.losses import SigmoidContrastiveLoss, contrastive_rows

strategy = tf.distribute.MultiWorkerMirroredStrategy()
worker = strategy.cluster_resolver.task_id
data = {name: np.array(values) for name, values in json.loads(sys.stdin.readline()).items()}
images = len(data["z"])
share = {name: values[worker * images // 2 :][: images // 2] for name, values in data.items()}
graph = graphs.CosineGraph()


def step(form):
    z, tau = tf.constant(share["z"]), tf.constant(0.1, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch([z, tau])
        loss, _ = contrastive_rows(
            z, share["captions"], graph, tau, implementation=form, tile_size=3
        )
        mean = tf.reduce_sum(share["weight"] * loss) / images
    return loss, *tape.gradient(mean, [z, tau])


def sigmoid_step(form):
    z, tau, bias = (tf.constant(value, tf.float64) for value in (share["z"], 0.1, -3))
    with tf.GradientTape() as tape:
        tape.watch([z, tau, bias])
        loss, _ = SigmoidContrastiveLoss(implementation=form, tile_size=3).rows(None, z, tau, bias)
        mean = tf.reduce_sum(share["weight"] * loss) / images
    return loss, *tape.gradient(mean, [z, tau, bias])


results = {}
names = ("loss", "gradient", "temperature_gradient", "bias_gradient")
for name, one, form in (
    ("dense", step, "dense"),
    ("tiled", step, "tiled"),
    ("sigmoid dense", sigmoid_step, "dense"),
    ("sigmoid tiled", sigmoid_step, "tiled"),
):
    function = functools.partial(strategy.run, one, (form,))
    values = tf.function(function, autograph=False)()
    results[name] = dict(zip(names, (value.numpy().tolist() for value in values), strict=False))
print(json.dumps(results))
