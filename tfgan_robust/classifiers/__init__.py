"""Anybody's classifier: loaded, made faster, and checked before use."""
