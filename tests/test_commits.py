"""Promises about measuring commits of PyMC: what moves in a stack for a commit, and asv's commands on its history.

Most of them are kept with a package index of tiny wheels that says when each was uploaded, and a Git repository of a
tiny PyMC; uv, Git and asv are the real ones. The last ones take released PyMC, as a repository of three commits.
"""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import time
from datetime import UTC
from pathlib import Path

import pytest
from pypi_simple import PyPISimple

from harness.asv_plugins import finding
from harness.errors import BenchError
from harness.stacks import commits, environments, variants
from harness.stacks.environments import holds
from harness.stacks.locks import Stack, get_stack, parse
from harness.stacks.releases import project_files
from harness.stacks.variants import COMMIT, PutIn, Variant, move
from tests.conftest import copy_suite, share_bytecode
from tests.small_index import BACKEND, PYPROJECT, Index, day, wheel

ROOT = Path(__file__).resolve().parents[1]
ASV = Path(sysconfig.get_path("scripts")) / "asv"
CONFIG = ("--config", "asv.commits.conf.json")
BENCHMARK = """\
import importlib.metadata, os

def track_digits():
    assert os.environ["BENCH_STACK"].endswith("-v1.0")
    assert len(os.environ["BENCH_LOCK_SHA256"]) == 64
    return float(importlib.metadata.version("pymc").replace(".", ""))

def track_pytensor():
    return float(importlib.metadata.version("pytensor").replace(".", ""))
"""


def lock(n: int, uploaded: str) -> str:
    """Return the lock of a stack whose PyTensor, Numba and JAX are all at n."""
    pins = {"arviz": "1.0", "blackjax": "1.0", "numpyro": "1.0", "nutpie": "1.0", "pymc": "1.0"}
    pins |= dict.fromkeys(("jax", "numba", "pytensor"), f"{n}.0")
    header = f"# release: pymc 1.0\n# uploaded: {uploaded}T00:00:00Z\n"
    return header + "".join(f"{name}=={version}\n" for name, version in sorted(pins.items()))


def resolved(folder: Path, base: Stack, date: str, *requires: str, version: str = "9.0") -> Variant:
    """Return the stack of a commit with these requirements."""
    wheel(variants.folder_of("c" * 40), "pymc", version, requires)
    path = folder / "lock.txt"
    path.write_text(variants.resolve(base, [PutIn("pymc", version, COMMIT, "c" * 40)], day(date)))
    return variants.read(path)


OLD, NEW = parse(lock(1, "2024-01-15")), parse(lock(4, "2024-07-15"))


def test_a_commit_that_demands_nothing_new_moves_nothing(online):
    stack = resolved(online, OLD, "2024-08-01", "pytensor>=1")
    assert stack.moved == ()
    assert dict(stack.packages) == dict(OLD.packages) | {"pymc": "9.0"}


def test_only_what_the_commit_demands_moves(online):
    stack = resolved(online, OLD, "2024-08-01", "pytensor>=2,<3")
    assert stack.moved == ("pytensor 1.0 → 2.0",)


def test_what_moves_is_never_newer_than_the_commit(online):
    stack = resolved(online, OLD, "2024-05-15", "pytensor>=2")
    assert stack.packages["pytensor"] == "3.0"


def test_a_commit_from_before_its_stack_moves_to_versions_of_its_own_day(online):
    # PyTensor 2.0 of March cannot run with Numba 4.0 of July; Numba 3.0 of May came after the commit as well.
    stack = resolved(online, NEW, "2024-04-01", "pytensor<4")
    assert set(stack.moved) == {"pytensor 4.0 → 2.0", "numba 4.0 → 2.0"}
    assert stack.packages["jax"] == "4.0"


def test_what_a_commit_adds_is_not_newer_than_the_commit(online, index):
    for uploaded, version in (("2024-02-01", "1.0"), ("2024-06-01", "2.0")):
        index.add(uploaded, "better", version)
    assert resolved(online, NEW, "2024-04-01", "pytensor", "better").moved == ("+ better 1.0",)


