"""Setting up asks each Python which version it is, and says in one sentence what is missing."""

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ("bash", "sed", "ls", "sort", "tr", "cat", "rm", "env")


@pytest.fixture
def machine(tmp_path):
    """A machine with a shell and nothing else; `add` puts a program on its PATH."""
    binaries = tmp_path / "bin"
    binaries.mkdir()
    for tool in TOOLS:
        (binaries / tool).symlink_to(shutil.which(tool))

    def program(path: Path, text: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    def setup(**variables: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            ["bash", ROOT / ".ci/setup", tmp_path / "venv"],
            cwd=ROOT, capture_output=True, text=True, check=False,
            env={"PATH": str(binaries), "HOME": str(tmp_path), **variables},
        )  # fmt: skip

    setup.add = lambda name, text: program(binaries / name, text)
    setup.home = tmp_path
    setup.program = program
    return setup


# Answers for 3.12 when asked for its version, and ends the set-up there: making an environment fails.
PYTHON_312 = '#!/usr/bin/env bash\necho "$0 $*" >> "$HOME/asked"\n[ "$1" = -c ]\n'
OTHER_PYTHON = "#!/usr/bin/env bash\nexit 1\n"


def test_no_python_3_12_is_one_sentence_that_says_how_to_get_it(machine):
    machine.add("python3", OTHER_PYTHON)
    answer = machine()
    assert answer.returncode == 1
    assert len(answer.stderr.splitlines()) == 1
    assert "Python 3.12 was not found" in answer.stderr
    assert "PYTHON=" in answer.stderr


def test_no_git_is_one_sentence(machine):
    machine.add("python3.12", PYTHON_312)
    answer = machine()
    assert answer.returncode == 1
    assert "git was not found" in answer.stderr


@pytest.mark.parametrize(
    ("place", "variables"),
    [
        ("bin/python3.12", {}),
        ("bin/python3", {}),
        (".pyenv/versions/3.12.9/bin/python", {}),
        ("elsewhere/versions/3.12.9/bin/python", {"PYENV_ROOT": "{home}/elsewhere"}),
        ("elsewhere/versions/3.12.9/bin/python", {"PATH": "{home}/bin:{home}/elsewhere/shims"}),
        ("mine/python", {"PYTHON": "{home}/mine/python"}),
    ],
)
def test_python_3_12_is_found_wherever_it_is(machine, place, variables):
    machine.add("git", OTHER_PYTHON)
    # A shim that is there but answers for no Python, as pyenv's do.
    machine.add("python", OTHER_PYTHON)
    machine.program(machine.home / place, PYTHON_312)
    answer = machine(**{name: value.format(home=machine.home) for name, value in variables.items()})
    assert "was not found" not in answer.stderr
    assert "venv module" in answer.stderr
    assert f"{machine.home / place} -m venv" in (machine.home / "asked").read_text()
