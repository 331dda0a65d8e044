"""What this machine is called in results: a neutral name, since results are public and are kept for years."""

import json
import os
import platform
import re
from pathlib import Path

from asv.machine import MachineCollection

from harness.errors import BenchError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""What a machine can be called: the name becomes a folder, and part of an address."""


def machine_name() -> str:
    """Return what this machine is called in results: BENCH_MACHINE, the one name asv knows, or a neutral one.

    Raises:
        BenchError: asv's list of machines is damaged, or BENCH_MACHINE is no name.
    """
    named = os.environ.get("BENCH_MACHINE")
    if named:
        if not NAME.fullmatch(named):
            raise BenchError(
                f"BENCH_MACHINE is {named!r}: it names a folder of results, so use letters, digits, dots, dashes "
                "and underscores, starting with a letter or a digit."
            )
        return named
    known = known_machines()
    if len(known) == 1:
        if not NAME.fullmatch(known[0]):
            raise BenchError(
                f"asv calls this machine {known[0]!r}, which cannot name a folder of results: set BENCH_MACHINE to a "
                "name of letters, digits, dots, dashes and underscores."
            )
        return known[0]
    return f"{platform.system().lower()}-{platform.machine()}-{os.cpu_count()}cpu"


def known_machines() -> list[str]:
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
