"""The one exception that is meant for the user's eyes.

Anything a user can cause or cure (a damaged lock, no network, a full disk) is raised as a `BenchError`; the
command line prints it and exits 1. It must not know who raises it or where it is printed.
"""

from pathlib import Path


class BenchError(Exception):
    """A user-facing error: one sentence that names the problem, and the next step."""

    status = 1
    """What the command line exits with."""


class MachineError(BenchError):
    """An error of this machine or its network, not of what was asked for: trying again can succeed."""


class UnresolvableError(BenchError):
    """Versions that do not go together: there is no such stack, whenever one asks."""


class LostStackError(BenchError):
    """A stack that cannot be installed, though it was locked: a version was withdrawn from the index, say."""

    def __init__(self, tag: str, why: str) -> None:
        super().__init__(why)
        self.tag = tag


class NotMeasuredError(BenchError):
    """A comparison that could not be made, which is neither of its answers."""

    status = 2


def cannot_write(path: Path, error: OSError) -> MachineError:
    """Return the error of a path that cannot be written, or of the one that the error names."""
    path = Path(error.filename or path)
    blocking = next((p for p in (path, *path.parents) if p.is_file()), None)
    if blocking and isinstance(error, FileExistsError | NotADirectoryError):
        return MachineError(f"{blocking} is a file where a folder belongs: move it away, and try again.")
    if isinstance(error, IsADirectoryError):
        return MachineError(f"{path} is a folder where a file belongs: move it away, and try again.")
    return MachineError(f"{path} cannot be written ({error.strerror}): free some space or fix its permissions.")
