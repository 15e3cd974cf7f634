"""The networks, their losses, and networks as functions of images."""
