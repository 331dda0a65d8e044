"""Skeletons of a model and of a backend, written where they belong. It must not know what is measured."""

from __future__ import annotations

import ast
import json
import keyword
import re
from pathlib import Path

from harness.errors import BenchError
from harness.paths import ROOT
from harness.stacks.locks import load_stacks
from harness.stacks.resolving import REQUESTED
from harness.suite import inside

_TEMPLATE = Path(__file__).with_name("model.py.txt")
_BACKENDS = Path("sampling/backends.py")
_ROWS = Path("tests/test_backends.py")


def new_model(name: str, root: Path = ROOT) -> Path:
    """Write `models/NAME.py`, a model that runs. Raises BenchError for a name that cannot be one, or is one."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise BenchError(
            f"A model cannot be called {name!r}: lower-case letters, digits and underscores, a letter first, "
            "as in coal_mining."
        )
    if keyword.iskeyword(name) or (root / "benchmarks" / f"{name}.py").exists():
        taken = "a word of Python's own" if keyword.iskeyword(name) else "what other benchmarks are called"
        raise BenchError(f"A model cannot be called {name!r}, which is {taken}: choose another name.")
    path = root / "models" / f"{name}.py"
    if name in _bound(root / "models/__init__.py"):
        raise BenchError(
            f"A model cannot be called {name!r}, which models/__init__.py has already: choose another name."
        )
    if path.exists():
        raise BenchError(f"There is a model {name} already, models/{name}.py: choose another name, or edit that file.")
    path.write_text(_TEMPLATE.read_text(encoding="utf-8"), encoding="utf-8")
    return path


def new_backend(name: str, sampler: str, package: str | None, root: Path = ROOT) -> list[Path]:
    """Write an entry of the table of backends, and the row of what it types. Raises BenchError for a name that cannot
    be one, or is one."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise BenchError(
            f"A backend cannot be called {name!r}: lower-case letters and digits, hyphens between, as in nutpie-jax."
        )
    if name in inside()["backends"]:
        raise BenchError(f"There is a backend {name} already: choose another name, or edit sampling/backends.py.")
    for what, word in (("sampler", sampler), ("package", package)):
        if word is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*(>=\d+(\.\d+)*)?", word):
            raise BenchError(f"{word!r} is no {what}: a name, as in nutpie, or for a package nutpie>=0.14.")
    distribution = (package or "pymc").partition(">=")[0]
    asked = {re.match(r"[\w.-]+", requirement)[0] for requirement in REQUESTED}
    if distribution not in asked.union(*(stack.packages for stack in load_stacks())):
        raise BenchError(
            f"No stack has the package {distribution!r}: name it in REQUESTED of harness/stacks/resolving.py, and the "
            "stacks that are locked from then on have it."
        )
    function = "_" + name.replace("-", "_")
    table, rows = root / _BACKENDS, root / _ROWS
    if function in _bound(table):
        raise BenchError(f"A backend cannot be called {name}: sampling/backends.py has a {function} of its own.")
    entry = f'    Backend("{name}", {function}, ({f"{json.dumps(package)}," if package else ""})),\n'
    definition = (
        f"def {function}(settings: Settings, version: Version) -> dict:\n"
        f"    # TODO: what a user types beside these; where a release wants it otherwise, that release's number here.\n"
        f'    return {{**_stated(settings), "nuts_sampler": "{sampler}"}}\n\n\n'
    )
    texts = {path: path.read_text(encoding="utf-8") for path in (table, rows)}
    texts[table] = _with(table, texts[table], definition, before="def _by_name(")
    texts[table] = _with(table, texts[table], entry, before=")\n", after="BACKENDS = _by_name(")
    row = f'    "{name}": {{"nuts_sampler": "{sampler}"}},\n'
    texts[rows] = _with(rows, texts[rows], row, before="}\n", after="TYPED = {")
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return [table, rows]


def _bound(path: Path) -> set[str]:
    """What a module calls something by itself."""
    found: set[str] = set()
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
    return found


def _with(path: Path, content: str, text: str, before: str, after: str = "") -> str:
    """The content of a file, with text before the first line that begins like that, behind another."""
    start = content.find(after)
    at = content.find(f"\n{before}", start)
    if start < 0 or at < 0:
        raise BenchError(
            f"{path.name} has no line {before.strip()!r}: add the backend by hand, as CONTRIBUTING.md says."
        )
    return f"{content[: at + 1]}{text}{content[at + 1 :]}"
