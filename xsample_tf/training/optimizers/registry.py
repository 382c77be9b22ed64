"""The optimizers that a run can choose by name."""

from xsample_tf.registry import Registry

# An entry is a class or function `(learning_rate, *, weight_decay, momentum, global_clipnorm,
# **own)` that returns a `keras.Optimizer`: a rate or a Keras schedule, numbers, and None or the
# largest global norm of the gradient. `own` are the options that the entry declares.
OPTIMIZERS = Registry("optimizer", "xsample_tf.training.optimizers")
register = OPTIMIZERS.register
