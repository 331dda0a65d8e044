"""How asv describes this machine: by its neutral name, and only by facts that stay as they are.

It must not know what is measured.
"""

import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asv import util
from asv.commands.compare import Compare
from asv.machine import Machine, MachineCollection

from harness.errors import BenchError
from harness.paths import CACHE
from harness.results.machines import known_machines, machine_name


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
        if name not in known_machines():
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
