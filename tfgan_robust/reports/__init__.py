"""What was found, and how people see it; needs no TensorFlow."""