def test_nobodys_bound_on_pymc_keeps_a_development_version_out(online):
    assert resolved(online, OLD, "2024-08-01", version="0+unknown").packages["pymc"] == "0+unknown"


def test_a_commit_that_nothing_of_its_day_satisfies_is_one_sentence(online):
    with pytest.raises(
        BenchError, match=r"^pymc 9\.0 \(commit cccccccccc\) cannot be put into v1\.0 beside [^\n]*pytensor[^\n]*$"
    ):
        resolved(online, OLD, "2024-02-01", "pytensor>=2")


def test_what_only_followed_another_package_is_put_back():
    def solve(moving: frozenset[str], staying: frozenset[str]) -> dict[str, str]:
        if "a" in staying:
            raise BenchError("a must move")
        return {"a": "0", "b": "1" if "b" in staying else "0", "c": "1"}

    assert move({"a": "1", "b": "1", "c": "1"}, solve) == {"a": "0", "b": "1", "c": "1"}


def test_a_package_is_not_put_back_at_the_price_of_another():
    def solve(moving: frozenset[str], staying: frozenset[str]) -> dict[str, str]:
        return {"a": "1", "b": "-1"} if "a" in staying else {"a": "0", "b": "1"}

    assert move({"a": "1", "b": "1"}, solve) == {"a": "0", "b": "1"}


def test_the_same_commit_in_another_stack_is_another_stack():
    assert commits.tag_of("1" * 40, "v6.4.0") != commits.tag_of("1" * 40, "v6.3.2")


@pytest.mark.parametrize("damage", ["", "# commit: 1\n", "# project: pymc 1.0\n# complete\n"])
def test_a_damaged_lock_is_named_with_the_next_step(tmp_path, damage):
    (tmp_path / "x.txt").write_text(damage)
    with pytest.raises(BenchError, match=r"^\S*x\.txt is damaged: delete it, and it is solved again\.$"):
        variants.read(tmp_path / "x.txt")


