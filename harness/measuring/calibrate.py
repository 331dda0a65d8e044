"""A stack beside a copy of itself: how often chance is called a difference, and how small a real one is seen.

The copy is an environment that was built by itself. With an injection it does more work than the other, by a known
amount: in each gradient, or once where graphs are rewritten. That lies in the copy, as a module that Python loads when
it starts, and not in the code that measures.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from harness import paths
from harness.errors import BenchError
from harness.judging.comparison import QUANTITIES, Compared, values
from harness.measuring.cells import Cell
from harness.measuring.rounds import Arm, Rounds
from harness.measuring.run import follow
from harness.paths import CACHE
from harness.results.records import write_document
from harness.stacks.environments import compile_bytecode, stack_environment
from harness.stacks.locks import Stack

GRADIENT, COMPILATION = "gradient", "compilation"
_INJECTED = Path(__file__).with_name("injected.py")


@dataclass(frozen=True)
class Injection:
    """Work that a copy does besides: `amount` elements more in each gradient, or CPU seconds more to compile."""

    where: str
    amount: float

    @property
    def modules(self) -> dict[str, str]:
        """The files that the copy has for it."""
        told = json.dumps(asdict(self))
        return {
            "bench_injected.py": f"INJECTION = {told!r}\n{_INJECTED.read_text()}",
            "bench_injected.pth": "import bench_injected\n",
        }


def injection(text: str) -> Injection:
    """From `gradient=1000` or `compilation=0.5`. Raises BenchError when it is neither."""
    where, _, amount = text.partition("=")
    try:
        found = Injection(where, float(amount))
    except ValueError:
        found = Injection(where, 0.0)
    least = 1 if where == GRADIENT else 0.001
    if where not in (GRADIENT, COMPILATION) or not least <= found.amount < 1e6:
        raise BenchError(f"{text!r} is no work to inject: name gradient=ELEMENTS or compilation=SECONDS.")
    return found


def copy_name(modules: Mapping[str, str]) -> str:
    """What a copy with these modules besides is called: names are of one length."""
    return f"copy{hashlib.sha256(json.dumps(modules).encode()).hexdigest()[:4] if modules else '0000'}"


def arms(stack: Stack, injections: Sequence[Injection] = ()) -> list[Arm]:
    """The stack, a copy of it, and a copy with each injection, in paths of one length. Their records are nobody's
    results."""
    folder = CACHE / "calibration" / stack.tag
    found = [Arm(stack.tag, stack, stack_environment(stack), folder / "original")]
    for injection in (None, *injections):
        modules = injection.modules if injection else {}
        name = copy_name(modules)
        found.append(Arm(f"{stack.tag}-{name}", stack, stack_environment(stack, name, modules), folder / name))
    for arm in found:
        compile_bytecode(arm.environment, stack)
    return found


def run(
    console: Console,
    machine: str,
    sides: Sequence[Arm],
    wanted: Mapping[Cell, Mapping[str, int]],
    description: Mapping,
    deadline: float | None,
) -> list[Compared]:
    """Rounds of a stack and its copies, as many as are wanted or until the time is up, and what they say of each copy
    beside the stack."""
    sitting = Rounds(sides, machine, description)
    total = len(sides) * sum(sum(kinds.values()) for kinds in wanted.values())
    for trial in follow(console, sitting.run(wanted, alone=0), total, f"{sides[0].name} and its copies"):
        if trial.closes and deadline is not None and time.monotonic() > deadline:
            break
    plain, *copies = ([sitting.measurement(side, cell) for cell in wanted] for side in sides)
    return [Compared(plain, copy) for copy in copies]


def series(compared: Compared) -> list[dict]:
    """Each quantity of each parameter set, in the stack and in its copy, in the order of the rounds."""
    return [
        {
            "model": key[0], "n": key[1], "backend": key[2], "quantity": quantity.name,
            "old": [b.old for b in both], "new": [b.new for b in both], "new_first": [b.new_first for b in both],
            "speed": [b.speed for b in both],
        }
        for key, found in compared.pairs.items()
        for quantity in QUANTITIES
        if (both := values(quantity, found))
    ]  # fmt: skip


def keep(
    machine: str, stack: Stack, same: Compared, injected: Mapping[Injection, Compared], description: Mapping
) -> Path:
    """Write what was measured to the results: a file for each folder of rounds, named for when they began."""
    first = min((pair.old for found in same.pairs.values() for pair in found), key=lambda r: r.started)
    path = paths.RESULTS / "calibration" / machine / f"{stack.tag}.{first.round.block[:15]}.json"
    document = {
        "machine": machine, "stack": stack.tag, "made": first.started, "protocol": description["protocol"],
        "cpu_model": first.provenance.cpu_model if first.provenance else None, "same": series(same),
        "injected": [{**asdict(i), "series": series(found)} for i, found in injected.items()],
    }  # fmt: skip
    write_document(path, document)
    return path


def end(sides: Sequence[Arm], cells: Iterable[Cell], sitting: str) -> None:
    """Lay the trials aside whose numbers are kept: what is measured next is another sitting, and counts besides."""
    for side in sides:
        for folder in filter(Path.is_dir, map(side.of, cells)):
            aside = side.folder.parent / "ended" / sitting / side.folder.name / folder.name
            aside.parent.mkdir(parents=True, exist_ok=True)
            folder.rename(aside)
            shutil.rmtree(aside / "home", ignore_errors=True)
