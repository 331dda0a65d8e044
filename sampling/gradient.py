"""One evaluation of a model's log-density and its gradient, compiled by a linker, at a fixed point.

The point lies off every symmetry of the models: at w=0, z=0, for one, PPCA has a saddle, where a gradient of zero would
hide a wrong or a skipped computation. It must not know the samplers.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np

from sampling.linkers import pymc_version, pytensor_mode


def fixed_point(model) -> list[np.ndarray]:
    """A value for each of the model's value variables, in their order.

    Continuous ones are 0.5 + |normal| of a frozen stream, so that no two entries are equal, none is zero, and no
    release moves them; discrete ones are those that the model starts with.
    """
    stream = np.random.RandomState(20261101)
    start = model.initial_point()
    point = []
    for variable in model.value_vars:
        value = np.asarray(start[variable.name], dtype=variable.dtype)
        if value.dtype.kind == "f":
            value = np.asarray(0.5 + np.abs(stream.normal(size=value.shape)), dtype=value.dtype)
        point.append(value)
    return point


def one_thread() -> None:
    """Leave this process one processor, as `pm.sample` leaves a chain where there is one for each core.

    Two threads that wait for each other are a coin that is tossed in each process: a gradient by JAX took 14 or 78 µs.
    To be called before JAX is loaded, which starts as many as there are processors. A BLAS that is loaded already is
    told by threadpoolctl, which every stack has since PyMC 5.12.
    """
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return
    threadpool_limits(limits=1)


def logp_dlogp(model, linker: str) -> Callable[[], tuple[float, np.ndarray]]:
    """A function of no arguments that computes the log-density and its gradient at the fixed point.

    `linker` is one of LINKERS. The gradient is with respect to the continuous unconstrained values, raveled in the
    order of the model's value variables. Results are waited for: JAX answers before it has computed.
    """
    import pytensor

    function = pytensor.function(
        model.value_vars,
        [model.logp(), model.dlogp()],
        mode=pytensor_mode(linker, pymc_version()),
        on_unused_input="ignore",
    )
    point = fixed_point(model)

    def evaluate() -> tuple[float, np.ndarray]:
        logp, gradient = function(*point)
        return np.asarray(logp), np.asarray(gradient)

    evaluate()
    return evaluate
