"""A training step of ResNet-18 at 32 pixels with oneDNN off and on, in turn.

    python benchmarks/onednn.py

Prints seconds a step (256 views forward and backward, the best of three) and the ratio.
"""

import os
import subprocess
import sys
import time

STEP = """
import time
import tensorflow as tf
from xsample_tf import models

tf.random.set_seed(0)
encoder = models.backbone("resnet18")
images = tf.random.uniform([256, 32, 32, 3])

@tf.function
def step():
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(encoder(images, training=True)))
    return [tf.reduce_sum(g) for g in tape.gradient(loss, encoder.trainable_variables)]

def seconds():
    start = time.perf_counter()
    tf.nest.map_structure(lambda value: value.numpy(), step())
    return time.perf_counter() - start

seconds()
print(min(seconds() for _ in range(3)))
"""


def measure(setting: str) -> float:
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": setting, "TF_CPP_MIN_LOG_LEVEL": "2"}
    program = [sys.executable, "-c", STEP]
    result = subprocess.run(program, env=environment, capture_output=True, text=True, check=True)
    return float(result.stdout.split()[-1])


def main() -> None:
    print(time.strftime("%Y-%m-%d"), os.cpu_count(), "cores")
    for turn in range(2):
        off, on = measure("0"), measure("1")
        print(f"turn {turn}: off {off:.2f} s, on {on:.2f} s, off / on {off / on:.1f}")


if __name__ == "__main__":
    main()
