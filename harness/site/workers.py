"""Writes the sites of all machines, in as many processes as there are processors: drawing charts takes long.

Processes are spawned, since V8, which draws, does not outlive a fork.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from harness.errors import MachineError
from harness.site.render import Site

# Each holds all results: half a GiB, with those of two machines.
_MOST = 4
_sites: list[Site] = []


def write(sites: Sequence[Site]) -> None:
    """Write all parts of all sites. Raises MachineError where a process was killed."""
    parts = [(i, name) for i, site in enumerate(sites) for name in site.parts]
    processes = min(os.cpu_count() or 1, _MOST, len(parts))
    with ProcessPoolExecutor(processes, get_context("spawn"), _begin, (sites,)) as pool:
        try:
            for done in as_completed([pool.submit(_write, *part) for part in parts]):
                done.result()
        except BrokenProcessPool as error:
            raise MachineError(
                "A process that writes pages was killed, perhaps for want of memory: free some, and publish again."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _begin(sites: Sequence[Site]) -> None:
    # Ctrl-C is for the process that waits.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _sites.extend(sites)


def _write(site: int, part: str) -> None:
    _sites[site].parts[part]()
