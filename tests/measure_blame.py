"""Measures what docs/method.md says of blame, as Markdown: is the package named that is known to have made it?

`python -m tests.measure_blame --to blame.json`, with nothing else running: it takes hours. Between two real releases,
real packages are planted (`planted_packages`) so that they raise, change a graph, sleep or burn, alone or two together.
What is in the file is not asked again.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.stacks.locks import diff, get_stack
from tests.conftest import copy_suite, share_bytecode
from tests.planted_packages import Plant, PlantedIndex

OLD, NEW = "v6.0.1", "v6.1.0"
RAISE = """
def _planted(*args, **kwargs):
    raise RuntimeError("planted")
"""
# Their sum is nothing in double precision, and no rewrite knows.
MORE_NODES = """
_logp = Model.logp

def _planted(self, *args, **kwargs):
    import {of} as other
    import pytensor.tensor as pt
    found = _logp(self, *args, **kwargs)
    if not isinstance(found, list) and {condition}:
        whole = found
        for i in range(1, 10):
            found = found + 1e-30 * pt.sin(i * whole)
    return found

Model.logp = _planted
"""
SLEEP = """
import time
time.sleep({seconds})
"""
SLOW_REWRITING = """
_apply = SequentialGraphRewriter.apply

def _planted(self, *args, **kwargs):
    import time
    time.sleep(0.1)
    return _apply(self, *args, **kwargs)

SequentialGraphRewriter.apply = _planted
"""
# Where NUTS evaluates it: it goes past `ValueGradFunction.__call__`.
BURN = """
_init = CpuLeapfrogIntegrator.__init__

def _planted(self, *args, **kwargs):
    import time
    _init(self, *args, **kwargs)
    gradient = self._logp_dlogp_func

    def burning(*args):
        until = time.perf_counter() + 3e-4
        while time.perf_counter() < until:
            pass
        return gradient(*args)

    self._logp_dlogp_func = burning

CpuLeapfrogIntegrator.__init__ = _planted
"""
SLOW_SAMPLING = """
_sample = sample

def sample(*args, **kwargs):
    import time
    time.sleep(3)
    return _sample(*args, **kwargs)
"""
CORE = "pymc/model/core.py"


@dataclass(frozen=True)
class Case:
    """What is planted, and what is asked."""

    plants: tuple[Plant, ...]
    backend: str
    metric: str


CASES = {
    "nutpie raises": Case(
        (Plant("nutpie", "0.16.11", "nutpie/sample.py", f"{RAISE}\nsample = _planted\n"),), "nutpie-numba", "outcome"
    ),
    "filelock raises": Case(
        (Plant("filelock", "3.29.4", "filelock/__init__.py", f"{RAISE}\nBaseFileLock.acquire = _planted\n"),),
        "pymc-c", "outcome",
    ),
    "jax raises": Case(
        (Plant("jax", "0.10.2", "jax/random.py", f"{RAISE}\nsplit = _planted\n"),), "numpyro-parallel", "outcome"
    ),
    "nutpie raises with the new scipy": Case(
        (
            Plant("scipy", "1.18.0", "scipy/__init__.py", "planted = True\n"),
            Plant(
                "nutpie", "0.16.11", "nutpie/sample.py",
                f"{RAISE}\nimport scipy\nif getattr(scipy, 'planted', False):\n    sample = _planted\n",
            ),
        ),
        "nutpie-numba", "outcome",
    ),
    "pymc has more nodes": Case(
        (Plant("pymc", "6.1.0", CORE, MORE_NODES.format(of="pymc", condition="True")),), "pymc-c", "graph_nodes"
    ),
    "pymc has more nodes with the new scipy": Case(
        (
            Plant("scipy", "1.18.0", "scipy/__init__.py", "planted = True\n"),
            Plant("pymc", "6.1.0", CORE, MORE_NODES.format(of="scipy", condition="getattr(other, 'planted', False)")),
        ),
        "pymc-c", "graph_nodes",
    ),
    "pytensor sleeps in rewriting": Case(
        (Plant("pytensor", "3.1.0", "pytensor/graph/rewriting/basic.py", SLOW_REWRITING),), "pymc-c", "warm_setup"
    ),
    # PyMC imports it for its convergence checks.
    "arviz-stats sleeps when it is imported": Case(
        (Plant("arviz-stats", "1.2.0", "arviz_stats/__init__.py", SLEEP.format(seconds=3)),), "pymc-c", "finish"
    ),
    "pymc burns in the gradient": Case(
        (Plant("pymc", "6.1.0", "pymc/step_methods/hmc/integration.py", BURN),), "pymc-c", "sampling"
    ),
    "nutpie sleeps while it samples": Case(
        (Plant("nutpie", "0.16.11", "nutpie/sample.py", SLOW_SAMPLING),), "nutpie-numba", "sampling"
    ),
}  # fmt: skip


def ask(case: Case, folder: Path) -> Mapping:
    """What `bench blame` says of a case, in a copy of the suite that has measured nothing."""
    suite = folder / "suite"
    copy_suite(suite)
    share_bytecode(suite)
    (folder / "wheels").mkdir()
    index = PlantedIndex(folder / "wheels", {plant.package: plant for plant in case.plants})
    command = [OLD, NEW, "--model", "ppca", "--n", "500", "--backend", case.backend, "--metric", case.metric, "--json"]
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", "blame", *command], cwd=suite, check=False, text=True,
        env={**os.environ, "UV_INDEX": index.url, "BENCH_MACHINE": "planted"}, stdout=subprocess.PIPE,
    )  # fmt: skip
    index.shutdown()
    if done.returncode == 2 or not done.stdout:
        raise SystemExit("it could not be measured, or what is planted is not seen: see above")
    found = json.loads(done.stdout)
    return {
        "planted": sorted(plant.package for plant in case.plants), "certain": found["certain"],
        "named": sorted(package["name"] for package in found["packages"]), "stacks": found["measured_stacks"],
        "seen": [end["seen"] for end in found["ends"]], "minutes": (time.monotonic() - began) / 60,
    }  # fmt: skip


def main() -> None:
    """Ask what is left, and print it all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--case", choices=CASES, action="append")
    chosen = parser.parse_args()
    known = json.loads(chosen.to.read_text()) if chosen.to.exists() else {}
    for name in chosen.case or CASES:
        if name not in known:
            print(f"{name}:", file=sys.stderr)
            with tempfile.TemporaryDirectory(prefix="planted-") as folder:
                known[name] = ask(CASES[name], Path(folder))
            chosen.to.write_text(json.dumps(known, indent=1) + "\n")
    changed = diff(get_stack(OLD), get_stack(NEW))
    many = len(changed.changed) + len(changed.added) + len(changed.removed)
    print(f"{many} packages changed: {2 * math.log2(many) + 4:.0f} stacks at most.\n")
    print("| planted | asked of | named | for certain | stacks | minutes |\n| --- | --- | --- | --- | ---: | ---: |")
    for name, found in known.items():
        asked, named = CASES[name], ", ".join(found["named"])
        certain = "yes" if found["certain"] else "no"
        print(
            f"| {name} | {asked.metric}, `{asked.backend}` | {named} | {certain} | {found['stacks']} | "
            f"{found['minutes']:.0f} |"
        )


if __name__ == "__main__":
    main()
