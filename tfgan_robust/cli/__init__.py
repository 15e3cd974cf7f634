"""Command lines made from settings, and what every command does."""
