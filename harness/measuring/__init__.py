"""Trials: measured ones by way of asv, and others side by side for the compatibility table."""
