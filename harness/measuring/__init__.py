"""Trials: measured ones by way of asv, and short ones side by side for the compatibility table."""
