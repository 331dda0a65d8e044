"""What asv needs to walk stacks: the timeline, environments made by uv, and a machine that has a name.

asv loads this module before any command (`plugins` in asv.conf.json), with the project's folder as working
directory. It must not know the history of PyMC itself: that is `harness/asv_plugins/commits.py`.
"""

from collections.abc import Mapping
from typing import Any

from asv import util
from asv.environment import EnvironmentUnavailable
from asv.plugins.git import Git

from harness.asv_plugins.environment import StackEnvironment, one_sentence
from harness.measuring.machine import ensure_machine
from harness.stacks import locks
from harness.stacks.timeline import ensure_timeline, lock_at


class Timeline(Git):
    """The generated repository; it differs from asv's Git in what it says of a range it does not know."""

    dvcs = "timeline"

    def get_hashes_from_range(self, range_spec: str) -> list[str]:
        """Return the commits of a range such as v6.3.2..v6.4.0, newest first."""
        try:
            arguments = ["rev-list", "--first-parent", *range_spec.split(), "--"]
            return self._run_git(arguments, display_error=False, dots=False).split()
        except util.ProcessError as error:
            raise util.UserError(
                f"{range_spec!r} is not a range of this timeline: name stacks like v6.3.2..v6.4.0 or v6.4.0^!; "
                f"the newest are {_newest()}, and `bench stacks update` adds newer releases."
            ) from error


class Stack(StackEnvironment):
    """An environment for the timeline, where a commit *is* the list of all packages, and nothing is ever built."""

    tool_name = "stack"

    def __init__(self, conf: Any, python: str, requirements: dict, tagged_env_vars: dict) -> None:
        """Take asv's configuration.

        Raises:
            EnvironmentUnavailable: another Python, or packages in the matrix: stacks say what is installed.
        """
        if requirements:
            raise EnvironmentUnavailable(
                "`matrix` in asv.conf.json cannot name packages: a stack says what is installed."
            )
        super().__init__(conf, python, {}, tagged_env_vars)

    @staticmethod
    def stack_at(commit_hash: str, requirements: Mapping[str, str]) -> locks.Stack | None:
        """Return the stack of a commit of the timeline."""
        return lock_at(commit_hash)


def _newest() -> str:
    """Return the tags of the newest stacks, for an error message."""
    return ", ".join(stack.tag for stack in locks.load_stacks()[:-6:-1])


with one_sentence():
    ensure_timeline()
    ensure_machine()
