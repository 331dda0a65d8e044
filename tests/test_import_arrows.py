"""Who may import whom: models nothing of the project, sampling models, benchmarks sampling, harness nothing inside."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = {"models", "sampling", "benchmarks", "harness", "stacks", "tests"}
ALLOWED = {
    "models": {"models"},
    "sampling": {"sampling", "models"},
    "benchmarks": {"benchmarks", "sampling", "models"},
    "harness": {"harness"},
}
# What every stack contains since PyMC 5.10; threadpoolctl came with 5.12 and is optional in provenance.py.
IN_EVERY_STACK = {"numpy", "scipy", "pymc", "pytensor", "arviz", "xarray"}
NAMED_EXCEPTIONS = {
    # Imported only by the hook that runs when NumPyro itself has been imported.
    ("sampling/window.py", "numpyro"),
    ("sampling/provenance.py", "threadpoolctl"),
}


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("folder", ALLOWED)
def test_a_folder_imports_only_what_the_design_allows(folder):
    modules = sorted((ROOT / folder).rglob("*.py"))
    assert modules, f"{folder}/ has no modules"
    for path in modules:
        outside = (_imports(path) & OURS) - ALLOWED[folder]
        assert not outside, f"{path.relative_to(ROOT)} imports {outside}"


@pytest.mark.parametrize("folder", ["models", "sampling", "benchmarks"])
def test_code_inside_a_measured_environment_needs_nothing_beyond_the_stack(folder):
    for path in sorted((ROOT / folder).rglob("*.py")):
        name = str(path.relative_to(ROOT))
        foreign = _imports(path) - set(sys.stdlib_module_names) - OURS - IN_EVERY_STACK
        foreign = {package for package in foreign if (name, package) not in NAMED_EXCEPTIONS}
        assert not foreign, f"{name} imports {foreign}"


def test_the_harness_never_imports_the_packages_that_it_measures():
    for path in sorted((ROOT / "harness").rglob("*.py")):
        measured = _imports(path) & {"pymc", "pytensor", "numba", "jax", "nutpie", "numpyro", "blackjax", "arviz"}
        assert not measured, f"{path.relative_to(ROOT)} imports {measured}"
