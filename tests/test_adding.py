"""A contributor begins with a model or a backend that runs: what `bench model new` and `bench backend new` write."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from harness import cli
from harness.adding import commands, skeletons
from harness.errors import BenchError
from harness.paths import ROOT


@pytest.fixture
def project(tmp_path, monkeypatch):
    """What of the project a contributor changes, in a place of its own."""
    for folder in ("models", "sampling"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "tests/test_backends.py", tmp_path / "tests")
    return tmp_path


def asked(project, *arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "sampling", *arguments], cwd=project, capture_output=True, text=True, check=False
    )


def test_a_new_model_can_be_measured_at_once(project):
    path = skeletons.new_model("zz_coin_toss", project)
    assert path == project / "models/zz_coin_toss.py"
    described = asked(project, "--describe")
    assert described.returncode == 0, described.stderr
    assert json.loads(described.stdout)["models"]["zz_coin_toss"] == {"sizes": [50], "discrete": False}


@pytest.mark.parametrize("arguments", [("--describe",), ("zz_coin", "--data")])
def test_what_a_model_prints_is_no_part_of_an_answer(project, arguments):
    path = skeletons.new_model("zz_coin", project)
    path.write_text(path.read_text().replace("SIZES:", 'print("HELLO")\nSIZES:'))
    answered = asked(project, *arguments)
    assert isinstance(json.loads(answered.stdout), dict)
    assert "HELLO" in answered.stderr


def test_the_model_to_begin_with_is_right(project):
    """Its mean and sd, against a sum over a grid, and its log density, against the definition."""
    spec = importlib.util.spec_from_file_location("models.zz_coin", skeletons.new_model("zz_coin", project))
    coin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(coin)
    mean, y = np.linspace(0, 4, 4001), coin.data(50)
    log_density = coin.log_density({"mean": mean}, 50)
    by_hand = -0.5 * (mean / 10) ** 2 - np.log(10) - 0.5 * np.log(2 * np.pi)
    by_hand += (-0.5 * (y - mean[:, None]) ** 2 - 0.5 * np.log(2 * np.pi)).sum(axis=1)
    np.testing.assert_allclose(log_density, by_hand)
    weight = np.exp(log_density - log_density.max())
    weight /= weight.sum()
    exact = coin.reference(50)["mean"]
    assert exact.mean == pytest.approx(weight @ mean)
    assert exact.sd == pytest.approx(np.sqrt(weight @ (mean - exact.mean) ** 2))


def test_what_is_left_to_fill_in_is_marked(project):
    text = skeletons.new_model("zz_coin", project).read_text()
    assert text.count("TODO") >= 5
    for name in ("data", "estimands", "log_density", "reference"):
        assert re.search(rf'def {name}\(.*\n    """TODO', text), name


@pytest.mark.parametrize(
    ("name", "why"), [("class", "a word of Python's own"), ("gradient", "what other benchmarks are called")]
)
def test_a_name_that_has_another_meaning_is_refused_with_it(project, name, why):
    (project / "benchmarks").mkdir(exist_ok=True)
    (project / "benchmarks/gradient.py").touch()
    with pytest.raises(BenchError, match=f"A model cannot be called '{name}', which is {why}"):
        skeletons.new_model(name, project)


@pytest.mark.parametrize("name", ["Coin", "_coin", "2coins", "coin-toss", "class", "", "coin.toss", "../coin", "münze"])
def test_a_name_that_cannot_be_a_models_is_one_sentence(project, name):
    with pytest.raises(BenchError, match="A model cannot be called"):
        skeletons.new_model(name, project)


def test_no_model_is_written_over(project):
    before = (project / "models/ppca.py").read_text()
    with pytest.raises(BenchError, match="There is a model ppca already"):
        skeletons.new_model("ppca", project)
    assert (project / "models/ppca.py").read_text() == before


