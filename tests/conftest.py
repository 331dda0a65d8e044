"""What every test may count on."""

import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness.paths import CACHE
from harness.stacks import proposals
from harness.stacks.locks import load_stacks
from harness.stacks.releases import Release
from tests import trials
from tests.small_index import index, online  # noqa: F401 (fixtures)

# A job that a shell starts in the background ignores Ctrl-C, and so does all that it starts: what tests
# interrupt would never end.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A thousand processes import the same modules: each would compile them anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# In a job of GitHub Actions, what tests provoke is not to be on its page, nor sent anywhere.
for _name in [name for name in os.environ if name.startswith("GITHUB_")]:
    del os.environ[_name]

# What tests serve on this machine is no proxy's concern.
for _name in ("no_proxy", "NO_PROXY"):
    os.environ[_name] = ",".join(filter(None, [os.environ.get(_name), "127.0.0.1", "localhost"]))

ROOT = Path(__file__).resolve().parent.parent


def copy_suite(to: Path) -> None:
    """Copy the suite as a fresh clone has it, but for its history and its results."""
    left_out = {".venv", ".asv", "html", ".git", "results"}
    # At the top only: `harness/results` is code.
    shutil.copytree(ROOT, to, ignore=lambda folder, _: left_out if Path(folder) == ROOT else {"__pycache__"})


# The longest first, by their measured duration: workers that take a module each are then left with short ones.
LONGEST_FIRST = (
    "test_week", "test_real_sampling", "test_side_by_side", "test_hostile_shards", "test_commits", "test_gradient",
    "test_sampling_by_numba", "test_asv_end_to_end", "test_candidate", "test_environments", "test_site_in_browser",
)  # fmt: skip


# Whoever asks for one of these runs asv on packages made for it.
SLOW_FIXTURES = {"maintainer", "history", "project"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes begins first, so that no worker is left with it at the end."""
    for item in items:
        if SLOW_FIXTURES & set(item.fixturenames):
            item.add_marker("slow")
    place = {name: i for i, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


def share_bytecode(copy: Path) -> None:
    """Let a copy of the suite use this checkout's store of byte code: what any test has compiled, no other does."""
    store = CACHE / "bytecode"
    store.mkdir(parents=True, exist_ok=True)
    (copy / ".asv").mkdir()
    (copy / ".asv/bytecode").symlink_to(store)


class ShortTrials:
    """The n-th trial of a backend in a home, its own by default: the first there is cold, those after it are warm.

    Each is sampled once.
    """

    def __init__(self, new_folder: Callable[[str], Path]) -> None:
        self.homes: dict[str, Path] = {}
        self._new_folder = new_folder
        self._kept: dict[tuple[str, str], list[dict]] = {}

    def __call__(self, backend: str, n: int, home: str | None = None) -> dict:
        home = home or backend
        records = self._kept.setdefault((backend, home), [])
        if home not in self.homes:
            self.homes[home] = self._new_folder("home")
        while len(records) <= n:
            records.append(trials.short_trial(backend, self.homes[home]))
        return records[n]


@pytest.fixture(scope="module")
def short_trial(tmp_path_factory: pytest.TempPathFactory) -> ShortTrials:
    return ShortTrials(tmp_path_factory.mktemp)


class LocalApi(ThreadingHTTPServer):
    """GitHub's API as a test wants it: `answer(method, path)` gives status and document (or bytes), and headers."""

    answer: Callable[[str, str], tuple]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.asked: list[tuple[str, str, object]] = []
        self.authorizations: list[str | None] = []
        self.address = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_arguments: object) -> None:
        """Say nothing of a client that has had enough."""


class _Answers(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        path = self.path.removeprefix("/repos/o/r")
        self.server.asked.append((self.command, path, json.loads(self.rfile.read(length) or "null")))
        self.server.authorizations.append(self.headers.get("Authorization"))
        status, document, *headers = self.server.answer(self.command, path)
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        for name, value in (headers[0] if headers else {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PATCH = _answer  # noqa: N815

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


def _serving() -> Iterator[LocalApi]:
    server = LocalApi()
    # Looks every 10 ms whether it is to end; half a second, the default, for each test is most of what they take.
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def api() -> Iterator[LocalApi]:
    """A local server in place of GitHub's, for the repository o/r."""
    yield from _serving()


@pytest.fixture
def storage() -> Iterator[LocalApi]:
    """Another one, where GitHub keeps artifacts."""
    yield from _serving()


@pytest.fixture
def index_of_locks(monkeypatch) -> dict[str, dict[str, datetime]]:
    """An index that has what the locks have, each version since the year 2000."""
    stacks = load_stacks()
    has: dict[str, dict[str, datetime]] = {}
    for stack in stacks:
        for name, version in stack.packages.items():
            has.setdefault(name, {})[version] = datetime(2000, 1, 1, tzinfo=UTC)
    releases = [Release(s.version, s.date) for s in stacks if not s.is_snapshot]
    monkeypatch.setattr(proposals, "pymc_releases", lambda: releases)
    monkeypatch.setattr(proposals, "_uploads", lambda name: has.get(name, {}))
    return has
