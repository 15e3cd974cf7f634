"""Checks whether the figures of an evaluation can be believed."""
