"""What asv needs to walk stacks: the timeline, environments made by uv, and a machine that has a name.

asv loads this module before any command (`plugins` in asv.conf.json), with the project's folder as working
directory. It is the only module that subclasses asv; whatever it does is done by the modules it imports. A
`BenchError` leaves it as asv's own `UserError`, which asv prints as one line before it exits with status 1.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asv import util
from asv.console import log
from asv.environment import Environment, EnvironmentUnavailable
from asv.plugins.git import Git

from harness import environments, stacks
from harness.environments import PYTHON
from harness.errors import BenchError, MachineError
from harness.machine import ensure_machine
from harness.timeline import ensure_timeline, lock_at


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Turn a `BenchError` into what asv prints as one line."""
    try:
        yield
    except BenchError as error:
        raise util.UserError(str(error)) from error


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


class Stack(Environment):
    """An environment that holds one stack at a time, and is made anew for another one.

    asv thinks of a project that is built and installed into an environment with dependencies; here the commit
    *is* the list of all packages. So nothing is checked out, built or uninstalled, there is no pip, and asv's
    own requirements and those of the build system in pyproject.toml are not added.
    """

    tool_name = "stack"
    matches_python_fallback = False

    def __init__(self, conf: Any, python: str, requirements: dict, tagged_env_vars: dict) -> None:
        """Take asv's configuration.

        Raises:
            EnvironmentUnavailable: another Python, or packages in the matrix: stacks say what is installed.
        """
        if python != PYTHON:
            raise EnvironmentUnavailable(f"Stacks are for Python {PYTHON}, not {python}.")
        if requirements:
            raise EnvironmentUnavailable(
                "`matrix` in asv.conf.json cannot name packages: a stack says what is installed."
            )
        self._python = python
        self._requirements: dict[str, str] = {}
        self._locks: dict[str, stacks.Stack] = {}
        super().__init__(conf, python, {}, tagged_env_vars)
        self._base_requirements = {}

    @classmethod
    def matches(cls, python: str) -> bool:
        """Return whether a stack can be installed for this Python."""
        return python == PYTHON

    def check_presence(self) -> bool:
        """Return whether the environment exists and its Python starts."""
        try:
            info = self.load_info_file(self._path)
            if info["tool_name"] != self.tool_name or info["python"] != self._python:
                return False
            self.run_executable("python", ["-c", "pass"], display_error=False)
        except (util.UserError, util.ProcessError, OSError, KeyError, TypeError):
            return False
        return True

    def _setup(self) -> None:
        """Make an environment without any package."""
        with _one_sentence():
            environments.create(Path(self._path))

    def install_project(self, conf: Any, repo: Any, commit_hash: str) -> None:
        """Make the environment hold exactly the stack of a commit, and what asv needs.

        Raises:
            util.ProcessError: this stack cannot be installed; asv goes on with the next.
            SystemExit: no stack can be for now (no network, a full disk), or Ctrl-C; asv stops before it records
                as failed what was not tried.
        """
        path = Path(self._path)
        with _one_sentence():
            stack = self._lock(commit_hash)
            if self._get_installed_commit_hash() == commit_hash and environments.holds(path, stack):
                self._set_commit_hash(commit_hash)
                return
            log.info(f"Installing {stack.tag} into {self.name}")
            start = time.perf_counter()
            try:
                environments.install(path, stack)
            except (MachineError, KeyboardInterrupt) as error:
                # After a `UserError` asv would try the other commits, one after the other.
                log.error(str(error) or "Interrupted: run the same command again to go on.")
                raise SystemExit(1) from error
            except BenchError as error:
                log.error(str(error))
                raise util.ProcessError(["uv", "pip", "sync", stack.tag], 1, "", str(error)) from error
            # These files mark the environment as complete, so nothing may fail or be left to do after them.
            self.save_info_file(self._path)
            self._set_installed_commit_hash(commit_hash)
            self._set_commit_hash(commit_hash)
            log.info(f"Installed {stack.tag} in {time.perf_counter() - start:.1f} s")
            # After the switch, and not of it: an import is measured as a user's second, not as his first.
            environments.compile_bytecode(path, stack)

    def run(self, args: list[str], **kwargs: Any) -> Any:
        """Run the environment's Python."""
        log.debug(f"Running '{' '.join(args)}' in {self.name}")
        return self.run_executable("python", args, **kwargs)

    def run_executable(self, executable: str, args: list[str], **kwargs: Any) -> Any:
        """Run one of the environment's programs, and tell it which stack it is in."""
        variables = dict(kwargs.pop("env", os.environ))
        commit = self._get_installed_commit_hash()
        if commit is not None:
            with _one_sentence():
                stack = self._lock(commit)
            variables = environments.process_environment(stack, variables)
            variables |= {"BENCH_STACK": stack.tag, "BENCH_LOCK_SHA256": stack.sha256}
        return super().run_executable(executable, args, env=variables, **kwargs)

    def _lock(self, commit_hash: str) -> stacks.Stack:
        """Return the stack of a commit."""
        if commit_hash not in self._locks:
            self._locks[commit_hash] = lock_at(commit_hash)
        return self._locks[commit_hash]

    def _get_installed_commit_hash(self) -> str | None:
        """Return the commit that asv noted, if the environment was completed."""
        complete = (Path(self._path) / environments.MARKER).exists()
        return super()._get_installed_commit_hash() if complete else None

    def _get_install_checksum(self) -> list:
        """Return what asv compares to see whether an installation is still the one it would make."""
        return [environments.ASV_REQUIREMENTS.read_text()]


def _newest() -> str:
    """Return the tags of the newest stacks, for an error message."""
    return ", ".join(stack.tag for stack in stacks.load_stacks()[:-6:-1])


# A Git hook runs with these set, and asv's own calls of Git would look at the wrong repository.
for _variable in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR"):
    os.environ.pop(_variable, None)

with _one_sentence():
    ensure_timeline()
    ensure_machine()
