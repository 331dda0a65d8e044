"""What asv needs to walk the history of PyMC, or of PyTensor: an asv plugin, loaded by asv.commits.conf.json.

A commit is installed into the stack that the configuration names; `harness/stacks/commits.py` says how. It must not
know what is measured.
"""

import hashlib
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from asv import util
from asv.config import Config
from asv.console import log
from asv.plugins.git import Git

from harness.asv_plugins.environment import StackEnvironment, one_sentence
from harness.errors import BenchError
from harness.measuring.machine import ensure_machine
from harness.stacks import commits, locks, variants

REPOSITORY = "BENCH_REPOSITORY"
_CONFIGURATION = "asv.commits.conf.json"


class Clone(Git):
    """The repository of the project under test: a local clone, as it is, or a mirror of one elsewhere."""

    dvcs = "commits"

    def __init__(self, url: str, mirror_path: str) -> None:
        """Take the `repo` of the configuration, or what BENCH_REPOSITORY names.

        Raises:
            UserError: it is no repository, or cannot be cloned.
        """
        self._url = url = _address(url)
        here = "://" not in url and "@" not in url
        if here and not self.is_local_repo(url):
            where = REPOSITORY if os.environ.get(REPOSITORY) else f"`repo` in {_CONFIGURATION}"
            raise util.UserError(f"There is no Git repository at {url}: let {where} name a clone of PyMC or PyTensor.")
        mirror = _mirror(url)
        mirror.parent.mkdir(parents=True, exist_ok=True)
        try:
            super().__init__(url, str(mirror))
        except util.ProcessError as error:
            raise self._unreachable() from error

    @property
    def path(self) -> Path:
        """Where the repository is."""
        return Path(self._path)

    def pull(self) -> None:
        """Fetch new commits, unless the repository is a local clone."""
        try:
            super().pull()
        except util.ProcessError as error:
            raise self._unreachable() from error

    def get_hashes_from_range(self, range_spec: str) -> list[str]:
        """Return the commits of a range such as main~3..main, newest first."""
        try:
            # Names of branches have no spaces, but may have quotes.
            named = shlex.split(range_spec) if " " in range_spec else [range_spec]
            arguments = ["rev-list", "--first-parent", *named, "--"]
            return self._run_git(arguments, display_error=False, dots=False).split()
        except (util.ProcessError, ValueError) as error:
            raise util.UserError(
                f"{range_spec!r} is not a range of commits in {self._url}: name branches, tags or hashes as in "
                "main~3..main or 1a2b3c4^!, and fetch what is not there yet."
            ) from error

    def _unreachable(self) -> util.UserError:
        return util.UserError(
            f"{self._url} cannot be fetched: check the network connection and the address, or let {REPOSITORY} name a "
            "local clone."
        )


def _address(url: str) -> str:
    """Return what BENCH_REPOSITORY names, or else the configuration."""
    named = os.environ.get(REPOSITORY)
    return str(Path(named).expanduser()) if named and "://" not in named else named or url


def _mirror(url: str) -> Path:
    """Return where the mirror of a repository elsewhere is, or will be."""
    return variants.BUILT / "mirrors" / hashlib.sha256(url.encode()).hexdigest()[:10]


def _project(conf: Config) -> str:
    """Return the project whose commits are measured: asv announces each commit by it, and titles its pages."""
    url = _address(conf.repo or "")
    path = Path(url) if Clone.is_local_repo(url) else _mirror(url)
    # asv asks before it has cloned what is elsewhere, too.
    there, branches = path if path.is_dir() else None, tuple(branch for branch in conf.branches if branch)
    return commits.project_name(there, url, branches, conf.__dict__["project"])


class Commit(StackEnvironment):
    """An environment that holds one commit of the project, in the stack of a release.

    The stack is named in the matrix, so that asv keeps the results of different stacks apart.
    """

    tool_name = "commit"

    def __init__(self, conf: Any, python: str, requirements: dict, tagged_env_vars: dict) -> None:
        """Take asv's configuration.

        Raises:
            UserError: there is no such stack.
        """
        with one_sentence():
            if set(requirements) != {"stack"}:
                raise BenchError(
                    f"`matrix` in {_CONFIGURATION} names a stack and nothing else: "
                    '{"req": {"stack": ["v6.4.0"]}} is one that would do.'
                )
            self._base = locks.get_stack(str(requirements["stack"]))
        super().__init__(conf, python, {"stack": self._base.tag}, tagged_env_vars)

    @staticmethod
    def stack_at(commit_hash: str, requirements: Mapping[str, str]) -> locks.Stack | None:
        """Return the stack of a commit, if it could be made."""
        return commits.kept(commit_hash, requirements["stack"])

    @staticmethod
    def keep(stack: locks.Stack, folder: Path) -> None:
        """Keep the lock, which says what moved, beside the records."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / variants.RECORDED).write_text(stack.text, encoding="utf-8")

    def _prepare(self, conf: Any, repo: Clone, commit_hash: str) -> locks.Stack:
        """Build the commit, and find which packages of the stack have to move for it."""
        log.info(f"Building {commit_hash[:10]} for {self.name}")
        records = Path(conf.results_dir).resolve().parent / "records"
        stack = commits.prepare(commit_hash, self._base, repo.path, records)
        # asv shows warnings only while it builds.
        log.warning(f"{commit_hash[:10]} in {self._base.tag}: {', '.join(stack.moved) or 'no package moved'}")
        return stack


# asv has read the configuration before it loads this, and asks it for the project everywhere.
Config.project = property(_project, lambda conf, name: conf.__dict__.update(project=name))

with one_sentence():
    ensure_machine()