class Maintainer:
    """A clone of a tiny PyMC, and a fresh clone of the suite beside it."""

    def __init__(self, folder: Path, index: str) -> None:
        self.suite, self.clone, self.index = folder / "suite", folder / "clone", index
        shutil.copytree(ROOT / "harness", self.suite / "harness", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("models", "sampling"):
            shutil.copytree(ROOT / name, self.suite / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("asv.commits.conf.json", "pyproject.toml"):
            shutil.copy(ROOT / name, self.suite)
        for name in ("benchmarks", "stacks", "home"):
            (self.suite / name).mkdir()
        self.benchmarks = self.suite / "benchmarks"
        (self.benchmarks / "__init__.py").write_text("")
        (self.benchmarks / "b.py").write_text(BENCHMARK)
        (self.suite / "stacks" / "v1.0.txt").write_text(lock(1, "2024-01-15"))
        self.stack("v1.0")
        self.clone.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        (self.clone / "backend.py").write_text(BACKEND)
        (self.clone / "pyproject.toml").write_text(PYPROJECT)

    def stack(self, name: str) -> None:
        config = self.suite / "asv.commits.conf.json"
        config.write_text(config.read_text().replace('["v6.4.0"]', f'["{name}"]'))

    def git(self, *arguments: str, date: str = "2024-01-01") -> str:
        when = f"{date}T00:00:00Z"
        who = {f"GIT_{w}_{k}": v for w in ("AUTHOR", "COMMITTER") for k, v in (("NAME", "n"), ("EMAIL", "n@n.invalid"))}
        variables = os.environ | who | {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
        done = subprocess.run(
            ["git", *arguments], cwd=self.clone, env=variables, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def commit(self, date: str, version: str, *requires: str, backend: str = BACKEND) -> str:
        for name, text in (("version", version), ("requires", "\n".join(requires)), ("backend.py", backend)):
            (self.clone / name).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", version, date=date)
        return self.git("rev-parse", "HEAD")

    def variables(self, **changes: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "XDG_CONFIG_HOME")}
        own = {"HOME": str(self.suite / "home"), "UV_CACHE_DIR": str(self.suite / "uv"), "BENCH_MACHINE": "m"}
        return kept | own | {"UV_DEFAULT_INDEX": self.index, "BENCH_REPOSITORY": str(self.clone)} | changes

    def start(self, *arguments: str, **changes: str) -> subprocess.Popen:
        return subprocess.Popen(
            [ASV, *arguments], cwd=self.suite, env=self.variables(**changes), text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def asv(self, *arguments: str, **changes: str) -> tuple[int, str]:
        process = self.start(*arguments, **changes)
        output, _ = process.communicate(timeout=300)
        assert "Traceback" not in output, output
        return process.returncode, output

    def number(self, commit: str, benchmark: str = "b.track_digits") -> float | None:
        (path,) = (self.suite / "results/commits/asv/m").glob(f"{commit[:8]}-commit-py3.12-stackv*.json")
        values = json.loads(path.read_text())["results"][benchmark][0]
        return values[0] if values else None


@pytest.fixture
def maintainer(index: Index, tmp_path: Path) -> Maintainer:
    return Maintainer(tmp_path, index.url)


def test_asvs_commands_work_on_the_history_of_the_project(maintainer):
    first = maintainer.commit("2024-02-01", "1.1", "pytensor>=1")
    broken = maintainer.commit("2024-04-01", "1.2", backend="raise RuntimeError('half done')")
    second = maintainer.commit("2024-06-01", "1.3", "pytensor>=2,<3")
    last = maintainer.commit("2024-08-01", "1.4", "pytensor>=2,<3")

    status, output = maintainer.asv(*CONFIG, "run", f"{first}..main")
    assert status == 2, output
    assert f"Commit {broken[:10]} cannot be built: RuntimeError: half done" in output
    assert f"{second[:10]} in v1.0: pytensor 1.0 → 2.0" in output
    assert (maintainer.number(broken), maintainer.number(second), maintainer.number(last)) == (None, 13.0, 14.0)

    recorded = maintainer.suite / f"results/commits/records/m/{second[:10]}-v1.0/stack.txt"
    assert "# moved: pytensor 1.0 → 2.0\n" in recorded.read_text()
    assert "\njax==1.0\n" in recorded.read_text()

    status, output = maintainer.asv("compare", *CONFIG, second, last)
    assert status == 0, output
    assert "b.track_digits" in output

    status, output = maintainer.asv("continuous", *CONFIG, first, "main", "--bench", "track_pytensor")
    assert "PERFORMANCE DECREASED" in output, output
    assert maintainer.number(first, "b.track_pytensor") == 10.0

    assert maintainer.asv("publish", *CONFIG)[0] == 0
    assert "b.track_digits" in (maintainer.suite / ".asv/commits/html/index.json").read_text()
    assert not (maintainer.suite / "html").exists()
    assert maintainer.git("status", "--porcelain") == ""


def test_find_names_the_commit_that_made_it_slower_and_steps_over_a_broken_one(maintainer):
    made = []
    for number in range(8):
        backend = "raise RuntimeError('half done')" if number == 3 else BACKEND
        requires = ["pytensor>=2,<3"] if number >= 2 else ["pytensor"]
        made.append(maintainer.commit("2024-06-01", f"1.{number}", *requires, backend=backend))
    status, output = maintainer.asv("find", *CONFIG, "main", "b.track_pytensor")
    assert status == 0, output
    assert f"Commit {made[3][:10]} cannot be built: RuntimeError: half done" in output
    assert f"Greatest regression found: {made[2][:8]}" in output


FAILS = """\
import importlib.metadata

def track_slow():
    commit = int(importlib.metadata.version("pymc").partition(".")[2])
    assert commit not in FAILING, "does not run"
    return 20 if commit >= SLOW else 10
"""


@pytest.fixture(scope="module")
def history(index: Index, tmp_path_factory: pytest.TempPathFactory) -> tuple[Maintainer, list[str]]:
    """A clone with eight commits that each search builds and solves once for all that come after it."""
    maintainer = Maintainer(tmp_path_factory.mktemp("history"), index.url)
    return maintainer, [maintainer.commit("2024-06-01", f"1.{number}", "pytensor") for number in range(8)]


def search(history: tuple, slow: int, failing: set[int], size: int = 8) -> tuple[list[str], int, str]:
    """Look for the commit that made it slow, where the benchmark fails at some; returns commits, status and output.

    The branch ends after so many commits.
    """
    maintainer, made = history
    maintainer.git("reset", "--quiet", "--hard", made[size - 1])
    text = FAILS.replace("FAILING", repr(failing)).replace("SLOW", str(slow))
    (maintainer.benchmarks / "b.py").write_text(text)
    names = [f"{made[number][:8]} <main~{size - 1 - number}>".replace("~0", "") for number in range(size)]
    return names, *maintainer.asv("find", *CONFIG, "main", "b.track_slow")


def test_find_names_no_commit_where_those_that_may_be_it_cannot_be_measured(history):
    made, status, output = search(history, slow=5, failing={5, 6, 7})
    assert status == 1, output
    assert "found:" not in output
    assert "Cannot tell which commit is the regression: those that were measured do not clearly differ" in output
    assert f"no number of {made[5]}, {made[6]}, {made[7]}." in output


def test_find_says_between_which_commits_it_must_be_when_it_cannot_tell(history):
    made, status, output = search(history, slow=3, failing={3, 4}, size=6)
    assert status == 1, output
    assert "found:" not in output
    assert f"the last known to be good is {made[2]}, the first known to be bad is {made[5]}" in output
    assert f"there is no number of {made[3]}, {made[4]}." in output


def test_find_still_names_a_commit_that_differs_from_its_parent_and_says_what_it_does_not_know(history):
    made, status, output = search(history, slow=2, failing={7})
    assert status == 0, output
    assert f"What {made[7]} changed is not known" in output
    assert f"Greatest regression found: {made[2]}" in output


def test_find_names_nothing_in_a_range_that_leaves_nothing_to_search(history):
    _, status, output = search(history, slow=1, failing=set(), size=2)
    assert status == 1
    assert "Nothing was measured: a range of 2 leaves nothing to search" in output
    assert "found:" not in output


LOOKED_AT_NOTHING, FAILED = None, [None]


@pytest.mark.parametrize(
    ("measured", "answer", "judged"),
    [
        ([[10.0], [10.0], [20.0], [20.0]], 2, (1, 2)),
        ([[10.0], [10.0], [10.0]], 1, None),
        ([[10.0], [10.0], FAILED, FAILED, [20.0]], None, (1, 4)),
        ([[10.0], [10.0], [math.nan], LOOKED_AT_NOTHING, [20.0]], 1, (1, 4)),
        # A step such as noise makes is no answer beside an end that could not be measured.
        ([[10.0], [10.1], [10.0], FAILED], 1, None),
        ([[10.0], [10.1], [10.1], [10.1]], 1, (0, 1)),
        ([[10.0], [20.0], [20.0], FAILED], 1, (0, 1)),
        # Only what both have says anything.
        ([[10.0, None], [10.0, 20.0], [None, 20.0]], 1, None),
        ([], None, None),
        ([FAILED, FAILED], None, None),
    ],
)
def test_what_find_names_differs_from_its_parent(measured, answer, judged):
    assert finding.judge(measured, answer) == judged
    turned = [values and [value and 1 / value for value in values] for values in measured]
    assert finding.judge(turned, answer, invert=True) == judged


def test_a_recorded_stack_is_measured_again_and_not_solved_anew(maintainer, index):
    commit = maintainer.commit("2024-06-01", "1.1", "pytensor", "extra-thing")
    index.add("2024-01-01", "extra_thing", "1.0")
    assert maintainer.asv(*CONFIG, "run", "main^!")[0] == 0
    recorded = maintainer.suite / f"results/commits/records/m/{commit[:10]}-v1.0/stack.txt"
    before = recorded.read_text()
    shutil.rmtree(maintainer.suite / ".asv")
    index.add("2024-02-01", "extra_thing", "2.0")
    assert maintainer.asv(*CONFIG, "run", "main^!")[0] == 0
    assert recorded.read_text() == before
    assert "extra-thing==1.0" in before


@pytest.mark.parametrize(
    "changes",
    [{"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"}, {"UV_OFFLINE": "1"}],
    ids=["unreachable", "offline"],
)
def test_the_network_is_not_a_failure_of_the_commit(maintainer, changes):
    maintainer.commit("2024-06-01", "1.1", "pytensor")
    status, output = maintainer.asv(*CONFIG, "run", "main^!", **changes)
    assert status == 1
    assert "check the network connection" in output
    assert not list((maintainer.suite / "results/commits/asv/m").glob("*-commit-*.json"))


def test_a_repository_elsewhere_is_mirrored_and_fetched_from(maintainer):
    remote = maintainer.clone.as_uri()
    first = maintainer.commit("2024-06-01", "1.1", "pytensor")
    assert maintainer.asv(*CONFIG, "run", "main^!", BENCH_REPOSITORY=remote)[0] == 0
    second = maintainer.commit("2024-06-02", "1.2", "pytensor")
    assert maintainer.asv(*CONFIG, "run", "main^!", BENCH_REPOSITORY=remote)[0] == 0
    assert (maintainer.number(first), maintainer.number(second)) == (11.0, 12.0)
    assert not (maintainer.suite / "pymc").exists()


@pytest.mark.parametrize(
    "kind", [["--filter=blob:none"], ["--depth=1"], ["--bare"]], ids=["partial", "shallow", "bare"]
)
def test_a_clone_of_any_kind_will_do(maintainer, kind):
    maintainer.commit("2024-06-01", "1.1", "pytensor")
    commit = maintainer.commit("2024-06-02", "1.2", "pytensor")
    maintainer.git("config", "uploadpack.allowFilter", "true")
    other = maintainer.suite / "other"
    maintainer.git("clone", "--quiet", "--no-checkout", *kind, maintainer.clone.as_uri(), str(other))
    status, output = maintainer.asv(*CONFIG, "run", "main^!", BENCH_REPOSITORY=str(other))
    assert status == 0, output
    assert maintainer.number(commit) == 12.0


NAMED = '[project]\nname = "PyTensor"\ndynamic = ["version"]\n'


@pytest.fixture
def named(maintainer) -> Maintainer:
    """A maintainer of a project that says its name in pyproject.toml, as PyTensor does."""
    (maintainer.clone / "pyproject.toml").write_text(PYPROJECT + NAMED)
    maintainer.commit("2024-06-01", "1.1", "pytensor")
    return maintainer


def test_commits_and_pages_are_those_of_the_project_that_the_clone_is_of(named):
    status, output = named.asv(*CONFIG, "run", "main^!")
    assert status == 0, output
    assert "For pytensor commit" in output
    assert "pymc commit" not in output
    # Results are kept by the same names as those of any other project.
    assert named.number(named.git("rev-parse", "main")) == 11.0
    assert named.asv(*CONFIG, "publish")[0] == 0
    assert json.loads((named.suite / ".asv/commits/html/index.json").read_text())["project"] == "pytensor"


def test_a_repository_elsewhere_is_announced_as_its_project(named):
    _, output = named.asv(*CONFIG, "run", "main^!", BENCH_REPOSITORY=named.clone.as_uri())
    assert "For pytensor commit" in output


def project(path: Path, address: str = "https://example.org/x/pytensor.git") -> str:
    return commits.project_name(path, address, ("main",), "pymc")


@pytest.mark.parametrize(
    "kind",
    [["--filter=blob:none"], ["--depth=1"], ["--bare"], ["--mirror"]],
    ids=["partial", "shallow", "bare", "mirror"],
)
def test_a_clone_of_any_kind_in_a_folder_of_any_name_says_its_project(named, kind):
    named.git("config", "uploadpack.allowFilter", "true")
    other = named.suite / "pymc"
    named.git("clone", "--quiet", "--no-checkout", *kind, named.clone.as_uri(), str(other))
    assert project(other) == "pytensor"


def test_a_branch_that_is_checked_out_does_not_change_the_project(named):
    named.git("checkout", "--quiet", "--orphan", "pages")
    named.git("rm", "-rfq", ".")
    named.git("commit", "--quiet", "--allow-empty", "--message", "pages")
    assert project(named.clone) == "pytensor"
    named.git("branch", "--quiet", "-m", "main", "trunk")
    named.git("checkout", "--quiet", "trunk")
    assert project(named.clone) == "pytensor"


def test_a_project_that_does_not_say_its_name_is_pymc_or_has_that_of_its_address(maintainer):
    maintainer.commit("2024-06-01", "1.1")
    assert project(maintainer.clone, str(maintainer.clone)) == "clone"
    for address in ("git@example.org:x/pytensor.git", "https://example.org/x/pytensor/", "../pytensor/.git"):
        assert commits.project_name(None, address, ("main",), "pymc") == "pytensor"
    commits.project_name.cache_clear()
    maintainer.git("remote", "add", "origin", "ssh://git@example.org/x/pytensor.git")
    assert project(maintainer.clone, str(maintainer.clone)) == "pytensor"
    commits.project_name.cache_clear()
    (maintainer.clone / "pymc").mkdir()
    (maintainer.clone / "pymc" / "__init__.py").write_text("")
    maintainer.commit("2024-06-02", "1.2")
    assert project(maintainer.clone, str(maintainer.clone)) == "pymc"


@pytest.mark.parametrize(
    "damage", ["[project", "[project]\nname = 1\n", '[project]\nname = "\\u001b[31m"\n', "project = 1"]
)
def test_a_name_that_is_none_is_not_announced(maintainer, damage):
    (maintainer.clone / "pyproject.toml").write_text(damage)
    maintainer.commit("2024-06-01", "1.1")
    assert project(maintainer.clone, str(maintainer.clone)) == "clone"


def test_a_branch_may_have_any_name_that_git_takes(maintainer):
    commit = maintainer.commit("2024-06-01", "1.1", "pytensor")
    maintainer.git("branch", "it's&(an)#odd'\"$name")
    assert maintainer.asv(*CONFIG, "run", "it's&(an)#odd'\"$name^!")[0] == 0
    assert maintainer.number(commit) == 11.0


def test_a_dependency_from_a_repository_that_cannot_be_reached_is_not_a_failure_of_the_commit(maintainer):
    maintainer.commit("2024-06-01", "1.1", "pytensor @ git+http://nowhere.invalid/pytensor")
    status, output = maintainer.asv(*CONFIG, "run", "main^!")
    assert status == 1
    assert "the Git repository of a package cannot be reached; check the network connection" in output, output
    assert not list((maintainer.suite / "results/commits/asv/m").glob("*-commit-*.json"))


def test_an_interrupted_run_goes_on_without_building_or_solving_again(maintainer):
    commit = maintainer.commit("2024-06-01", "1.1", "pytensor>=2")
    waits = 'import os, time\ndef track_wait():\n    open("MARK", "w").close()\n    time.sleep(WAIT)\n    return 1\n'
    mark = maintainer.suite / "mark"
    (maintainer.benchmarks / "b.py").write_text(waits.replace("MARK", str(mark)).replace("WAIT", "600"))
    process = maintainer.start(*CONFIG, "run", "main^!")
    while not mark.exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Traceback (most recent call last)" not in output
    (maintainer.benchmarks / "b.py").write_text(waits.replace("MARK", str(mark)).replace("WAIT", "0"))
    shutil.rmtree(maintainer.suite / ".asv/commits/env")
    status, output = maintainer.asv(*CONFIG, "run", "main^!", UV_OFFLINE="1")
    assert status == 0, output
    assert maintainer.number(commit, "b.track_wait") == 1


@pytest.mark.parametrize(
    ("named", "changes", "sentence"),
    [
        ("main^!", {"BENCH_REPOSITORY": "/nowhere"}, "There is no Git repository at /nowhere"),
        ("main^!", {"BENCH_REPOSITORY": "http://127.0.0.1:9/pymc.git"}, "cannot be fetched: check the network"),
        ("nothing..main", {}, "'nothing..main' is not a range of commits"),
        ("'", {}, "is not a range of commits"),
    ],
)
def test_what_does_not_exist_is_one_sentence(maintainer, named, changes, sentence):
    maintainer.commit("2024-06-01", "1.1")
    status, output = maintainer.asv(*CONFIG, "run", named, **changes)
    assert status == 1
    assert sentence in output


@pytest.mark.parametrize(("stack", "named"), [('"v7.7"', "v7.7"), ("7.7", "7.7")])
def test_an_unknown_stack_is_one_sentence_with_those_that_exist(maintainer, stack, named):
    config = maintainer.suite / "asv.commits.conf.json"
    config.write_text(config.read_text().replace('["v1.0"]', f"[{stack}]"))
    maintainer.commit("2024-06-01", "1.1")
    status, output = maintainer.asv(*CONFIG, "run", "main^!")
    assert status == 1
    assert f"There is no stack {named!r}: the newest are v1.0" in output


def test_files_are_asked_for_on_the_indexes_that_the_caller_has_set(index, tmp_path, monkeypatch):
    other = Index(tmp_path)
    other.add("2024-03-01", "pytensor", "7.0")
    monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
    monkeypatch.setenv("UV_INDEX", f"mirror={other.url}")
    try:
        assert [file.version for file in project_files("pytensor")] == ["7.0"]
        assert {file.version for file in project_files("numba")} == {"1.0", "2.0", "3.0", "4.0"}
    finally:
        other.shutdown()


def test_the_configuration_keeps_commits_apart_from_releases():
    releases, own = ((ROOT / name).read_text() for name in ("asv.conf.json", "asv.commits.conf.json"))
    for setting in ('"env_dir": ".asv/env"', '"results_dir": "results/asv"', '"html_dir": "html"'):
        assert setting in releases
        assert setting not in own


# Real PyMC from here on.

RELEASES = ("6.3.2", "6.4.0")


@pytest.fixture(scope="module")
def pymc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one commit for each of two releases, made from their source distributions."""
    folder = tmp_path_factory.mktemp("pymc")
    clone = folder / "clone"
    clone.mkdir()
    git = ["git", "-c", "user.name=n", "-c", "user.email=n@n.invalid"]
    subprocess.run([*git, "init", "--quiet", "--initial-branch=main"], cwd=clone, check=True)
    with PyPISimple() as index:
        files = {f.version: f for f in project_files("pymc") if f.package_type == "sdist"}
        for version in RELEASES:
            archive = folder / files[version].filename
            index.download_package(files[version], archive)
            for path in clone.iterdir():
                if path.name != ".git":
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            with tarfile.open(archive) as content:
                content.extractall(folder, filter="data")
            shutil.copytree(folder / f"pymc-{version}", clone, dirs_exist_ok=True)
            when = files[version].upload_time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            variables = os.environ | {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
            subprocess.run([*git, "add", "--all", "--force"], cwd=clone, env=variables, check=True)
            subprocess.run([*git, "commit", "--quiet", "-m", version], cwd=clone, env=variables, check=True)
            subprocess.run([*git, "tag", f"v{version}"], cwd=clone, check=True)
    return clone


class Real(Maintainer):
    """The whole suite, and released PyMC as the clone."""

    def __init__(self, folder: Path, clone: Path) -> None:
        self.suite, self.clone = folder / "suite", clone
        copy_suite(self.suite)
        (self.suite / "home").mkdir()
        share_bytecode(self.suite)
        uv = Path(sys.executable).with_name("uv")
        self.uv = subprocess.run([uv, "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()

    def variables(self, **changes: str) -> dict[str, str]:
        own = {"HOME": str(self.suite / "home"), "UV_CACHE_DIR": self.uv, "BENCH_MACHINE": "m"}
        return os.environ | own | {"BENCH_REPOSITORY": str(self.clone)} | changes


@pytest.fixture(scope="module")
def real(pymc: Path, tmp_path_factory: pytest.TempPathFactory) -> Real:
    """A maintainer whose uv has fetched all that the commits need; what follows has no network."""
    suite = Real(tmp_path_factory.mktemp("real"), pymc)
    suite.stack("v6.3.2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variants, "BUILT", suite.suite / ".asv" / "warm")
        for version in RELEASES:
            commit = suite.git("rev-parse", f"v{version}")
            stack = commits.prepare(commit, get_stack("v6.3.2"), pymc, suite.suite / "none")
            environments.install(suite.suite / ".asv" / "warm" / "env", stack)
    shutil.rmtree(suite.suite / ".asv" / "warm")
    return suite


@pytest.mark.network
@pytest.mark.sampling
def test_released_pymc_is_measured_as_commits_without_a_network(real):
    """PyMC 6.4.0 cannot be imported with the PyTensor of 6.3.2's stack."""
    bench = ("--bench", "imports", "--quick")
    status, output = real.asv(*CONFIG, "run", "v6.3.2..v6.4.0", *bench, UV_OFFLINE="1")
    assert status == 0, output
    commit = real.git("rev-parse", "v6.4.0")
    assert real.number(commit, "imports.Import.timeraw_pymc") > 0
    lock = (real.suite / f"results/commits/records/m/{commit[:10]}-v6.3.2/stack.txt").read_text()
    moved = {line.split()[2] for line in lock.splitlines() if line.startswith("# moved: ") and "→" in line}
    assert moved == {"pytensor"}
    assert "\npytensor==3.3.6\n" in lock  # 3.3.7 came out a few hours after PyMC 6.4.0
    status, output = real.asv(*CONFIG, "continuous", "v6.3.2", "v6.4.0", *bench, UV_OFFLINE="1")
    assert status in (0, 1), output
    assert "SIGNIFICANTLY" in output
    status, output = real.asv("compare", *CONFIG, "v6.3.2", "v6.4.0")
    assert status == 0, output
    assert "imports.Import.timeraw_pymc" in output


@pytest.mark.network
@pytest.mark.sampling
def test_a_record_of_a_commit_says_with_what_it_was_measured(real):
    """The cheapest record is that of a backend that cannot sample the model."""
    commit = real.git("rev-parse", "v6.4.0")
    status, output = real.asv(
        *CONFIG, "run", "v6.4.0^!", "--bench", r"^discrete\.Sampling\.track_total\('blackjax', 100\)", UV_OFFLINE="1"
    )
    assert status == 0, output
    folder = real.suite / f"results/commits/records/m/{commit[:10]}-v6.3.2"
    (path,) = folder.glob("discrete-100-blackjax.*.json")
    (record,) = json.loads(path.read_text())
    stack = variants.read(folder / "stack.txt")
    assert record["lock_sha256"] == stack.sha256
    assert record["provenance"]["stack"] == f"{commit[:10]}-v6.3.2"
    packages = {name: version for name, version in record["provenance"]["packages"].items() if name != "asv-runner"}
    assert packages == dict(stack.packages)
    (environment,) = (real.suite / ".asv/commits/env").iterdir()
    assert holds(environment, stack)
    assert environments.python(environment).exists()
