"""What all environments that asv measures in have in common: uv makes them, from a stack, and they hold nothing else.

`timeline` fills them from the timeline, `commits` from the history of PyMC itself. Whatever is done is done by the
modules it imports. A `BenchError` leaves it as asv's own `UserError`, which asv prints as one line before it exits with
status 1. It must not know where a commit's stack comes from.
"""

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asv import util
from asv.console import log
from asv.environment import Environment, EnvironmentUnavailable

from harness.errors import BenchError, MachineError
from harness.stacks import environments
from harness.stacks.environments import PYTHON
from harness.stacks.locks import Stack


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turn a `BenchError` into what asv prints as one line."""
    try:
        yield
    except BenchError as error:
        raise util.UserError(str(error)) from error


class StackEnvironment(Environment, ABC):
    """An environment that holds the stack of one commit at a time, and is made anew for another one.

    asv thinks of a project that is installed into an environment with dependencies; here a commit says what *all*
    packages are. So nothing is uninstalled, there is no pip, and asv's own requirements and those of the build system
    in pyproject.toml are not added.
    """

    tool_name = None
    matches_python_fallback = False
    # asv records a commit that cannot be installed as failed and goes on, save in `asv find`.
    ends_when_not_installed = True

    def __init__(self, conf: Any, python: str, requirements: dict, tagged_env_vars: dict) -> None:
        """Take asv's configuration.

        Raises:
            EnvironmentUnavailable: another Python.
        """
        if python != PYTHON:
            raise EnvironmentUnavailable(f"Stacks are for Python {PYTHON}, not {python}.")
        self._python = python
        self._requirements: dict[str, str] = {}
        self._stacks: dict[str, Stack] = {}
        self._failed: dict[str, BenchError] = {}
        super().__init__(conf, python, requirements, tagged_env_vars)
        self._base_requirements = {}

    @staticmethod
    @abstractmethod
    def stack_at(commit_hash: str, requirements: Mapping[str, str]) -> Stack | None:
        """Return the stack of a commit, by what asv's results say of their environment; None if it was never made."""

    @staticmethod
    def keep(stack: Stack, folder: Path) -> None:
        """Keep beside its records whatever else is needed to know a stack."""

    def _prepare(self, conf: Any, repo: Any, commit_hash: str) -> Stack:
        """Return the stack of a commit, and make it if need be.

        Raises:
            BenchError: there is none for this commit.
        """
        with one_sentence():
            return self._stack(commit_hash)

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
        with one_sentence():
            environments.create(Path(self._path))

    def install_project(self, conf: Any, repo: Any, commit_hash: str) -> None:
        """Make the environment hold exactly the stack of a commit, and what asv needs.

        Raises:
            util.ProcessError: this stack cannot be installed; asv goes on with the next.
            SystemExit: no stack can be for now (no network, a full disk), or Ctrl-C; asv stops before it records
                as failed what was not tried.
        """
        path = Path(self._path)
        with one_sentence():
            installed = self._get_installed_commit_hash() == commit_hash and environments.holds(
                path, self._stack(commit_hash)
            )
            try:
                if not installed:
                    self._switch(path, conf, repo, commit_hash)
                # After the switch, and not of it: an import is measured as a user's second, not as his first.
                environments.compile_bytecode(path, self._stack(commit_hash))
            except (MachineError, KeyboardInterrupt) as error:
                # After a `UserError` asv would try the other commits, one after the other.
                log.error(str(error) or "Interrupted: run the same command again to go on.")
                raise SystemExit(1) from error
            except BenchError as error:
                self._failed[commit_hash] = error
                log.error(str(error))
                if self.ends_when_not_installed:
                    raise util.ProcessError(["uv", "pip", "sync", commit_hash], 1, "", str(error)) from error
                environments.create(path)
            self._set_commit_hash(commit_hash)

    def _switch(self, path: Path, conf: Any, repo: Any, commit_hash: str) -> None:
        """Install the stack of a commit in place of what is there."""
        if commit_hash in self._failed:
            # asv asks again for what it could not discover benchmarks with.
            raise self._failed[commit_hash]
        start = time.perf_counter()
        stack = self._prepare(conf, repo, commit_hash)
        log.info(f"Installing {stack.tag} into {self.name}")
        environments.install(path, stack)
        # These files mark the environment as complete, so nothing of the switch may fail or be left to do after them.
        self.save_info_file(self._path)
        self._set_installed_commit_hash(commit_hash)
        log.info(f"Installed {stack.tag} in {time.perf_counter() - start:.1f} s")

    def run(self, args: list[str], **kwargs: Any) -> Any:
        """Run the environment's Python."""
        log.debug(f"Running '{' '.join(args)}' in {self.name}")
        return self.run_executable("python", args, **kwargs)

    def run_executable(self, executable: str, args: list[str], **kwargs: Any) -> Any:
        """Run one of the environment's programs, and tell it which stack it is in."""
        variables = dict(kwargs.pop("env", os.environ))
        commit = self._get_installed_commit_hash()
        if commit is not None:
            with one_sentence():
                stack = self._stack(commit)
            variables = environments.process_environment(stack, variables)
            variables |= {"BENCH_STACK": stack.tag, "BENCH_LOCK_SHA256": stack.sha256}
        return super().run_executable(executable, args, env=variables, **kwargs)

    def _stack(self, commit_hash: str) -> Stack:
        """Return the stack of a commit that has one."""
        if commit_hash not in self._stacks:
            stack = self.stack_at(commit_hash, self._requirements)
            if stack is None:
                raise BenchError(f"What {self._path} holds is not known any more: delete it and run the command again.")
            self._stacks[commit_hash] = stack
        return self._stacks[commit_hash]

    def _get_installed_commit_hash(self) -> str | None:
        """Return the commit that asv noted, if the environment was completed."""
        complete = (Path(self._path) / environments.MARKER).exists()
        return super()._get_installed_commit_hash() if complete else None

    def _get_install_checksum(self) -> list:
        """Return what asv compares to see whether an installation is still the one it would make."""
        return [environments.ASV_REQUIREMENTS.read_text()]


# A Git hook runs with these set, and asv's own calls of Git would look at the wrong repository.
for _variable in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR"):
    os.environ.pop(_variable, None)
