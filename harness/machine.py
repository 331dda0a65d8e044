"""What this machine is called in results, and how asv describes it.

Results are public and are kept for years: they carry a neutral name, and only facts that stay as they are. It must not
know what is measured.
"""

import json
import os
import platform
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asv import util
from asv.commands.compare import Compare
from asv.machine import Machine, MachineCollection

from harness.environments import CACHE
from harness.errors import BenchError


def machine_name() -> str:
    """Return what this machine is called in results: BENCH_MACHINE, the one name asv knows, or a neutral one.

    Raises:
        BenchError: asv's list of machines is damaged, or BENCH_MACHINE is no name.
    """
    named = os.environ.get("BENCH_MACHINE")
    if named:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", named):
            raise BenchError(
                f"BENCH_MACHINE is {named!r}: it names a folder of results, so use letters, digits, dots, dashes "
                "and underscores, starting with a letter or a digit."
            )
        return named
    known = _known_machines()
    if len(known) == 1:
        return known[0]
    return f"{platform.system().lower()}-{platform.machine()}-{os.cpu_count()}cpu"


def machine_facts(name: str) -> dict[str, str]:
    """Return asv's description of this machine, without what changes under it.

    Every fact is part of the key of every graph: a new kernel or a few reserved pages must not start new ones.
    """
    memory = util.get_memsize()
    return {
        "machine": name,
        "os": platform.system(),
        "arch": platform.machine(),
        "cpu": util.get_cpu_info(),
        "num_cpu": str(os.cpu_count()),
        "ram": f"{round(memory / 2**30)} GiB" if memory else "",
    }


def ensure_machine() -> None:
    """Give this machine its name, and describe it in asv's list of machines unless it is there.

    `asv compare` then means this machine where it is not told which.
    """
    name = machine_name()
    Machine.hardcoded_machine_name = name
    Compare.run_from_conf_args = _on_this_machine(Compare.run_from_conf_args)
    try:
        if name not in _known_machines():
            MachineCollection.save(name, machine_facts(name))
        elif not os.access(MachineCollection.get_machine_file_path(), os.W_OK):
            raise PermissionError
    except OSError:
        # asv writes this list on every run: where HOME cannot be written, it is kept with the environments.
        path = CACHE / "asv-machine.json"
        MachineCollection.get_machine_file_path = staticmethod(lambda: str(path))
        try:
            MachineCollection.save(name, machine_facts(name))
        except OSError as error:
            raise BenchError(
                f"Neither HOME nor {path.parent} can be written ({error.strerror}): "
                "asv keeps the description of this machine there; make one of them writable."
            ) from error


def _on_this_machine(run_command: Callable) -> Callable:
    """Let `asv compare` mean this machine when it is not told which one, and several have results."""

    def run_here(conf: Any, args: Any) -> Any:
        own = Machine.hardcoded_machine_name
        if args.machine is None and (Path(conf.results_dir) / own / "machine.json").exists():
            args.machine = own
        return run_command(conf, args)

    return run_here


def _known_machines() -> list[str]:
    """Return the names in asv's list of machines."""
    path = Path(MachineCollection.get_machine_file_path())
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        machines = {name: facts for name, facts in content.items() if name != "version"}
        if content["version"] != MachineCollection.api_version or not all(
            facts["machine"] == name for name, facts in machines.items()
        ):
            raise ValueError
    except OSError:
        return []
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BenchError(f"{path} is damaged: delete it, and asv describes this machine again.") from error
    return list(machines)
