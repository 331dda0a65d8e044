"""How long it takes to switch a measured environment to another stack: ours against what asv does by itself.

Run as `python -m harness.asv_plugins.switching`. Both sides are real asv environments that install the same commits
of the timeline, in turn and in one run, with warm package caches: asv's own virtualenv and pip with the
`install_command` a user of asv would write, and this project's. It must not know how either of them works.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from asv import util
from asv.config import Config
from asv.environment import Environment
from asv.plugins.git import Git
from asv.plugins.virtualenv import Virtualenv

from harness.errors import BenchError
from harness.stacks import environments, locks
from harness.stacks.timeline import ensure_timeline

TARGET = 20  # times faster
IMPORT = "import pymc, numba, nutpie, numpyro, jax, arviz"


def main() -> int:
    """Print each switch and the ratios; return 0 when the ratio reaches `TARGET`, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m harness.asv_plugins.switching", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--from", dest="old", default="v6.3.2", help="a stack (default: v6.3.2)")
    parser.add_argument("--to", dest="new", default="v6.4.0", help="another stack (default: v6.4.0)")
    parser.add_argument("--rounds", type=int, default=2, help="there and back, so often (default: 2)")
    options = parser.parse_args()
    try:
        ratio = measure(locks.get_stack(options.old), locks.get_stack(options.new), max(options.rounds, 1))
    except (BenchError, util.UserError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if ratio >= TARGET else 1


def measure(old: locks.Stack, new: locks.Stack, rounds: int) -> float:
    """Switch two environments there and back, print the seconds, and return pip's median over ours.

    Raises:
        BenchError: an environment cannot be built.
    """
    from harness.asv_plugins.timeline import Stack

    timeline = ensure_timeline()
    commits = locks.recorded_hashes()
    # asv looks for a python3.12 on PATH, and takes the first even if it does not start.
    os.environ["PATH"] = f"{environments.base_python().parent}{os.pathsep}{os.environ['PATH']}"
    environments.CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="switching-", dir=environments.CACHE) as name:
        scratch = Path(name)
        conf = _configuration(timeline, scratch)
        os.chdir(scratch)  # away from pyproject.toml, whose build requirements asv would install as well
        repo = Git(conf.repo, str(scratch / "mirror"))
        sides: dict[str, Environment] = {
            "virtualenv + pip": Virtualenv(conf, environments.PYTHON, {}, {}),
            "stack": Stack(conf, environments.PYTHON, {}, {}),
        }
        print(f"Preparing {new.tag} and {old.tag} on both sides, so that every package is cached.", flush=True)
        for environment in sides.values():
            environment.create()
            for stack in (new, old):
                environment.install_project(conf, repo, commits[stack.tag])
                _import(environment, stack, scratch)

        seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
        for turn in range(2 * rounds):
            was, now = (old, new) if turn % 2 == 0 else (new, old)
            for side, environment in sides.items():
                switch = _timed(lambda e=environment, s=now: e.install_project(conf, repo, commits[s.tag]))
                imports = _timed(lambda e=environment, s=now: _import(e, s, scratch))
                print(
                    f"{was.tag} -> {now.tag}  {side:<17} switch {switch:6.2f} s   import {imports:5.2f} s", flush=True
                )
                seconds[side, "the switch alone"].append(switch)
                seconds[side, "the switch and an import"].append(switch + imports)
    return _report({key: statistics.median(values) for key, values in seconds.items()})


def _report(median: dict[tuple[str, str], float]) -> float:
    """Print the medians and their ratios, and return the ratio of the switch alone."""
    ratios = {}
    for what in ("the switch alone", "the switch and an import"):
        pip, ours = median["virtualenv + pip", what], median["stack", what]
        ratios[what] = pip / ours
        print(f"{what:<24} {pip:6.2f} s / {ours:5.2f} s = {ratios[what]:5.1f}")
    print(
        "Both leave byte code behind. pip compiles every module that it installs, each time; a stack's is compiled "
        "when it is installed for the first time, and kept."
    )
    ratio = ratios["the switch alone"]
    print(f"Switching is {ratio:.0f} times faster than asv's virtualenv and pip (target: {TARGET}).")
    return ratio


def _configuration(timeline: Path, scratch: Path) -> Config:
    """Return the configuration that a user of asv would write for a repository of requirement files."""
    return Config.from_json(
        {
            "project": "pymc",
            "repo": str(timeline),
            "branches": ["main"],
            "env_dir": str(scratch / "env"),
            "build_command": [],
            "install_command": ["in-dir={env_dir} python -m pip install -r {build_dir}/requirements.txt"],
        }
    )


def _import(environment: Environment, stack: locks.Stack, scratch: Path) -> None:
    """Import a stack as a trial would.

    Raises:
        BenchError: it cannot be imported.
    """
    home = scratch / f"home-{stack.tag}"
    home.mkdir(exist_ok=True)
    variables = environments.process_environment(stack) | {"HOME": str(home)}
    if isinstance(environment, Virtualenv):
        del variables["PYTHONPYCACHEPREFIX"]
    try:
        program = environments.python(Path(environment._path))
        subprocess.run([program, "-c", IMPORT], env=variables, cwd=home, check=True)
    except subprocess.CalledProcessError as error:
        raise BenchError(f"The packages of {stack.tag} cannot be imported: choose another stack.") from error


def _timed(work: Callable[[], object]) -> float:
    """Return the seconds that some work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
