"""Whether the list of benchmarks that is kept, `results/asv/benchmarks.json`, is the one of this code.

asv goes by the version of a benchmark: numbers of another version are not compared. A benchmark that changed under the
same version would give one history of two things, so the list is committed, and a change of it is seen. It must not
know what benchmarks measure.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from asv import environment, util
from asv.benchmarks import Benchmarks
from asv.config import Config
from asv.plugin_manager import plugin_manager
from asv.repo import get_repo

from harness.errors import BenchError
from harness.measuring import alone
from harness.output import few
from harness.paths import ROOT

PATH = ROOT / "results" / "asv" / "benchmarks.json"
UPDATE = "`bench check --update`"
# A line number, which says nothing of what is measured.
_NO_MATTER = {"setup_cache_key"}


def discover() -> Benchmarks:
    """The benchmarks of this code, found and checked by asv in the environment of the newest stack.

    Raises BenchError when asv finds fault with them (it says what), or when somebody measures: that would be in another
    environment then.
    """
    os.chdir(ROOT)  # asv and its plugins expect to be run where the configuration is
    lock = alone.take()
    try:
        conf = Config.load("asv.conf.json")
        for plugin in conf.plugins:
            plugin_manager.import_plugin(plugin)
        return Benchmarks.discover(conf, get_repo(conf), list(environment.get_environments(conf, None)), [], check=True)
    except util.UserError as error:
        raise BenchError(f"asv finds fault with the benchmarks ({' '.join(str(error).split())}): see above.") from error
    finally:
        lock.release()


def differences(kept: Mapping, now: Mapping) -> tuple[list[str], list[str]]:
    """Sentences on benchmarks that changed under the same version, and on what else is not the same."""
    changed, other = [], []
    for name in sorted(kept.keys() | now.keys()):
        old, new = kept.get(name), now.get(name)
        if old is None or new is None:
            other.append(f"{name} is {'new' if old is None else 'gone'}")
        elif old["version"] != new["version"]:
            other.append(f"{name} has version {new['version']}, not {old['version']}")
        elif old["code"] != new["code"]:
            changed.append(name)
        else:
            fields = sorted((old.keys() | new.keys()) - _NO_MATTER)
            other += [f"{name} has another {field}" for field in fields if old.get(field) != new.get(field)]
    return changed, other


def check() -> str:
    """Say that the list is current. Raises BenchError where it is not, with what to do."""
    now = discover()
    changed, other = differences(_kept(), _entries(now))
    if changed:
        raise BenchError(_without_a_version(changed))
    if other:
        raise BenchError(f"The list of benchmarks is not current ({few(other)}): {UPDATE} writes it; commit it.")
    return f"The list of benchmarks is current: {len(_entries(now))} benchmarks."


def update(same_numbers: bool = False) -> str:
    """Write the list anew. Raises BenchError where code changed and its version did not, unless told it may."""
    now = discover()
    changed, other = differences(_kept(), _entries(now))
    if changed and not same_numbers:
        raise BenchError(_without_a_version(changed))
    now.save()
    return f"Wrote results/asv/benchmarks.json ({few([f'{n} changed' for n in changed] + other) or 'as it was'})."


def _without_a_version(changed: list[str]) -> str:
    return (
        f"The code of {few(changed)} changed and the version did not: raise it (`version` in benchmarks/, "
        f"PROTOCOL_VERSION in sampling/settings.py), then {UPDATE}; where no number can differ, {UPDATE[:-1]} "
        "--same-numbers` is enough."
    )


def _kept() -> dict:
    try:
        document = json.loads(PATH.read_text(encoding="utf-8"))
        entries = {name: entry for name, entry in document.items() if isinstance(entry, dict)}
        if all(isinstance(entry.get(field), str) for entry in entries.values() for field in ("code", "version")):
            return entries
        raise ValueError("an entry without its code or its version")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise BenchError(
            f"{PATH.relative_to(ROOT)} is damaged: restore it with `git checkout -- {PATH.relative_to(ROOT)}`."
        ) from error


def _entries(benchmarks: Benchmarks) -> dict:
    """As JSON has them: what asv found just now is of tuples and numbers in part."""
    return json.loads(json.dumps(dict(benchmarks._all_benchmarks)))
