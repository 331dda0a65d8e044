"""Promises about measured environments and about asv's commands, kept with a package index made of tiny wheels.

Nothing here needs the network, save the test that says so: the index is a folder, and what a stack contains
is one module each, but uv, Git and asv are the real ones.
"""

import base64
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.errors import BenchError, MachineError, UnresolvableError
from harness.stacks import environments, uv_command
from harness.stacks.environments import ASV_REQUIREMENTS, holds, install, process_environment, python, stack_environment
from harness.stacks.locks import get_stack, parse

ROOT = Path(__file__).resolve().parents[1]
ASV = Path(sysconfig.get_path("scripts")) / "asv"
BENCHMARK = """\
import os
import sys
import importlib.metadata


def track_release():
    assert os.environ["BENCH_STACK"] == "v" + importlib.metadata.version("pymc")
    assert len(os.environ["BENCH_LOCK_SHA256"]) == 64
    assert sys.pycache_prefix and not sys.dont_write_bytecode
    return float(importlib.metadata.version("pymc").split(".")[0])
"""


def lock(version: str, *pins: str) -> str:
    """Return a lock of a PyMC that exists only in the tests."""
    header = f"# release: pymc {version}\n# uploaded: 20{version.split('.', maxsplit=1)[0]:0>2}-01-01T00:00:00Z\n"
    return header + "".join(f"{pin}\n" for pin in sorted([f"pymc=={version}", *pins]))


