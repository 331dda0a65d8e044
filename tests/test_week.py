"""A week of nightly runs, against a bare repository and an index of releases prepared for it: nothing is lost.

Real releases are locked, installed and sampled by the commands that the workflow calls, each runner a fresh clone. Two
releases and a snapshot appear; one of the releases cannot be installed; a result is damaged on its way, a runner dies,
and two runs overlap.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pypi_simple import DistributionPackage

from harness.stacks.locks import STACKS, get_stack
from harness.stacks.releases import project_files
from tests.conftest import share_bytecode
from tests.test_asv_end_to_end import Suite
from tests.test_environments import wheel

pytestmark = [pytest.mark.network, pytest.mark.sampling, pytest.mark.thorough]

ROOT = STACKS.parent
MACHINE = "runner-2cpu"
BASE, BROKEN, NEW, SNAPSHOT = "v6.3.2", "v6.3.3", "v6.4.0", "v6.4.0+20261117"
JSON = "application/vnd.pypi.simple.v1+json"
# The backend that compiles and samples it soonest, and two that say that they cannot.
MODEL = "coal_mining-111"
SAMPLED = {"default"}
RUNNERS_OF_NEW = ("night-3", "night-4")
DAMAGED = f"{MODEL}-nutpie-numba"
WHAT = ("--model", "coal_mining", "--backend", "default", "--backend", "nutpie-numba", "--backend", "blackjax")
CELLS = (*WHAT, "--warm", "0")
HOSTILE = "x; touch pwned;#"


class _Pages(SimpleHTTPRequestHandler):
    """A package index in a folder, with pages as JSON; what it does not have is found on the next index."""

    def guess_type(self, path: str) -> str:
        return JSON if Path(path).name == "index.html" else super().guess_type(path)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """PyMC as it was released, with one release in between that needs what cannot be built."""
    folder = tmp_path_factory.mktemp("index")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Pages, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    wheel(folder, "pymc", BROKEN[1:], {"pymc/__init__.py": ""}, requires=["needs-a-compiler==1.0"])
    _source_distribution(folder / "needs-a-compiler" / "needs_a_compiler-1.0.tar.gz")
    known = [_as_on_its_index(f) for f in project_files("pymc") if f.filename.endswith(".whl") and f.upload_time]
    broken = _file(address, folder / "pymc" / f"pymc-{BROKEN[1:]}-py3-none-any.whl", "2026-10-31T10:00:00Z")
    _write_page(folder / "pymc", "pymc", [*known, broken])
    built = folder / "needs-a-compiler" / "needs_a_compiler-1.0.tar.gz"
    _write_page(built.parent, "needs-a-compiler", [_file(address, built, "2026-10-01T10:00:00Z")])
    yield address
    server.shutdown()


def _as_on_its_index(file: DistributionPackage) -> dict:
    """A file as the index that the caller has set says it, be it a mirror."""
    return {
        "filename": file.filename, "url": file.url, "hashes": file.digests, "requires-python": file.requires_python,
        "upload-time": file.upload_time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "yanked": (file.yanked_reason or True) if file.is_yanked else False,
        "core-metadata": file.metadata_digests or bool(file.has_metadata), "size": file.size or 0,
    }  # fmt: skip


def _file(address: str, path: Path, uploaded: str) -> dict:
    return {
        "filename": path.name, "url": f"{address}/{path.parent.name}/{path.name}", "hashes": {},
        "upload-time": uploaded,
    }  # fmt: skip


def _write_page(folder: Path, name: str, files: list[dict]) -> None:
    page = {"meta": {"api-version": "1.1"}, "name": name, "files": files, "versions": []}
    for file in files:
        file.setdefault("size", 0)
    (folder / "index.html").write_text(json.dumps(page))


def _source_distribution(path: Path) -> None:
    """One that says what it is, and fails to build."""
    path.parent.mkdir(parents=True)
    files = {
        "PKG-INFO": "Metadata-Version: 2.2\nName: needs-a-compiler\nVersion: 1.0\n",
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "needs-a-compiler"\nversion = "1.0"\n',
        "backend.py": "raise RuntimeError('this compiler is too old')\n",
    }
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"needs_a_compiler-1.0/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))


@dataclass
class Project:
    """The repository on its server, and whoever works with it."""

    folder: Path
    index: str
    said: dict[str, str] = field(default_factory=dict)

    @property
    def origin(self) -> Path:
        return self.folder / "origin.git"

    @property
    def issues(self) -> Path:
        return self.folder / "issues"

    def head(self) -> str:
        return self.git(self.origin, "rev-parse", "main").strip()

    def git(self, folder: Path, *arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", folder, *arguments], capture_output=True, text=True, check=True
        ).stdout  # fmt: skip

    def runner(self, name: str) -> Path:
        """A fresh runner: a clone of what is on `main` now."""
        self.git(self.folder, "clone", "--quiet", str(self.origin), name)
        share_bytecode(self.folder / name)
        return self.folder / name

    def start(self, runner: Path, *arguments: str) -> subprocess.Popen:
        variables = {
            **os.environ, **Suite.cache(), "BENCH_MACHINE": MACHINE, "HOME": str(self.folder / "home"),
            "UV_INDEX": f"prepared={self.index} {os.environ.get('UV_INDEX', '')}".rstrip(),
        }  # fmt: skip
        variables.pop("GITHUB_STEP_SUMMARY", None)
        return subprocess.Popen(
            [sys.executable, "-m", "harness.cli", "nightly", *map(str, arguments)],
            cwd=runner, env=variables, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def nightly(self, runner: Path, *arguments: str, status: int = 0) -> str:
        process = self.start(runner, *arguments)
        output, _ = process.communicate(timeout=900)
        assert "Traceback" not in output, output
        assert process.returncode == status, output
        return output

    def plan(self, runner: Path) -> list[str]:
        return json.loads(self.nightly(runner, "plan", *CELLS).splitlines()[-1])

    def lock(self, runner: Path, as_of: str) -> str:
        """What is said by whoever resolves what is new, and by whoever may push it."""
        resolved = self.nightly(runner, "resolve", "proposal", "--as-of", as_of)
        return resolved + self.nightly(runner, "lock", "proposal")

    def alerts(self, runner: Path, failed: str | None = None) -> dict[str, bool]:
        """The titles of all issues, and whether they are open."""
        jobs = {
            name: {"result": "failure" if name == failed else "success", "outputs": {}}
            for name in ("measure", "collect")
        }
        self.nightly(
            runner, "alerts", "--to", self.issues, "--jobs", json.dumps(jobs), "--log", "https://example.org/1"
        )
        found = [json.loads(path.read_text()) for path in sorted(self.issues.glob("*.json"))]
        return {issue["title"]: issue["open"] for issue in found}

    def records(self, tag: str) -> dict[str, list[list[dict]]]:
        """What is kept of a stack on `main`: of each parameter set its measurements, the oldest first."""
        listed = self.git(self.origin, "ls-tree", "--name-only", "main", f"results/records/{MACHINE}/{tag}/").split()
        found: dict[str, list[list[dict]]] = {}
        for name in sorted(listed):
            kept = json.loads(self.git(self.origin, "show", f"main:{name}"))
            found.setdefault(Path(name).name.partition(".")[0], []).append(kept)
        return found


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, index: str) -> Project:
    """This project as it was when PyMC 6.3.2 was the newest release, without history and without results."""
    folder = tmp_path_factory.mktemp("week")
    source = folder / "source"
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    # How long `import pymc` takes is told by six imports a night, and promised by none of these nights.
    left_out = ("results/", "stacks/", "tests/", "docs/", "benchmarks/imports.py")
    kept = [n for n in listed if not n.startswith(left_out) and (ROOT / n).is_file()]
    for name in (*kept, "results/asv/benchmarks.json"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    (source / "docs").mkdir()
    (source / "docs/method.md").write_text("see there")
    (source / "stacks").mkdir()
    (source / "stacks" / f"{BASE}.txt").write_text(get_stack(BASE).text)
    (source / "stacks/imports.json").write_text(json.dumps({BASE: {}}))
    record = "from harness.stacks.locks import *; import json; from harness.stacks import timeline\n"
    record += "(STACKS / 'timeline.json').write_text(json.dumps(timeline.hashes(load_stacks())))"
    subprocess.run([sys.executable, "-c", record], cwd=source, check=True)
    made = Project(folder, index)
    made.git(source, "init", "--quiet", "--initial-branch=main")
    made.git(source, "add", "--all")
    made.git(source, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "-m", "The suite")
    made.git(folder, "clone", "--quiet", "--bare", str(source), "origin.git")
    return made


@pytest.fixture(scope="module")
def week(project: Project) -> Project:
    """What is there after a week."""
    told = project.alerts
    # The first night: the release that there is. A record is damaged on its way to the collecting job.
    runner = project.runner("night-1")
    assert project.plan(runner) == [BASE]
    project.nightly(runner, "measure", BASE, "shard", *CELLS)
    newest(runner / f"shard/records/{MACHINE}/{BASE}", DAMAGED).write_text('[{"schema": 1, "kind"')
    project.said["damaged"] = project.nightly(runner, "collect", "shard", *WHAT, status=1)
    project.said["after night 1"] = json.dumps(told(project.runner("night-1-alerts"), failed="collect"))

    # The second: nothing is new but what was damaged; run twice, the second time there is nothing at all to do.
    runner = project.runner("night-2")
    project.lock(runner, "2026-09-10")
    assert project.plan(runner) == [BASE]
    project.nightly(runner, "measure", BASE, "shard", *CELLS)
    project.nightly(runner, "collect", "shard", *WHAT)
    head = project.head()
    runner = project.runner("night-2-again")
    project.said["nothing new"] = project.lock(runner, "2026-09-10")
    assert project.plan(runner) == []
    project.said["nothing collected"] = project.nightly(runner, "collect", "../night-2/shard", *WHAT)
    assert project.head() == head
    project.said["after night 2"] = json.dumps(told(runner))

    # The third: two releases, one of which cannot be installed; the other one's runner dies.
    runner = project.runner("night-3")
    project.said["two releases"] = project.lock(runner, "2026-11-03")
    assert project.plan(runner) == [NEW]
    process = project.start(runner, "measure", NEW, "shard", *CELLS)
    unfinished = runner / f".asv/unfinished/{NEW}"
    while not list(unfinished.glob(f"{MODEL}-default/cold-0.json")):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    _kill_all_of(runner)
    process.communicate()
    kept = {path.parent.name: path.read_bytes() for path in unfinished.glob("*/cold-0.json")}
    project.said["after night 3"] = json.dumps(told(project.runner("night-3-alerts"), failed="measure"))

    # The fourth: two runs overlap. One is the dead runner's job, begun again where it was; both hand on all there is.
    other = project.runner("night-4")
    assert project.plan(other) == project.plan(runner) == [NEW]
    for place in (runner, other):
        project.nightly(place, "measure", NEW, "shard", *CELLS)
    for name, record in kept.items():
        again = newest(runner / f"shard/records/{MACHINE}/{NEW}", name).read_bytes()
        assert json.loads(again)[0] == json.loads(record), "a trial that was done was done again"
    both = [project.start(place, "collect", "shard", "--release", NEW, *WHAT) for place in (runner, other)]
    project.said["both"] = "".join(process.communicate(timeout=300)[0] for process in both)
    assert [process.returncode for process in both] == [0, 0], project.said["both"]
    project.said["after night 4"] = json.dumps(told(project.runner("night-4-alerts")))

    # The fifth: a week without a release, and packages that are newer.
    runner = project.runner("night-5")
    project.lock(runner, "2026-11-17")
    assert project.plan(runner) == [SNAPSHOT]
    # As artifacts are unpacked, with one that nobody planned. Whatever that is called, it is no command.
    project.nightly(runner, "measure", SNAPSHOT, f"incoming/results-{SNAPSHOT}/{SNAPSHOT}", *CELLS)
    (runner / "incoming/results-plan").mkdir()
    (runner / "incoming" / HOSTILE).mkdir()
    project.said["not planned"] = project.nightly(
        runner, "collect", "--in", "incoming", "--release", SNAPSHOT, *WHAT, status=1
    )
    assert not (runner / "pwned").exists()
    project.said["after night 5"] = json.dumps(told(project.runner("night-5-alerts")))
    return project


def newest(folder: Path, name: str) -> Path:
    """The newest measurement of a parameter set in a folder of records."""
    return sorted(folder.glob(f"{name}.*.json"))[-1]


def _kill_all_of(folder: Path) -> None:
    """As when a machine loses its power: whatever works in this folder or for it is gone at once."""
    for attempt in range(3):
        for process in Path("/proc").glob("[0-9]*"):
            try:
                place = (process / "cwd").readlink()
                command = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if (place.is_relative_to(folder) or bytes(folder) in command) and int(process.name) != os.getpid():
                os.kill(int(process.name), signal.SIGKILL)
        time.sleep(0.3 * (attempt + 1))


def told(week: Project, night: int) -> dict[str, bool]:
    return json.loads(week.said[f"after night {night}"])


def test_the_prepared_index_says_of_a_file_what_the_callers_index_says(index, monkeypatch):
    def told() -> dict:
        return {
            f.filename: (f.url, f.upload_time, f.digests, f.is_yanked, f.requires_python, bool(f.has_metadata))
            for f in project_files("pymc")
            if f.filename.endswith(".whl")
        }

    before = told()
    monkeypatch.setenv("UV_INDEX", f"prepared={index}")
    now = told()
    assert now.pop(f"pymc-{BROKEN[1:]}-py3-none-any.whl")[0].startswith(index)
    assert now == before


def test_every_result_that_could_be_measured_is_there_once_for_each_night_that_measured_it(week):
    """A release is measured when it is new, and again beside the next one: by two runs, which overlapped."""
    for tag, nights in ((BASE, 3), (NEW, 3), (SNAPSHOT, 1)):
        records = week.records(tag)
        assert {name: len(measurements) for name, measurements in records.items()} == dict.fromkeys(records, nights)
        assert len(records) == 3
        for name, measurements in records.items():
            sampled = name.removeprefix(f"{MODEL}-") in SAMPLED
            outcomes = {trial["outcome"] for trials in measurements for trial in trials}
            assert outcomes == {"ok" if sampled else "unsupported"}
    assert week.records(BROKEN) == {}
    commits = week.git(week.origin, "log", "--format=%s", "main").splitlines()
    assert sum("results" in title for title in commits) == 5, commits


def test_a_new_stack_is_measured_in_the_same_rounds_as_the_stack_before_it(week):
    for old, new in ((BASE, NEW), (NEW, SNAPSHOT)):
        sides = [
            {
                (r["kind"], r["round"]["block"], r["round"]["number"])
                for trials in its[f"{MODEL}-default"]
                for r in trials
            }
            for its in (week.records(old), week.records(new))
        ]
        assert sides[0] & sides[1]


def test_every_release_samples_with_the_compound_step(week):
    """That its draws are right is told by longer trials: see test_sampling_by_numba."""
    for tag in (BASE, NEW, SNAPSHOT):
        for trial in (trial for trials in week.records(tag)[f"{MODEL}-default"] for trial in trials):
            assert trial["outcome"] == "ok"
            assert trial["resolved"]["step_methods"] == ["Metropolis", "NUTS"]


def test_two_runners_draw_the_same(week):
    """The same seed, each in an empty home: see test_real_sampling."""
    shards = (week.folder / night / f"shard/records/{MACHINE}/{NEW}" for night in RUNNERS_OF_NEW)
    one, other = (json.loads(newest(shard, f"{MODEL}-default").read_text())[0] for shard in shards)
    assert one["started"] != other["started"]
    assert one["draws_sha256"] == other["draws_sha256"]
    assert one["graph"] == other["graph"]


def test_asvs_numbers_are_those_of_the_records(week, tmp_path):
    week.git(tmp_path, "clone", "--quiet", str(week.origin), "clone")
    hashes = json.loads((tmp_path / "clone/stacks/timeline.json").read_text())
    for tag in (BASE, NEW, SNAPSHOT):
        (path,) = (tmp_path / f"clone/results/asv/{MACHINE}").glob(f"{hashes[tag][:8]}-*.json")
        values, (backends, _), *_ = json.loads(path.read_text())["results"]["coal_mining.CompileSetup.track_cold_setup"]
        numbers = {backend.strip("'"): value for backend, value in zip(backends, values, strict=True)}
        for backend in SAMPLED:
            trial = week.records(tag)[f"{MODEL}-{backend}"][-1][0]
            assert numbers[backend] == pytest.approx(trial["clocks"]["setup_wall_seconds"], rel=1e-3)


def test_what_was_damaged_was_refused_by_name_and_the_rest_was_kept(week):
    assert DAMAGED in week.said["damaged"]
    assert "Refused" in week.said["damaged"]
    assert "Pushed" in week.said["damaged"]


def test_what_nobody_planned_is_named_and_keeps_nothing_else_away(week):
    assert f"{HOSTILE} is no artifact of this run" in week.said["not planned"]
    assert "Pushed" in week.said["not planned"]


def test_nothing_new_is_nothing_measured_and_no_commit(week):
    assert "No new stack" in week.said["nothing new"]
    assert "there is no commit" in week.said["nothing collected"]


def test_a_release_that_cannot_be_installed_is_locked_and_told_of_and_keeps_no_other_away(week):
    assert "v6.3.3: install: " in week.said["two releases"]
    title = "PyMC 6.3.3 cannot be installed with the newest of everything"
    assert [title in told(week, night) for night in range(1, 6)] == [False, False, True, True, True]
    assert told(week, 5)[title]
    (issue,) = (i for p in week.issues.glob("*.json") if (i := json.loads(p.read_text()))["title"] == title)
    assert "Failed to build `needs-a-compiler==1.0`: RuntimeError: this compiler is too old" in issue["text"]


def test_a_run_that_failed_is_told_of_once_and_closed_by_the_next_that_does_not(week):
    title = "The nightly benchmark run failed"
    assert [told(week, night).get(title) for night in range(1, 6)] == [True, False, True, False, False]


def test_an_exact_counter_that_changed_by_a_little_opens_no_issue(week, tmp_path):
    """It is a line in "What changed"."""
    assert not any("coal_mining" in title for title in told(week, 4))


def test_a_finding_is_one_issue_however_often_it_is_told(week):
    issues = [json.loads(path.read_text()) for path in week.issues.glob("*.json")]
    marks = [issue["text"].rsplit("<!--", 1)[1] for issue in issues if issue["open"]]
    assert len(marks) == len(set(marks))


def test_runs_that_overlap_both_push_what_they_have_measured(week):
    assert sum("Pushed" in line for line in week.said["both"].splitlines()) == 2


def test_the_site_is_current(week, tmp_path):
    week.git(tmp_path, "clone", "--quiet", str(week.origin), "clone")
    published = subprocess.run(
        [Path(sys.executable).with_name("asv"), "publish"], cwd=tmp_path / "clone", capture_output=True, text=True,
        env={**os.environ, "HOME": str(tmp_path)}, check=False,
    )  # fmt: skip
    assert published.returncode == 0, published.stdout + published.stderr
    for page in ("changes.html", "index.html"):
        assert SNAPSHOT[1:] in (tmp_path / "clone/html" / page).read_text()
    assert json.loads((tmp_path / "clone/html/index.json").read_text())["tags"].keys() == {BASE, BROKEN, NEW, SNAPSHOT}
    folders = [tmp_path / f"clone/html/data/records/{MACHINE}/{tag}" for tag in (BASE, NEW, SNAPSHOT)]
    assert all(list(folder.glob(f"{MODEL}-default.*.json")) for folder in folders)


def test_a_lock_is_the_one_that_everybody_has(week):
    assert week.git(week.origin, "show", f"main:stacks/{NEW}.txt") == get_stack(NEW).text
