"""A classifier with the named outputs that every export has."""

import keras
import numpy as np

from tfgan_robust.networks.shapes import input_shape_of


def with_named_outputs(classifier: keras.Model) -> keras.Model:
    """Returns a model that answers with `logits` and `probabilities`.

    Args:
        classifier: From float32 [batch, height, width, channels] in [0, 1] to
            logits [batch, num_classes].

    Returns:
        A model of the input `images`, with the classifier's weights.
    """
    images = keras.Input(input_shape_of(classifier)[1:], name="images")
    logits = keras.layers.Activation("linear", name="logits")(
        classifier(images, training=False)
    )
    probabilities = keras.layers.Softmax(name="probabilities")(logits)
    model = keras.Model(
        images, {"logits": logits, "probabilities": probabilities}
    )
    # Keras exports what was called before.
    model(np.zeros((1, *images.shape[1:]), np.float32), training=False)
    return model
