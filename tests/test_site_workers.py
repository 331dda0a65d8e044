"""Pages are written by several processes, and what happens to one of them is said by the one that waits."""

import os
import signal
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from harness.errors import BenchError, MachineError
from harness.site import workers


@dataclass(frozen=True)
class Pages:
    """Stands for a site: a part for each line of what is asked of it."""

    folder: Path
    names: tuple[str, ...]

    @property
    def parts(self):
        return {name: partial(getattr(self, name.split()[0]), name) for name in self.names}

    def write(self, name):
        (self.folder / name).write_text(str(os.getpid()))

    def break_off(self, name):
        raise BenchError(f"{name} cannot be written: it is broken.")

    def die(self, _name):
        os.kill(os.getpid(), signal.SIGKILL)


def test_every_part_of_every_site_is_written_and_by_another_process(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    names = tuple(f"write {i}" for i in range(5))
    for folder in folders:
        folder.mkdir()
    workers.write([Pages(folder, names) for folder in folders])
    found = [(folder / name).read_text() for folder in folders for name in names]
    assert str(os.getpid()) not in found


def test_what_one_process_cannot_write_is_said_as_it_says_it(tmp_path):
    with pytest.raises(BenchError, match=r"^break_off 1 cannot be written: it is broken\.$"):
        workers.write([Pages(tmp_path, ("write 1", "break_off 1", "write 2"))])


def test_a_process_that_is_killed_is_named_with_what_helps(tmp_path):
    with pytest.raises(MachineError, match="was killed, perhaps for want of memory: free some, and publish again"):
        workers.write([Pages(tmp_path, ("write 1", "die 1", "write 2"))])
