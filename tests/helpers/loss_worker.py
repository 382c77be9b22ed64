"""One worker of two: its share of the loss and the gradients, from the inputs on stdin."""

import json
import sys

import numpy as np
import tensorflow as tf

from xsample_tf import graphs
from xsample_tf.losses import contrastive_rows

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


results = {}
for form in ("dense", "tiled"):
    values = tf.function(lambda form=form: strategy.run(step, (form,)), autograph=False)()
    names = ("loss", "gradient", "temperature_gradient")
    results[form] = dict(zip(names, (value.numpy().tolist() for value in values), strict=True))
print(json.dumps(results))
