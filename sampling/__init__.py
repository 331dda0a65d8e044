"""How a model is sampled and measured, inside a measured environment.

This package runs on every PyMC release since 5.10 and depends on what each stack contains
(the standard library, NumPy, SciPy, PyMC) and on nothing else. `python -m sampling MODEL` runs one
trial and prints its record.
"""
