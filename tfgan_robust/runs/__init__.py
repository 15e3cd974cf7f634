"""A training run: its settings and its folder; needs no TensorFlow."""
