"""The one exception that is meant for the user's eyes.

Anything a user can cause or cure (a damaged lock, no network, a full disk) is raised as a `BenchError`; the
command line prints it and exits 1. It must not know who raises it or where it is printed.
"""


class BenchError(Exception):
    """A user-facing error: one sentence that names the problem, and the next step."""

    status = 1
    """What the command line exits with."""


class MachineError(BenchError):
    """An error of this machine or its network, not of what was asked for: trying again can succeed."""


class NotMeasuredError(BenchError):
    """A comparison that could not be made, which is neither of its answers."""

    status = 2
