"""Runs attacks over any number of images, and keeps what they found."""