def hash_in_a_record(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def wheel(folder: Path, name: str, version: str, files: dict[str, str], requires: Sequence[str] = ()) -> None:
    """Put a wheel into a package index that is a folder."""
    (folder / name.replace("_", "-")).mkdir(parents=True, exist_ok=True)
    path = folder / name.replace("_", "-") / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    files = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in files.items():
            archive.writestr(member, content)
        listed = [f"{name},sha256={hash_in_a_record(text)},{len(text.encode())}\n" for name, text in files.items()]
        archive.writestr(f"{info}/RECORD", "".join([*listed, f"{info}/RECORD,,\n"]))
    links = "".join(f'<a href="{file.name}">{file.name}</a>' for file in sorted(path.parent.glob("*.whl")))
    (path.parent / "index.html").write_text(f"<!DOCTYPE html><html><body>{links}</body></html>")


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package index with three releases of a tiny PyMC, a tiny numba, and the real asv_runner."""
    folder = tmp_path_factory.mktemp("index")
    for version in ("1.0", "2.0", "3.0"):
        wheel(folder, "pymc", version, {"pymc/__init__.py": f"version = {version!r}\n"})
    wheel(folder, "numba", "1.0", {"numba/__init__.py": ""})
    runner = Path(sysconfig.get_path("purelib")) / "asv_runner"
    wheel(
        folder,
        "asv_runner",
        "0.3.2",
        {f"asv_runner/{file.relative_to(runner)}": file.read_text() for file in runner.rglob("*.py")},
    )
    return folder


@pytest.fixture
def offline(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use that index, an empty cache of uv's and environments under a temporary folder."""
    monkeypatch.setenv("UV_DEFAULT_INDEX", index.as_uri())
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setattr(environments, "CACHE", tmp_path / ".asv")
    return tmp_path


def contents(path: Path) -> set[str]:
    """Return the packages in an environment, as `name version`."""
    script = "from importlib.metadata import distributions as d\nfor x in d(): print(x.name, x.version)"
    done = subprocess.run([python(path), "-c", script], check=True, capture_output=True, text=True)
    return set(done.stdout.splitlines())


def test_an_environment_holds_exactly_its_stack_and_what_asv_needs(offline):
    path = stack_environment(parse(lock("1.0", "numba==1.0")))
    assert path.name.startswith("v1.0-")
    assert contents(path) == {"pymc 1.0", "numba 1.0", "asv_runner 0.3.2"}
    assert not list(path.glob("bin/pip*"))


@pytest.mark.parametrize(
    ("stderr", "kind"),
    [
        ("× No solution found when resolving dependencies:\n ╰─▶ Because a depends on b>1 …", UnresolvableError),
        ("error: HTTP status client error (429 Too Many Requests)", MachineError),
        ("error: HTTP status client error (403 Forbidden)", MachineError),
        ("× No solution found:\n ╰─▶ Because jaxlib was not found in the package registry …", BenchError),
        ("× Failed to build `x==1`", BenchError),
    ],
)
def test_an_index_that_refuses_is_no_proof_that_versions_do_not_go_together(monkeypatch, stderr, kind):
    done = subprocess.CompletedProcess([], 1, "", stderr)
    monkeypatch.setattr(uv_command.subprocess, "run", lambda *_arguments, **_keywords: done)
    with pytest.raises(BenchError) as raised:
        uv_command.run_uv(["pip"], "It cannot be resolved")
    assert type(raised.value) is kind


@pytest.mark.parametrize(("own", "first"), [(True, False), (False, True)])
def test_an_index_of_the_users_own_is_always_asked_and_what_others_have_cached_is_not_taken(
    tmp_path, monkeypatch, own, first
):
    asked: list = []
    monkeypatch.setattr(environments, "run_uv", lambda arguments, _doing: asked.append(arguments))
    monkeypatch.setenv("UV_INDEX", "http://localhost/") if own else monkeypatch.delenv("UV_INDEX", raising=False)
    environments.sync(tmp_path, "numpy==2.0\n")
    assert ["--offline" in arguments for arguments in asked] == [first]


def test_switching_leaves_nothing_of_the_stack_before(offline):
    path = offline / "environment"
    install(path, parse(lock("1.0", "numba==1.0")))
    stray = next(path.glob("lib/python3.12/site-packages")) / "stray.py"
    stray.write_text("")
    install(path, parse(lock("2.0")))
    assert contents(path) == {"pymc 2.0", "asv_runner 0.3.2"}
    assert not stray.exists()


def test_an_environment_is_built_once(offline):
    stack = parse(lock("1.0"))
    before = stack_environment(stack).stat().st_ino
    assert stack_environment(stack).stat().st_ino == before


@pytest.mark.parametrize("step", ["create", "sync"])
def test_an_interrupted_environment_is_not_taken_for_a_complete_one(offline, monkeypatch, step):
    path, old, new = offline / "environment", parse(lock("1.0")), parse(lock("2.0"))
    install(path, old)
    with monkeypatch.context() as patch:

        def interrupted(*arguments: object, **options: object) -> None:
            raise KeyboardInterrupt

        if step == "sync":
            patch.setattr(environments, "sync", interrupted)
        else:
            patch.setattr(environments.shutil, "rmtree", interrupted)
        with pytest.raises(KeyboardInterrupt):
            install(path, new)
    assert not holds(path, old)
    assert not holds(path, new)
    install(path, new)
    assert holds(path, new)
    assert contents(path) == {"pymc 2.0", "asv_runner 0.3.2"}


BUILD = """
import sys
from pathlib import Path
from harness.stacks import environments
from harness.stacks.locks import parse
environments.CACHE = Path(sys.argv[1])
stack = parse(sys.argv[2])
path = environments.stack_environment(stack)
environments.compile_bytecode(path, stack)
print(path)
"""


def building(cache: Path, text: str) -> subprocess.Popen:
    """Another process that builds an environment, as a worker does."""
    return subprocess.Popen(
        [sys.executable, "-c", BUILD, cache, text], cwd=ROOT, text=True, stdout=subprocess.PIPE, start_new_session=True
    )


@pytest.mark.parametrize("moment", ["python", "packages", "byte code"])
def test_of_two_that_build_one_environment_at_once_one_may_be_killed(offline, moment):
    text, cache = lock("1.0", "numba==1.0"), offline / ".asv"
    appears = {
        "python": "stacks/*/bin/python", "packages": "stacks/*/lib/*/site-packages/pymc", "byte code": "pycache/*",
    }[moment]  # fmt: skip
    first, second = building(cache, text), building(cache, text)
    while not any(cache.glob(appears)):
        assert first.poll() is None or second.poll() is None, "neither has built it"
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    path = Path(second.communicate(timeout=120)[0].strip())
    assert second.returncode == 0
    assert contents(path) == {"pymc 1.0", "numba 1.0", "asv_runner 0.3.2"}
    assert holds(path, parse(text))
    assert list((cache / "pycache").rglob("pymc/__init__*.pyc"))
    assert building(cache, text).communicate(timeout=120)[0].strip() == str(path)


def test_an_environment_left_half_made_by_an_earlier_run_is_made_anew(offline):
    stack = parse(lock("1.0"))
    path = stack_environment(stack)
    shutil.rmtree(next(path.glob("lib/python3.12/site-packages")) / "pymc")
    (path / environments.MARKER).unlink()
    assert contents(stack_environment(stack)) == {"pymc 1.0", "asv_runner 0.3.2"}
    assert next(path.glob("lib/python3.12/site-packages/pymc")).is_dir()


def test_an_edited_lock_gets_another_environment(offline):
    first, second = parse(lock("1.0")), parse(lock("1.0", "numba==1.0"))
    assert stack_environment(first) != stack_environment(second)


def test_a_stack_that_cannot_be_installed_is_named_with_the_reason(offline):
    with pytest.raises(BenchError, match=r"^Stack v1\.0 cannot be installed: [^\n]*numba==7\.7[^\n]*$") as caught:
        stack_environment(parse(lock("1.0", "numba==7.7")))
    assert not isinstance(caught.value, MachineError)


def test_without_a_network_the_sentence_says_so(offline, monkeypatch):
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(MachineError, match=r"^Stack v1\.0 cannot be installed: [^\n]*network[^\n]*try again\.$"):
        stack_environment(parse(lock("1.0")))


def test_a_cached_stack_needs_no_network(offline, monkeypatch):
    stack = parse(lock("1.0"))
    install(offline / "first", stack)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("UV_OFFLINE", "1")
    install(offline / "second", stack)
    assert holds(offline / "second", stack)


def test_a_full_disk_is_one_clear_sentence(offline, monkeypatch):
    full = subprocess.CompletedProcess(
        [], 2, "", "error: failed to copy\n  cause: No space left on device (os error 28)"
    )
    monkeypatch.setattr(environments.subprocess, "run", lambda *arguments, **options: full)
    with pytest.raises(MachineError, match=r"^Stack v1\.0 cannot be installed: the disk is full; free some space"):
        environments.sync(offline, lock("1.0"), label="v1.0")


def test_a_place_that_cannot_be_written_is_one_clear_sentence(offline, monkeypatch):
    (offline / "proc").symlink_to("/proc/self")
    monkeypatch.setattr(environments, "CACHE", offline / "proc")
    with pytest.raises(MachineError, match=r"cannot be written \(.*\): free some space or fix its permissions\.$"):
        stack_environment(parse(lock("1.0")))


def test_a_file_in_place_of_a_folder_is_named(offline, monkeypatch):
    (offline / "file").write_text("not a folder")
    monkeypatch.setattr(environments, "CACHE", offline / "file")
    with pytest.raises(MachineError, match=r"/file is a file where a folder belongs: move it away"):
        stack_environment(parse(lock("1.0")))


@pytest.mark.parametrize(
    ("blocked", "what"),
    [("pycache", "file"), ("bytecode", "file"), ("bytecode/lock", "folder"), ("stacks/NAME/stack.sha256", "folder")],
)
def test_what_lies_where_the_suite_writes_is_named_for_what_it_is(offline, blocked, what):
    stack = parse(lock("1.0"))
    environment = stack_environment(stack)
    path = environments.CACHE / blocked.replace("NAME", environment.name)
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    path.write_text("") if what == "file" else path.mkdir()
    other = {"file": "folder", "folder": "file"}[what]
    with pytest.raises(MachineError, match=rf"^{path} is a {what} where a {other} belongs: move it away, and try"):
        environments.compile_bytecode(stack_environment(stack), stack)


def test_without_python_3_12_there_is_one_clear_sentence(offline, monkeypatch):
    monkeypatch.setattr(environments.sys, "base_prefix", str(offline))
    missing = subprocess.CompletedProcess([], 2, "", "error: No interpreter found for Python 3.12")
    monkeypatch.setattr(environments.subprocess, "run", lambda *arguments, **options: missing)
    with pytest.raises(BenchError, match=r"^There is no Python 3\.12 [^\n]*install one"):
        environments.create(offline / "environment")


def test_the_users_settings_of_uv_and_python_do_not_change_what_is_installed(offline, monkeypatch):
    for name, value in {
        "UV_EXCLUDE_NEWER": "2001-01-01",
        "UV_CONSTRAINT": "/nonexistent",
        "UV_NO_BINARY": "1",
        "UV_PYTHON": "3.9",
        "VIRTUAL_ENV": "/nonexistent",
        "PYTHONPATH": "/nonexistent",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(offline / "config"))
    (offline / "config" / "uv").mkdir(parents=True)
    (offline / "config" / "uv" / "uv.toml").write_text('exclude-newer = "2001-01-01T00:00:00Z"\n')
    assert contents(stack_environment(parse(lock("1.0")))) == {"pymc 1.0", "asv_runner 0.3.2"}


def test_byte_code_is_kept_for_each_stack_and_no_foreign_packages_get_in(offline):
    first, second = parse(lock("1.0")), parse(lock("2.0"))
    base = {"PATH": "/bin", "PYTHONPATH": "/x", "PYTHONHOME": "/x", "PYTHONDONTWRITEBYTECODE": "1"}
    variables = process_environment(first, base)
    assert set(variables) == {"PATH", "PYTHONPYCACHEPREFIX"}
    assert variables["PYTHONPYCACHEPREFIX"] != process_environment(second, base)["PYTHONPYCACHEPREFIX"]
    assert "PATH" in process_environment(first)


def test_byte_code_is_compiled_once_outside_the_environment(offline):
    stack = parse(lock("1.0"))
    path = stack_environment(stack)
    environments.compile_bytecode(path, stack)
    (compiled,) = (offline / ".asv" / "pycache").rglob("pymc/__init__.*.pyc")
    before = compiled.stat().st_mtime_ns
    assert not list(path.rglob("*.pyc"))
    environments.compile_bytecode(path, stack)
    time.sleep(1.1)  # what an installer writes is then of another second
    install(path, stack)
    environments.compile_bytecode(path, stack)
    subprocess.run([python(path), "-c", "import pymc"], env=process_environment(stack), check=True)
    assert compiled.stat().st_mtime_ns == before


DAMAGES = {
    "gone": Path.unlink,
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "another": lambda path: path.write_bytes(b"pymc = 1"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_byte_code_that_is_not_as_it_was_left_is_put_there_again(offline, damage):
    stack = parse(lock("1.0"))
    path = stack_environment(stack)
    environments.compile_bytecode(path, stack)
    (compiled,) = (offline / ".asv" / "pycache").rglob("pymc/__init__.*.pyc")
    whole = compiled.read_bytes()
    damage(compiled)
    environments.compile_bytecode(path, stack)
    assert compiled.read_bytes() == whole


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_an_environment_that_is_not_as_it_was_installed_is_made_anew(offline, damage):
    """What is missing would be taken for a fault of PyMC."""
    stack = parse(lock("1.0"))
    (module,) = stack_environment(stack).rglob("pymc/__init__.py")
    whole = module.read_bytes()
    module.unlink()  # it may be a link into uv's cache
    module.write_bytes(whole)
    damage(module)
    assert not holds(environments.CACHE / "stacks" / module.parents[4].name, stack)
    stack_environment(stack)
    assert module.read_bytes() == whole


def test_what_is_damaged_in_uvs_cache_as_well_is_named_and_not_used(offline):
    """uv links the files of an environment from its cache."""
    stack = parse(lock("1.0"))
    (module,) = stack_environment(stack).rglob("pymc/__init__.py")
    if module.stat().st_nlink == 1:
        pytest.skip("uv has copied its files here")
    with module.open("a") as file:
        file.write("import os\n")
    for _ in range(2):
        with pytest.raises(
            MachineError, match=r"^pymc/__init__\.py of stack v1\.0 is damaged, .*`uv cache clean pymc`"
        ):
            stack_environment(stack)


def test_an_environment_without_its_configuration_is_made_anew(offline):
    stack = parse(lock("1.0"))
    path = stack_environment(stack)
    (path / "pyvenv.cfg").unlink()
    assert not holds(path, stack)
    assert (stack_environment(stack) / "pyvenv.cfg").is_file()


def test_a_module_that_nobody_installed_is_no_part_of_an_environment(offline):
    stack = parse(lock("1.0"))
    path = stack_environment(stack)
    stray = next(path.glob("lib/python3.12/site-packages")) / "jax.py"
    stray.write_text("")
    stack_environment(stack)
    assert not stray.exists()


def test_what_python_leaves_in_an_environment_does_not_make_it_another(offline):
    stack = parse(lock("1.0"))
    path = stack_environment(stack)
    subprocess.run([python(path), "-c", "import pymc"], env={"PATH": os.environ["PATH"]}, check=True)
    assert list(path.rglob("*.pyc"))
    assert holds(path, stack)


def test_what_a_killed_compilation_left_half_written_is_removed(offline):
    half_written = offline / ".asv" / "bytecode" / "cpython-312-cb0d0d0a" / "ab" / "abcd.4711"
    half_written.parent.mkdir(parents=True)
    half_written.write_bytes(b"half")
    stack = parse(lock("1.0"))
    environments.compile_bytecode(stack_environment(stack), stack)
    assert not half_written.exists()


@pytest.fixture
def careless(offline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment with a package that CPython warns of when it compiles it."""
    folder = tmp_path / "careless"
    files = {f"pymc/{name}.py": 'pattern = "\\d"\n' for name in ("__init__", "a", "b", "c")}
    wheel(folder, "pymc", "1.0", files)
    shutil.copytree(Path(os.environ["UV_DEFAULT_INDEX"].removeprefix("file://")) / "asv-runner", folder / "asv-runner")
    monkeypatch.setenv("UV_DEFAULT_INDEX", folder.as_uri())
    return stack_environment(parse(lock("1.0")))


@pytest.mark.parametrize("wanted", ["default", "error"])
def test_what_cpython_warns_of_in_others_code_is_kept_off_the_terminal(careless, offline, monkeypatch, capfd, wanted):
    monkeypatch.setenv("PYTHONWARNINGS", wanted)  # with "error", such a module would not be compiled at all
    environments.compile_bytecode(careless, parse(lock("1.0")))
    assert capfd.readouterr() == ("", "")
    assert len(list((offline / ".asv" / "pycache").rglob("pymc/*.pyc"))) == 4


def test_an_interpreter_that_does_not_start_is_one_sentence(careless):
    python(careless).unlink()
    python(careless).write_text(
        "#!/bin/sh\necho 'libpython3.12.so.1.0: cannot open shared object file' >&2\nexit 127\n"
    )
    python(careless).chmod(0o755)
    with pytest.raises(MachineError, match=r"^The byte code of v1\.0 cannot be written \(libpython3.*free some space"):
        environments.compile_bytecode(careless, parse(lock("1.0")))
    assert not list((environments.CACHE / "pycache").rglob("*.complete"))


def test_asv_inside_and_asv_outside_speak_the_same_protocol():
    pinned = ASV_REQUIREMENTS.read_text().splitlines()[-1].partition("==")[2]
    outside = next(Path(sysconfig.get_path("purelib")).glob("asv_runner-*.dist-info")).name
    assert outside == f"asv_runner-{pinned}.dist-info"


@pytest.fixture
def project(index: Path, tmp_path: Path) -> Path:
    """A fresh clone of the project with two tiny stacks, one benchmark and an empty HOME."""
    path = tmp_path / "project"
    shutil.copytree(ROOT / "harness", path / "harness", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("asv.conf.json", "pyproject.toml"):
        shutil.copy(ROOT / name, path)
    for name in ("benchmarks", "stacks", "home", "results"):
        (path / name).mkdir()
    (path / "benchmarks" / "__init__.py").write_text("")
    (path / "benchmarks" / "release.py").write_text(BENCHMARK)
    (path / "stacks" / "v1.0.txt").write_text(lock("1.0", "numba==1.0"))
    (path / "stacks" / "v2.0.txt").write_text(lock("2.0"))
    return path


def variables_of(project: Path, **variables: str) -> dict[str, str]:
    """Return the environment variables of a project's user."""
    dropped = ("BENCH_MACHINE", "PYTHONPATH", "XDG_CONFIG_HOME")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    cache = {"HOME": str(project / "home"), "UV_CACHE_DIR": str(project / "uv")}
    return kept | cache | {"UV_DEFAULT_INDEX": (project / "no-index").as_uri()} | variables


def asv(project: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
    """Run asv in a project as its user would."""
    done = subprocess.run(
        [ASV, *arguments],
        cwd=project,
        env=variables_of(project, **variables),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    return done


def results(project: Path) -> dict[str, float | None]:
    """Return the published number of each stack."""
    found = {}
    for path in project.glob("results/asv/*/*-stack-py3.12.json"):
        content = json.loads(path.read_text())
        tag = subprocess.run(
            ["git", "-C", project / ".asv/timeline", "name-rev", "--name-only", "--tags", content["commit_hash"]],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        found[tag] = content["results"]["release.track_release"][0]
    return {tag: value[0] if value else None for tag, value in found.items()}


def test_plain_asv_works_on_a_fresh_clone_with_an_empty_home(project, index):
    use = {"UV_DEFAULT_INDEX": index.as_uri()}
    assert asv(project, "check", **use).returncode == 0
    assert asv(project, "run", "v1.0^..v2.0", **use).returncode == 1  # the first stack has no predecessor
    assert asv(project, "run", "v1.0", **use).returncode == 0
    assert asv(project, "run", "v1.0..v2.0", **use).returncode == 0
    assert results(project) == {"v1.0": 1.0, "v2.0": 2.0}
    assert "No commit hashes selected" in asv(project, "run", "NEW").stdout
    assert "track_release" in asv(project, "show", "v2.0").stdout
    assert "|       2 | release.track_release" in asv(project, "compare", "v1.0", "v2.0").stdout
    assert asv(project, "publish").returncode == 0
    assert "v2.0" in (project / "html" / "index.json").read_text()


def test_asv_compares_this_machine_when_others_have_results_as_well(project, index):
    assert asv(project, "run", "v1.0", UV_DEFAULT_INDEX=index.as_uri()).returncode == 0
    (own,) = (project / "results/asv").glob("*/machine.json")
    shutil.copytree(own.parent, project / "results/asv/another")
    facts = json.loads(own.read_text()) | {"machine": "another"}
    (project / "results/asv/another/machine.json").write_text(json.dumps(facts))
    compared = asv(project, "compare", "v1.0", "v1.0")
    assert compared.returncode == 0, compared.stderr
    assert "release.track_release" in compared.stdout
    elsewhere = asv(project, "compare", "v1.0", "v1.0", BENCH_MACHINE="a-third")
    assert "several machines" in elsewhere.stdout + elsewhere.stderr


def test_asv_goes_on_when_a_stack_cannot_be_installed(project, index):
    (project / "stacks" / "v3.0.txt").write_text(lock("3.0", "numba==7.7"))
    done = asv(project, "run", "ALL", UV_DEFAULT_INDEX=index.as_uri())
    assert done.returncode == 2
    assert done.stdout.count("Stack v3.0 cannot be installed: ") >= 1
    assert "numba==7.7" in done.stdout
    assert results(project) == {"v1.0": 1.0, "v2.0": 2.0, "v3.0": None}


def test_asv_records_no_failure_of_a_stack_when_it_is_the_network_that_fails(project):
    done = asv(project, "run", "ALL", UV_DEFAULT_INDEX="http://127.0.0.1:9/simple", UV_HTTP_RETRIES="0")
    assert done.returncode == 1
    assert "check the network connection" in done.stdout
    assert results(project) == {}


def test_asv_answers_an_unknown_release_with_the_newest_ones(project):
    done = asv(project, "run", "v9.9^!")
    assert done.returncode == 1
    assert "'v9.9^!' is not a range of this timeline" in done.stdout
    assert "v2.0, v1.0" in done.stdout


def test_asv_names_a_damaged_lock(project):
    (project / "stacks" / "v1.0.txt").write_text("# release: pymc 1.0\npymc=1.0\n")
    done = asv(project, "check")
    assert done.returncode == 1
    assert "stacks/v1.0.txt, line 2" in done.stdout
    assert len(done.stdout.strip().splitlines()) == 1


def test_asv_without_git_says_so(project):
    assert asv(project, "machine", "--yes").returncode == 0
    done = asv(project, "run", "v1.0", PATH=str(project))
    assert done.returncode == 1
    assert "There is no `git` on PATH" in done.stdout


def test_asv_names_this_machine_without_being_asked(project, index):
    assert asv(project, "run", "v1.0", UV_DEFAULT_INDEX=index.as_uri()).returncode == 0
    known = json.loads((project / "home" / ".asv-machine.json").read_text())
    (name,) = set(known) - {"version"}
    assert os.uname().nodename not in json.dumps(known)
    assert os.uname().release not in json.dumps(known)
    assert (project / "results" / "asv" / name / "machine.json").exists()
    (project / "home" / ".asv-machine.json").write_text(
        json.dumps({"version": 1, "mine": known[name] | {"machine": "mine"}})
    )
    assert asv(project, "run", "v1.0").returncode == 0
    assert (project / "results" / "asv" / "mine" / "machine.json").exists()
    assert asv(project, "run", "v1.0", BENCH_MACHINE="chosen").returncode == 0
    assert (project / "results" / "asv" / "chosen" / "machine.json").exists()


@pytest.mark.parametrize("content", ["{", "[]", '{"version": 1, "mine": 3}', '{"version": 1, "mine": {}}', ""])
def test_asv_says_how_to_repair_a_damaged_list_of_machines(project, content):
    (project / "home" / ".asv-machine.json").write_text(content)
    done = asv(project, "check")
    assert done.returncode == 1
    assert ".asv-machine.json is damaged: delete it" in done.stdout
    assert len(done.stdout.strip().splitlines()) == 1


def test_asv_works_where_home_cannot_be_written(project, index):
    (project / "file").write_text("not a folder")
    assert asv(project, "run", "v1.0", UV_DEFAULT_INDEX=index.as_uri(), HOME=str(project / "file")).returncode == 0
    assert results(project) == {"v1.0": 1.0}


def test_asv_does_not_install_the_same_stack_twice(project, index):
    assert asv(project, "run", "v1.0", UV_DEFAULT_INDEX=index.as_uri()).returncode == 0
    assert (
        asv(project, "run", "v1.0", UV_DEFAULT_INDEX="http://127.0.0.1:9/simple", UV_CACHE_DIR="/dev/null").returncode
        == 0
    )


def test_asv_does_not_take_an_interrupted_installation_for_a_complete_one(project, index):
    assert asv(project, "run", "v1.0", UV_DEFAULT_INDEX=index.as_uri()).returncode == 0
    (environment,) = (project / ".asv" / "env").iterdir()
    (environment / environments.MARKER).unlink()
    shutil.rmtree(environment / "lib" / "python3.12" / "site-packages" / "asv_runner")
    assert asv(project, "run", "v1.0", UV_DEFAULT_INDEX=index.as_uri()).returncode == 0
    assert results(project) == {"v1.0": 1.0}


def test_asv_compiles_what_it_could_not_compile_when_it_installed(project, index):
    """Otherwise the first process to import a module would compile it, and be measured doing so."""
    (project / ".asv").mkdir()
    (project / ".asv/bytecode").write_text("a file where a folder belongs")
    done = asv(project, "run", "v1.0", UV_DEFAULT_INDEX=index.as_uri())
    assert done.returncode == 1
    assert "/.asv/bytecode is a file where a folder belongs: move it away" in done.stdout
    assert results(project) == {}
    assert "v2.0" not in done.stdout
    (project / ".asv/bytecode").unlink()
    done = asv(project, "run", "v1.0", UV_DEFAULT_INDEX=index.as_uri())
    assert done.returncode == 0
    assert "Installing" not in done.stdout
    assert list(project.glob(".asv/pycache/*/*.complete"))
    assert list(project.glob(".asv/bytecode/*/*/*"))
    assert results(project) == {"v1.0": 1.0}


def test_asv_interrupted_while_it_installs_says_so_and_goes_on_when_run_again(project, index):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        variables = variables_of(project, UV_DEFAULT_INDEX=f"http://127.0.0.1:{silent.getsockname()[1]}/simple")
        process = subprocess.Popen(
            [ASV, "run", "v1.0"], cwd=project, env=variables, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        silent.accept()  # uv is installing, and waits for an answer that does not come
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Interrupted" in output
    assert "Traceback" not in output
    assert asv(project, "run", "v1.0", UV_DEFAULT_INDEX=index.as_uri()).returncode == 0
    assert results(project) == {"v1.0": 1.0}


@pytest.mark.network
def test_the_newest_stack_is_installed_exactly_as_locked(tmp_path):
    stack = get_stack("v6.4.0")
    path = tmp_path / "environment"
    install(path, stack)
    names = {line.split()[0].lower().replace("_", "-").replace(".", "-"): line.split()[1] for line in contents(path)}
    assert names == dict(stack.packages) | {"asv-runner": "0.3.2"}
