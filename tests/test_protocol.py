"""What measures does not change without its version: the code of models and trials, comments and docstrings aside."""

import ast
import hashlib
import json
from pathlib import Path

from sampling.settings import PROTOCOL_VERSION

PINNED = Path(__file__).with_name("protocol.json")
ROOT = Path(__file__).parents[1]


def _without_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        if documented and ast.get_docstring(node) is not None:
            del node.body[0]
    return tree


def _digest_of_what_the_code_says() -> str:
    digest = hashlib.sha256()
    for path in sorted([*(ROOT / "models").glob("*.py"), *(ROOT / "sampling").glob("*.py")]):
        digest.update(ast.dump(_without_docstrings(ast.parse(path.read_text()))).encode())
    return digest.hexdigest()


def test_a_change_of_what_measures_comes_with_a_decision_about_its_version():
    now = {"version": PROTOCOL_VERSION, "code_sha256": _digest_of_what_the_code_says()}
    assert json.loads(PINNED.read_text()) == now, (
        "models/ or sampling/ changed. If any measured number can differ, raise PROTOCOL_VERSION in "
        f"sampling/settings.py; then, or else, write {json.dumps(now)} to tests/protocol.json."
    )
