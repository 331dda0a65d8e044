"""One evaluation of the log-density and its gradient, per linker: what a leapfrog step costs."""

import functools
import os

import models
from sampling.gradient import logp_dlogp, one_thread
from sampling.linkers import LINKERS, installed


@functools.cache
def _compiled(linker, model):
    """asv calls `setup` before every sample; compiling again for each would take most of a run's time."""
    # Before PyTensor is imported.
    os.environ["HOME"] = os.environ["NUMBA_CACHE_DIR"] = os.getcwd()  # noqa: PTH109
    name, _, n = model.rpartition("-")
    one_thread()
    return logp_dlogp(models.load(name).build(int(n)), linker)


class LogpGradient:
    """At a fixed point off the saddle, on one processor, as a chain has; compiled before it is timed."""

    param_names = ("linker", "model")
    params = (list(LINKERS), [f"{name}-{n}" for name in models.names() for n in models.load(name).SIZES])
    version = "4"
    timeout = 900
    # A process for each sample: where its memory happens to lie is part of a process's time.
    rounds = 5
    repeat = 1
    sample_time = 0.2

    def setup_cache(self):
        """asv runs these benchmarks in one scratch folder: their compile caches, and no other release's."""

    def setup(self, linker, model):
        if not installed(linker):
            raise NotImplementedError(f"this stack has no {linker}")
        self.evaluate = _compiled(linker, model)

    def time_logp_dlogp(self, linker, model):
        self.evaluate()
