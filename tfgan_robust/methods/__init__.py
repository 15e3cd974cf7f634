"""Training methods: what perturbs the training images, and the loss."""
