"""Loaded by Python as it starts, in a copy of a stack: adds a known amount of work to a gradient, or to compilation.

`calibrate` puts it there, with `INJECTION` before its first line. It must import nothing of the stack by itself.
"""

import importlib.util
import json
import sys
import time

TARGETS = {"gradient": "pymc.model.core", "compilation": "pytensor.graph.rewriting.basic"}


def _gradient(module, elements):
    """As many more elements in the log density, which add nothing to it: draws are the same to the last digit."""
    plain = module.Model.logp

    def logp(self, vars=None, jacobian=True, sum=True):
        density = plain(self, vars, jacobian, sum)
        if vars is not None or not sum:
            return density
        import numpy as np
        import pytensor.tensor as pt

        value = next(v for v in self.value_vars if v.dtype.startswith("float"))
        work = pt.tanh(pt.sum(value) * np.linspace(0.5, 1.5, int(elements))).sum()
        # Always 0, and so is its gradient; but no compiler knows.
        return density + pt.minimum(pt.sqr(work), 0.0)

    module.Model.logp = logp


def _compilation(module, seconds):
    """As many more CPU seconds, before the first graph is rewritten."""
    plain, left = module.GraphRewriter.rewrite, [seconds]

    def rewrite(self, *args, **kwargs):
        if left:
            until = time.process_time() + left.pop()
            while time.process_time() < until:
                pass
        return plain(self, *args, **kwargs)

    module.GraphRewriter.rewrite = rewrite


class _Finder:
    """Patches one module when it has been imported."""

    def __init__(self, where, amount):
        self.name = TARGETS[where]
        self.patch, self.amount = {"gradient": _gradient, "compilation": _compilation}[where], amount

    def find_spec(self, name, path=None, target=None):
        if name != self.name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        plain = spec.loader.exec_module

        def execute(module):
            plain(module)
            self.patch(module, self.amount)

        spec.loader.exec_module = execute
        return spec


_injection = json.loads(INJECTION)  # noqa: F821
sys.meta_path.insert(0, _Finder(_injection["where"], _injection["amount"]))
