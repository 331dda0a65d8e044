"""What a user puts in the place of a stack's package: versions, wheels, folders and commits, and nothing else moves.

Kept with the index of tiny wheels that `test_commits` has; uv and Git are the real ones.
"""

from __future__ import annotations

import subprocess
import time
import zipfile
from pathlib import Path

import pytest

from harness.errors import BenchError, MachineError
from harness.measuring import compare_command
from harness.stacks import environments, exchanging, variants
from harness.stacks.exchanging import exchanged
from harness.stacks.locks import parse
from tests.small_index import BACKEND, PYPROJECT, wheel
from tests.test_commits import lock

# nutpie asks for PyMC 5.
BASE = parse(lock(2, "2024-04-15").replace("pymc 1.0", "pymc 5.0").replace("pymc==1.0", "pymc==5.0"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout of a tiny PyMC, with a change that is not committed."""
    path = tmp_path / "pymc"
    path.mkdir()
    for name, text in {"backend.py": BACKEND, "pyproject.toml": PYPROJECT, "version": "1.5", "requires": ""}.items():
        (path / name).write_text(text)
    identity = ("-c", "user.name=n", "-c", "user.email=n@n.invalid")
    for arguments in (("init", "--quiet", "--initial-branch=main"), ("add", "--all")):
        subprocess.run(["git", *arguments], cwd=path, check=True)
    subprocess.run(["git", *identity, "commit", "--quiet", "--message", "1.5"], cwd=path, check=True)
    (path / "version").write_text("1.6")
    return path


def test_nothing_wanted_is_the_stack_itself():
    assert exchanged(BASE, []) is BASE


def test_a_version_takes_the_place_of_the_stacks_and_nothing_else_moves(online):
    variant = exchanged(BASE, ["jax=3.0"])
    assert dict(variant.packages) == dict(BASE.packages) | {"jax": "3.0"}
    assert variant.moved == ()
    assert variant.title == "v5.0 with jax 3.0"
    assert "\njax==3.0\n" in variant.text


def test_an_older_version_as_well(online):
    assert exchanged(BASE, ["jax=1.0"]).packages["jax"] == "1.0"


def test_what_a_version_needs_moves_and_is_said(online, index):
    index.add("2024-08-01", "nutpie", "2.0", "numba>=3")
    variant = exchanged(BASE, ["nutpie=2.0"])
    # PyTensor 2.0 cannot do with Numba 3.0.
    assert {line.split()[0] for line in variant.moved} == {"numba", "pytensor"}
    assert variant.packages["jax"] == "2.0"


def test_several_at_once_are_one_stack_in_any_order(online):
    there, back = (exchanged(BASE, wanted) for wanted in (["jax=1.0", "arviz=1.1"], ["arviz=1.1", "jax=1.0"]))
    assert there == back
    assert (there.packages["jax"], there.packages["arviz"]) == ("1.0", "1.1")
    assert there.title == "v5.0 with arviz 1.1 and jax 1.0"


def test_names_are_those_of_the_index_however_they_are_written(online):
    assert exchanged(BASE, ["JAX = 1.0"]).packages["jax"] == "1.0"


def test_it_is_solved_once_and_then_known(online, monkeypatch):
    first = exchanged(BASE, ["jax=3.0"])
    monkeypatch.setattr(variants, "resolve", lambda *_: pytest.fail("solved again"))
    assert exchanged(BASE, ["jax=3.0"]) == first


def test_a_wheel_is_known_by_what_is_in_it_and_not_by_when_it_was_built(online, tmp_path):
    made = []
    for n, text in enumerate(("x = 1\n", "x = 1\n", "x = 2\n")):
        if n == 1:
            # An archive knows its files' times by two seconds.
            time.sleep(2)
        path = wheel(tmp_path / str(n), "pytensor", "9.0", files={"pytensor/__init__.py": text})
        made.append(exchanged(BASE, [f"pytensor={path}"]))
    assert made[0] == made[1]
    assert made[0].tag != made[2].tag
    assert made[0].packages["pytensor"] == "9.0"
    assert "pytensor==" not in made[0].text


def test_what_is_installed_is_what_is_in_the_wheel_after_the_user_has_deleted_it(online, tmp_path):
    path = wheel(tmp_path, "pytensor", "2.0", files={"pytensor/__init__.py": "mine = 'yes'\n"})
    variant = exchanged(BASE, [f"pytensor={path}"])
    path.unlink()
    environment = tmp_path / "environment"
    environments.install(environment, variant)
    assert environments.holds(environment, variant)
    assert not environments.holds(environment, BASE)
    said = subprocess.run(
        [environments.python(environment), "-c", "import pytensor; print(pytensor.mine)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout == "yes\n"


def test_a_wheel_that_is_gone_is_a_sentence_with_the_next_step(online, tmp_path):
    path = wheel(tmp_path, "pytensor", "2.0")
    variant = exchanged(BASE, [f"pytensor={path}"])
    (kept,) = variants.BUILT.rglob("*.whl")
    kept.unlink()
    with pytest.raises(BenchError, match=r"^The wheel of pytensor 2\.0 \(wheel \w{10}\) is gone: run the same command"):
        environments.install(tmp_path / "environment", variant)
    assert exchanged(BASE, [f"pytensor={path}"]) == variant
    assert kept.is_file()


def test_a_folder_is_built_as_it_is_now(online, folder):
    variant = exchanged(BASE, [f"pymc={folder}"])
    assert variant.packages["pymc"] == "1.6"
    assert variant.title.startswith("v5.0 with pymc 1.6 (wheel ")


def test_a_commit_of_a_clone_is_built_as_it_was_committed(online, folder):
    variant = exchanged(BASE, [f"pymc={folder}@main"])
    assert variant.packages["pymc"] == "1.5"
    assert variant.title.startswith("v5.0 with pymc 1.5 (commit ")
    # A branch, and what it stands for, are one.
    digits = variant.put_in[0].digits
    assert exchanged(BASE, [f"pymc={folder}@{digits[:12]}"]) == variant


def test_a_commit_of_the_clone_that_the_environment_names(online, folder, monkeypatch, tmp_path):
    monkeypatch.setenv(exchanging.REPOSITORY, str(folder))
    variant = exchanging.of_commit("main", BASE, tmp_path / "records")
    assert variant == exchanged(BASE, [f"pymc={folder}@main"])


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("jax", r"'jax' does not say what to put in the place of which package: write NAME=WHAT"),
        ("jax==1.0", r"'jax==1.0' does not say"),
        ("=1.0", r"v5\.0 does not pin ''|does not say"),
        ("torch=1.0", r"v5\.0 does not pin 'torch': stacks/v5\.0\.txt lists"),
        ("jax=99.0", r"The package index has no jax 99\.0\."),
        ("jax=main", r"'main', wanted for jax, is no version, and there is no such wheel or folder\.$"),
        ("jax=1a2b3c4d5e", r"Of a commit, say which clone it is of: jax=FOLDER@1a2b3c4d5e\."),
        ("jax=nowhere/jax-1.0-py3-none-any.whl", r"There is no wheel \S*nowhere/jax-1\.0-py3-none-any\.whl\."),
        ("jax=nowhere@main", r"'nowhere@main', wanted for jax, is no version"),
    ],
)  # fmt: skip
def test_what_cannot_be_put_in_is_one_sentence(online, wanted, said):
    with pytest.raises(BenchError, match=said) as error:
        exchanged(BASE, [wanted])
    assert "\n" not in str(error.value)


def test_a_package_twice_is_one_sentence(online):
    with pytest.raises(BenchError, match=r"^jax is wanted twice"):
        exchanged(BASE, ["jax=1.0", "JAX=3.0"])


def test_a_wheel_of_another_package_is_one_sentence(online, tmp_path):
    path = wheel(tmp_path, "pytensor", "2.0")
    with pytest.raises(BenchError, match=r"^What is wanted for jax is a build of pytensor: write pytensor=… instead\."):
        exchanged(BASE, [f"jax={path}"])


@pytest.mark.parametrize("name", ["jax.whl", "jax-1.0-py3-none-any.whl"])
def test_a_file_that_is_no_wheel_is_one_sentence(online, tmp_path, name):
    (tmp_path / name).write_text("no archive")
    with pytest.raises(BenchError, match=r"is no wheel that can be read"):
        exchanged(BASE, [f"jax={tmp_path / name}"])


def test_a_folder_that_does_not_build_is_one_sentence(online, folder):
    (folder / "backend.py").write_text("raise RuntimeError('half done')")
    with pytest.raises(BenchError, match=r"pymc cannot be built: .*half done") as error:
        exchanged(BASE, [f"pymc={folder}"])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("revision", ["nothing", "--help", "HEAD:version"])
def test_a_commit_that_is_not_there_is_one_sentence(online, folder, revision):
    with pytest.raises(BenchError, match=r"no commit, branch or tag"):
        exchanged(BASE, [f"pymc={folder}@{revision}"])


def test_requirements_that_nothing_satisfies_are_one_sentence(online, tmp_path):
    path = wheel(tmp_path, "pytensor", "9.0", ("jax>=77",))
    with pytest.raises(
        BenchError, match=r"^pytensor 9\.0 \(wheel \w{10}\) cannot be put into v5\.0 beside [^\n]*jax[^\n]*$"
    ):
        exchanged(BASE, [f"pytensor={path}"])


def test_without_a_network_nothing_is_said_of_the_version(online, monkeypatch):
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    with pytest.raises(MachineError, match="check the network connection"):
        exchanged(BASE, ["jax=3.0"])


def test_without_a_clone_a_name_that_is_no_stack_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.delenv(exchanging.REPOSITORY, raising=False)
    with pytest.raises(BenchError, match=r"^There is no stack 'my-branch', and no clone to look for such a commit"):
        exchanging.of_commit("my-branch", BASE, tmp_path)


def test_an_interrupted_copy_of_a_wheel_is_not_taken_for_the_wheel(online, tmp_path, monkeypatch):
    path = wheel(tmp_path, "pytensor", "9.0")

    def interrupted(source, folder):
        (Path(folder) / source.name).write_bytes(source.read_bytes()[:100])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(exchanging.shutil, "copy", interrupted)
        with pytest.raises(KeyboardInterrupt):
            exchanged(BASE, [f"pytensor={path}"])
    assert not list(variants.BUILT.rglob("*.whl"))
    exchanged(BASE, [f"pytensor={path}"])
    (kept,) = variants.BUILT.rglob("*.whl")
    assert kept.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("place", ["clone", "sub/clone", "a b/clone", "x@y/clone"])
def test_a_clone_may_be_named_from_here_wherever_it_is(online, folder, tmp_path, monkeypatch, place):
    (tmp_path / place).parent.mkdir(exist_ok=True)
    folder.rename(tmp_path / place)
    monkeypatch.chdir(tmp_path)
    assert exchanged(BASE, [f"pymc={place}@main"]).packages["pymc"] == "1.5"
    assert exchanged(BASE, [f"pymc={place}@HEAD@{{0}}"]).packages["pymc"] == "1.5"


def test_a_folder_is_left_as_it_is_and_what_was_built_in_it_before_is_not_taken_up(online, folder):
    (folder / "build").mkdir()
    (folder / "build" / "old.py").touch()
    before = sorted(folder.rglob("*"))
    assert exchanged(BASE, [f"pymc={folder}"]).packages["pymc"] == "1.6"
    assert sorted(folder.rglob("*")) == before


def test_a_version_is_spelled_as_the_index_spells_it_and_a_pinned_one_is_the_stack_itself(online):
    assert exchanged(BASE, ["jax=3"]) == exchanged(BASE, ["jax=3.0.0"])
    assert exchanged(BASE, ["jax=2"]).content == BASE.content


def test_a_pre_release_that_is_asked_for_is_had(online, index):
    index.add("2024-08-01", "jax", "5.0rc1")
    assert exchanged(BASE, ["jax=5.0rc1"]).packages["jax"] == "5.0rc1"
    assert exchanged(BASE, ["arviz=1.1"]).packages["jax"] == "2.0"


def test_the_bounds_of_an_extra_that_every_stack_asks_for_count(online, tmp_path):
    path = tmp_path / "nutpie-9.0-py3-none-any.whl"
    info = "nutpie-9.0.dist-info"
    metadata = "Metadata-Version: 2.1\nName: nutpie\nVersion: 9.0\nProvides-Extra: pymc\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("nutpie/__init__.py", "")
        archive.writestr(f"{info}/METADATA", f"{metadata}Requires-Dist: numba>=3; extra == 'pymc'\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    assert int(exchanged(BASE, [f"nutpie={path}"]).packages["numba"][0]) >= 3


def test_an_extra_that_another_package_asks_for_is_kept(online, index, tmp_path):
    """As arviz asks for arviz-stats[xarray], which has what that extra needs with it."""
    needs = "einstats; extra == 'xarray'"
    index.add("2024-10-01", "einstats", "1.0")
    index.add("2024-10-01", "stats", "1.0", needs)
    index.add("2024-10-01", "arviz", "2.5", "stats[xarray]")
    base = exchanged(BASE, ["arviz=2.5"])
    assert base.packages["einstats"] == "1.0"
    path = wheel(tmp_path, "stats", "2.0", (needs,))
    variant = exchanged(base, [f"stats={path}"])
    assert (variant.packages["stats"], variant.packages["einstats"], variant.moved) == ("2.0", "1.0", ())


@pytest.mark.parametrize("tag", ["py3-none-win_amd64", "cp313-cp313-manylinux_2_28_x86_64"])
def test_a_wheel_for_another_machine_is_one_sentence(online, tmp_path, tag):
    path = wheel(tmp_path, "jax", "9.0").rename(tmp_path / f"jax-9.0-{tag}.whl")
    with pytest.raises(BenchError, match=r"is not for Python 3\.12 on this machine: build it here\.$"):
        exchanged(BASE, [f"jax={path}"])


def test_a_folder_that_a_compiler_refuses_is_told_by_what_the_compiler_says(online, folder):
    (folder / "backend.py").write_text("import sys\nsys.exit('x.c:1:8: error: no such thing\\nerror: gcc failed')")
    with pytest.raises(BenchError, match=r"pymc cannot be built: x\.c:1:8: error: no such thing$"):
        exchanged(BASE, [f"pymc={folder}"])


def test_a_folder_without_commits_is_one_sentence(online, tmp_path, monkeypatch):
    monkeypatch.setenv(exchanging.REPOSITORY, str(tmp_path))
    with pytest.raises(BenchError, match=r"is no clone of which Git can read commits; name another: .*not a git repos"):
        exchanging.of_commit("main", BASE, tmp_path)


def test_a_home_that_there_is_not_is_one_sentence(online):
    with pytest.raises(BenchError, match="names a home that this machine has not"):
        exchanged(BASE, ["jax=~nobody-of-this-name/jax"])


def test_what_differs_besides_what_was_put_in_is_said(online, index):
    index.add("2024-09-01", "nutpie", "3.0", "numba>=4")
    there, back = exchanged(BASE, ["arviz=1.1"]), exchanged(BASE, ["nutpie=3.0"])
    assert compare_command.also_differ(BASE, exchanged(BASE, ["jax=1.0"])) == ""
    said = compare_command.also_differ(there, back)
    assert said.startswith("Besides what was put in, the two differ in numba 2.0 → ")
    assert "arviz" not in said
