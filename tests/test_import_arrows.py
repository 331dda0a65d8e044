"""Who may import whom: models nothing of the project, sampling models, benchmarks sampling, harness nothing inside; and
within the harness each wing only those below it."""

import ast
import sys
from graphlib import CycleError, TopologicalSorter
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
    # In every stack since PyMC 5.12, and not needed before.
    ("sampling/provenance.py", "threadpoolctl"),
    ("sampling/gradient.py", "threadpoolctl"),
}


def _named(path: Path) -> set[str]:
    """All that a file imports, at its top or anywhere in it, by whatever way of importing."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = path.parents[node.level - 1].relative_to(ROOT).parts if node.level else ()
            module = ".".join([*above, *filter(None, [node.module])])
            found |= {f"{module}.{alias.name}" for alias in node.names} | {module}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            found |= {argument.value for argument in node.args if isinstance(argument, ast.Constant)}
    return found


def _imports(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in _named(path)}


@pytest.mark.parametrize(
    "line",
    [
        "from harness import nightly", "import harness.nightly", "from harness.nightly import app",
        "import importlib; importlib.import_module('harness.nightly')", "__import__('harness.nightly')",
        "def f():\n    from harness.nightly import alerts", "if TYPE_CHECKING:\n    import harness.nightly.alerts",
    ],
)  # fmt: skip
def test_no_way_of_importing_is_overlooked(tmp_path, line):
    (tmp_path / "module.py").write_text(line)
    assert _imports(tmp_path / "module.py") - {"importlib"} == {"harness"}
    assert {_floor(name) for name in _imported(tmp_path / "module.py", _harness()) if "." in name} == {2}


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
    # What is injected into a copy of a stack runs there, and is never imported here.
    injected = ROOT / "harness/measuring/injected.py"
    for path in sorted({*(ROOT / "harness").rglob("*.py")} - {injected}):
        measured = _imports(path) & {"pymc", "pytensor", "numba", "jax", "nutpie", "numpyro", "blackjax", "arviz"}
        assert not measured, f"{path.relative_to(ROOT)} imports {measured}"


# From the top down; the last ones are modules, on which everything may stand.
FLOORS = (
    "cli", "adding", "nightly", "site", "asv_plugins", "measuring", "judging", "results", "stacks", "suite", "output",
    "errors", "paths",
)  # fmt: skip


def _harness() -> dict[str, Path]:
    """All modules of the harness, by name."""
    found = {}
    for path in sorted((ROOT / "harness").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _imported(path: Path, modules: dict[str, Path]) -> set[str]:
    """The harness's modules and wings that a file imports."""
    return _named(path) & modules.keys()


def _floor(module: str) -> int:
    return FLOORS.index(module.split(".")[1])


def test_every_module_of_the_harness_is_on_a_floor():
    assert {name.split(".")[1] for name in _harness() if "." in name} == set(FLOORS)


def test_the_project_itself_imports_nothing():
    assert not _named(ROOT / "harness/__init__.py")


def test_imports_run_downward_from_wing_to_wing():
    modules = _harness()
    upward = {
        f"{name} → {other}"
        for name, path in modules.items()
        if "." in name
        for other in _imported(path, modules)
        if "." in other and _floor(other) < _floor(name)
    }
    assert not upward


def test_no_modules_import_each_other_in_a_circle():
    modules = _harness()
    # A wing's own file is loaded with each of its modules, and lists its commands.
    alone = {name for name, path in modules.items() if path.name != "__init__.py"}
    graph = {name: _imported(modules[name], modules) & alone for name in alone}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


@pytest.mark.parametrize("folder", ["harness", "sampling", "models", "benchmarks"])
def test_no_module_is_longer_than_anybody_reads(folder):
    long = {path.name: n for path in (ROOT / folder).rglob("*.py") if (n := len(path.read_text().splitlines())) > 400}
    assert not long
