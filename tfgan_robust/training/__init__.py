"""The min-max game, and the loop that plays it."""
