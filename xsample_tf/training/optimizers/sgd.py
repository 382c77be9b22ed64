"""SGD without weight decay on biases and norms."""

import keras

from xsample_tf.training.optimizers.rates import RateByVariable
from xsample_tf.training.optimizers.registry import register
from xsample_tf.training.optimizers.weight_decay import DecayOfWeightsOnly


@register("sgd")
@keras.saving.register_keras_serializable("xsample_tf")
class SGD(RateByVariable, DecayOfWeightsOnly, keras.optimizers.SGD):
    """Keras's SGD, without weight decay on biases and norms."""
