"""What a loss gives, and how near it must be to what is expected."""

import numpy as np
import tensorflow as tf

from xsample_tf import graphs
from xsample_tf.losses import contrastive_rows, image_text_rows

COSINE = graphs.CosineGraph()  # One object, so that tiles are compiled once for a shape.


def evaluate(
    embeddings, side, graph, temperature=0.1, weight=None, sides=1, known=False, **arguments
):
    """Loss [B], statistics, and the gradients of the weighted mean.

    With `known` the temperature is given as a number, and its gradient is left out.
    """
    rows = contrastive_rows if sides == 1 else image_text_rows
    z = tf.constant(embeddings)
    tau = tf.constant(temperature, z.dtype if z.dtype == tf.float64 else tf.float32)
    with tf.GradientTape() as tape:
        tape.watch([z, tau])
        loss, statistics = rows(z, side, graph, temperature if known else tau, **arguments)
        factor = tf.ones_like(loss) if weight is None else tf.cast(weight, loss.dtype)
        mean = tf.reduce_mean(factor * loss)
    gradient, tau_gradient = tape.gradient(mean, [z, tau])
    result = {"loss": loss, "gradient": gradient, **statistics}
    result |= {} if known else {"temperature_gradient": tau_gradient}
    return {name: value.numpy() for name, value in result.items()}


def assert_agrees(ours, expected, tolerance, temperature, target_temperature=1.0, weight=1.0):
    """Within the bounds that the package promises, in units of `tolerance`, 1e-5 in float32."""
    if 0 < target_temperature < 0.01:
        tolerance *= 0.01 / target_temperature
    scale = max(np.abs(expected["loss"]).max(), 1 / temperature)
    np.testing.assert_allclose(ours["loss"], expected["loss"], rtol=0, atol=tolerance * scale)
    for name in set(expected) - {"loss", "gradient", "temperature_gradient"}:
        np.testing.assert_allclose(
            ours[name], expected[name], rtol=0, atol=tolerance * scale, err_msg=name
        )
    share = weight / expected["loss"].size
    scale = max(np.abs(expected["gradient"]).max(), share / temperature)
    np.testing.assert_allclose(
        ours["gradient"], expected["gradient"], rtol=0, atol=tolerance * scale
    )
    if "temperature_gradient" in ours:
        scale = max(abs(expected["temperature_gradient"]), weight / temperature**2)
        error = abs(ours["temperature_gradient"] - expected["temperature_gradient"])
        assert error <= tolerance * scale
