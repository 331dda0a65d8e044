"""Whether the code that measures is the code that was last decided on, file by file: `sampling/protocol.json`.

Numbers of one protocol are compared with each other. A file of `models/` or `sampling/` that changed under the same
version could give one history of two things, so their digests are committed, and a change of one is a decision: another
version, or the word that no number can differ. A new file changes no number of the others, and needs neither.
Comments and docstrings are no code. It must not know what the code does.
"""

from __future__ import annotations

import ast
import hashlib
import json
from pathlib import Path

from harness.errors import BenchError
from harness.output import few
from harness.paths import ROOT
from harness.suite import inside

PATH = ROOT / "sampling" / "protocol.json"


def digests(root: Path = ROOT) -> dict[str, str]:
    """Of what each file says that measures, by its path."""
    files = [p for folder in ("models", "sampling") for p in (root / folder).iterdir() if p.suffix in (".py", ".csv")]
    return {p.relative_to(root).as_posix(): _digest(p) for p in sorted(files)}


def _digest(path: Path) -> str:
    if path.suffix != ".py":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError as error:
        raise BenchError(f"{path} is no Python ({error.msg}, line {error.lineno}): mend it, and try again.") from error
    return hashlib.sha256(ast.dump(_without_docstrings(tree)).encode()).hexdigest()


def _without_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        if documented and ast.get_docstring(node) is not None:
            del node.body[0]
    return tree


def differences(kept: dict, version: int, now: dict[str, str]) -> tuple[list[str], list[str]]:
    """Files that changed under the same version, and sentences on what else is not the same."""
    files = kept["files"]
    both = files.keys() & now.keys()
    changed = sorted(name for name in both if files[name] != now[name]) if kept["version"] == version else []
    other = [f"{name} is new" for name in sorted(now.keys() - files.keys())]
    other += [f"{name} is gone" for name in sorted(files.keys() - now.keys())]
    if kept["version"] != version:
        other.insert(0, f"the protocol has version {version}, not {kept['version']}")
    return changed, other


def check() -> str:
    """Say that the digests are current. Raises BenchError where they are not, with what to do."""
    changed, other = differences(_kept(), inside()["protocol"], digests())
    if changed:
        raise BenchError(_without_a_version(changed))
    if other:
        raise BenchError(
            f"The list of measured code is not current ({few(other)}): `bench check --update` writes it; commit it."
        )
    return f"The list of measured code is current: {len(digests())} files."


def update(same_numbers: bool = False) -> str:
    """Write the digests anew. Raises BenchError where a file changed and the version did not, unless told it may."""
    kept, version, now = _kept(), inside()["protocol"], digests()
    changed, other = differences(kept, version, now)
    if changed and not same_numbers:
        raise BenchError(_without_a_version(changed))
    PATH.write_text(json.dumps({"version": version, "files": now}, indent=1) + "\n", encoding="utf-8")
    return f"Wrote sampling/protocol.json ({few([f'{name} changed' for name in changed] + other) or 'as it was'})."


def _without_a_version(changed: list[str]) -> str:
    return (
        f"{few(changed)} changed and the protocol did not: where any measured number can differ, raise "
        "PROTOCOL_VERSION in sampling/settings.py, then `bench check --update`; where none can, "
        "`bench check --update --same-numbers` is enough."
    )


def _kept() -> dict:
    try:
        document = json.loads(PATH.read_text(encoding="utf-8"))
        if isinstance(document["version"], int) and isinstance(document["files"], dict):
            return document
        raise ValueError("not the digests of files")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchError(
            "sampling/protocol.json is missing or damaged: restore it with `git checkout -- sampling/protocol.json`."
        ) from error
