"""Data sets as images in memory, and batches of them."""