@pytest.mark.parametrize("package", [None, "nutpie", "nutpie>=0.14"])
def test_a_new_backend_is_in_the_table_and_has_its_row(project, package):
    skeletons.new_backend("zz-torch", "nutpie", package, project)
    described = asked(project, "--describe")
    assert described.returncode == 0, described.stderr
    assert json.loads(described.stdout)["backends"][-1] == "zz-torch"
    code = (
        "from sampling import backends; from sampling.settings import Settings\n"
        "b = backends.load('zz-torch')\n"
        "print(b.packages, b.call(Settings('ppca', 500, 'zz-torch'), (6, 4, 0))['nuts_sampler'])"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True)
    assert told.stdout == f"{(package,) if package else ()} nutpie\n"
    rows = (project / "tests/test_backends.py").read_text()
    assert rows.index('    "zz-torch": {"nuts_sampler": "nutpie"},\n') < rows.index("def call(")
    compile(rows, "test_backends.py", "exec")


def test_what_is_written_is_as_ruff_wants_it(project):
    skeletons.new_backend("zz-torch", "nutpie", "nutpie>=0.14", project)
    skeletons.new_model("zz_coin", project)
    shutil.copy(ROOT / "pyproject.toml", project)
    changed = ["sampling/backends.py", "models/zz_coin.py", "tests/test_backends.py"]
    for check in (["format", "--check"], ["check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *check, *changed], cwd=project, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["Nutpie", "nutpie_torch", "-x", "a--b", "", "a b", "../x"])
def test_a_name_that_cannot_be_a_backends_is_one_sentence(project, name):
    with pytest.raises(BenchError, match="A backend cannot be called"):
        skeletons.new_backend(name, "nutpie", None, project)


@pytest.mark.parametrize(
    ("sampler", "package", "word"), [('x"y', None, "sampler"), ("x", "nutpie<1", "package"), ("x", "a, b", "package")]
)
def test_what_is_no_name_of_a_package_or_sampler_is_one_sentence(project, sampler, package, word):
    with pytest.raises(BenchError, match=f"is no {word}: a name"):
        skeletons.new_backend("zz-mine", sampler, package, project)


def test_a_package_that_no_stack_has_is_one_sentence(project):
    before = (project / "sampling/backends.py").read_text()
    with pytest.raises(BenchError, match=r"No stack has the package 'nosuch': name it in REQUESTED of"):
        skeletons.new_backend("zz-mine", "nutpie", "nosuch>=1", project)
    assert (project / "sampling/backends.py").read_text() == before


def test_no_backend_is_written_twice(project):
    with pytest.raises(BenchError, match="There is a backend pymc-c already"):
        skeletons.new_backend("pymc-c", "pymc", None, project)


@pytest.mark.parametrize("name", ["nutpie", "numpyro", "pymc", "stated"])
def test_a_backend_is_not_called_as_what_the_table_stands_on(project, name):
    before = (project / "sampling/backends.py").read_text()
    with pytest.raises(BenchError, match=f"sampling/backends.py has a _{name} of its own"):
        skeletons.new_backend(name, "nutpie", None, project)
    assert (project / "sampling/backends.py").read_text() == before


@pytest.mark.parametrize("name", ["load", "names", "pkgutil"])
def test_a_model_is_not_called_as_what_the_package_has(project, name):
    with pytest.raises(BenchError, match=r"which models/__init__\.py has already"):
        skeletons.new_model(name, project)


def test_where_one_of_the_tables_was_rearranged_the_other_is_left_as_it_is(project):
    before = (project / "sampling/backends.py").read_text()
    (project / "tests/test_backends.py").write_text("ROWS = {}\n")
    with pytest.raises(BenchError, match="add the backend by hand"):
        skeletons.new_backend("zz-mine", "nutpie", None, project)
    assert (project / "sampling/backends.py").read_text() == before


def test_a_table_that_was_rearranged_is_left_as_it_is(project):
    (project / "sampling/backends.py").write_text("BACKENDS = make()\n")
    with pytest.raises(BenchError, match="add the backend by hand"):
        skeletons.new_backend("zz-mine", "nutpie", None, project)
    assert (project / "sampling/backends.py").read_text() == "BACKENDS = make()\n"


def test_the_commands_say_what_comes_next(project, monkeypatch):
    monkeypatch.setattr(skeletons, "ROOT", project)
    monkeypatch.setattr(commands, "ROOT", project)
    for function in (skeletons.new_model, skeletons.new_backend):
        monkeypatch.setattr(function, "__defaults__", (project,))
    said = CliRunner().invoke(cli.app, ["model", "new", "zz_coin"]).output
    assert "models/zz_coin.py" in said
    assert "bench model check zz_coin" in said
    said = CliRunner().invoke(cli.app, ["backend", "new", "zz-mine", "--sampler", "nutpie"]).output
    assert "sampling/backends.py and tests/test_backends.py" in said
    assert "bench check --update" in said


@pytest.mark.sampling
@pytest.mark.network
def test_a_new_model_is_complete_with_a_real_pymc(project):
    from harness.stacks.environments import process_environment, python, stack_environment
    from harness.stacks.locks import get_stack

    stack = get_stack("v6.4.0")
    skeletons.new_model("zz_coin", project)
    command = [python(stack_environment(stack)), "-m", "sampling"]
    variables = {**process_environment(stack), "HOME": str(project)}

    def run(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [*command, "zz_coin", *arguments], cwd=project, env=variables, capture_output=True, text=True, check=False
        )

    def check() -> tuple[int, str]:
        done = run("--check")
        return done.returncode, done.stdout + done.stderr

    path = project / "models/zz_coin.py"
    status, said = check()
    assert status == 1
    assert re.fullmatch(r"models/zz_coin.py says TODO in line \d+(, \d+)+: fill it in.\n", said)
    path.write_text(path.read_text().replace("TODO", "Done"))
    whole = path.read_text()
    status, said = check()
    assert status == 0, said
    assert "coin: 1 estimands (mean); its reference takes" in said
    for right, wrong, sentence in (
        ("error=0.0", "error=0.01", "is known to 0.0707 of its sd"),
        ("precision**-0.5", "-1.0", "must be finite, and the sd positive"),
        ('{"mean": Moments(', '{"mu": Moments(', "they must be the same"),
        ('{"mean": posterior["mean"]}', '{"mean": posterior["mean"][0]}', "The estimand 'mean' has the shape (3,)"),
        ("- 0.5 * squares", "- 0.6 * squares", "log_density is not that of the model"),
        ("DISCRETE = False", "DISCRETE = True", "the model has no discrete free variables"),
        ("0, _MEAN_SD)", "0, _MEAN_SD, initval=1.0)", "mean has an initial value: some releases of nutpie ignore it"),
        ("import pymc as pm\n", "raise SystemExit(0)\n", "The model ends Python: SystemExit(0)."),
        ("- 0.5 * squares", "- np.inf * squares", "log_density is -inf where the model can be"),
        ('pm.Normal("y", mean, 1', 'pm.Normal("y", mean, -1', "log_density is not that of the model"),
        ("_MEAN_SD**-2", "no_such**-2", r"NameError: name 'no_such' is not defined (models/zz_coin.py, line "),
        ('pm.Normal("y", mean, 1', 'pm.Normal("y", no_such, 1', ", in build)."),
        (
            "precision = n",
            "import time; time.sleep(20.1); precision = n",
            "The reference takes 20.1 s: it must be there",
        ),
    ):
        assert right in whole
        path.write_text(whole.replace(right, wrong))
        status, said = check()
        assert status == 1, right
        assert sentence in said
    # What it prints, here and in the processes it is sampled in, is no part of its record.
    path.write_text(whole.replace("SIZES:", 'print("HELLO")\nSIZES:'))
    done = run("--backend", "nutpie-numba", "--tune", "200", "--draws", "200", "--outcome")
    record = json.loads(done.stdout)
    assert (record["outcome"], record["control"], "graph" in record) == ("ok", None, False), done.stderr
    assert "HELLO" in done.stderr
