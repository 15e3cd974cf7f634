"""Measures a classifier under attacks, and keeps what was measured."""
