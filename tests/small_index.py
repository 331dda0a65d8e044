"""A package index of tiny wheels that says when each was uploaded, and a build backend for a tiny PyMC."""

import json
import re
import sysconfig
import threading
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness.stacks import variants

OTHERS = ("nutpie", "numpyro", "blackjax", "arviz")
# A build backend that needs nothing: it packs pymc/ and what `requires` lists.
BACKEND = """\
import pathlib, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    version = pathlib.Path("version").read_text().strip()
    info = f"pymc-{version}.dist-info"
    requires = "".join(f"Requires-Dist: {r}\\n" for r in pathlib.Path("requires").read_text().splitlines())
    files = {
        "pymc/__init__.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\\nName: pymc\\nVersion: {version}\\n{requires}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: tests\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    name = f"pymc-{version}-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder) / name, "w") as archive:
        for member, content in files.items():
            archive.writestr(member, content)
        archive.writestr(f"{info}/RECORD", "".join(f"{member},,\\n" for member in [*files, f"{info}/RECORD"]))
    return name
"""
PYPROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def wheel(folder: Path, name: str, version: str, requires: tuple[str, ...] = (), files: dict | None = None) -> Path:
    """Make a wheel in a folder."""
    info = f"{name}-{version}.dist-info"
    lines = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    lines += "".join(f"Provides-Extra: {extra}\n" for extra in re.findall(r"extra == '(\w+)'", lines))
    files = (files or {f"{name}/__init__.py": ""}) | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{lines}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in files.items():
            archive.writestr(member, content)
        archive.writestr(f"{info}/RECORD", "".join(f"{member},,\n" for member in [*files, f"{info}/RECORD"]))
    return path


class Index(ThreadingHTTPServer):
    """A package index that knows when each file was uploaded."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Pages)
        self.folder, self.files = folder, {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/simple"

    def add(self, uploaded: str, name: str, version: str, *requires: str, files: dict | None = None) -> None:
        path = wheel(self.folder, name, version, requires, files)
        self.files.setdefault(name.replace("_", "-"), []).append((path, uploaded))

    def page(self, name: str) -> bytes | None:
        """What it says of a package, or None where it has none of that name."""
        if name not in self.files:
            return None
        files = [
            {"filename": path.name, "url": f"/files/{path.name}", "hashes": {}, "upload-time": f"{when}T00:00:00Z"}
            for path, when in self.files[name]
        ]
        return json.dumps({"meta": {"api-version": "1.1"}, "name": name, "files": files}).encode()

    def content(self, filename: str) -> bytes:
        """A file."""
        return (self.folder / filename).read_bytes()


class _Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        _, kind, name, *_ = self.path.split("/")
        if kind == "simple" and (body := self.server.page(name)):
            self._send(200, body, "application/vnd.pypi.simple.v1+json")
        elif kind == "files":
            self._send(200, self.server.content(name), "application/octet-stream")
        else:
            self._send(404, b"", "text/plain")

    do_HEAD = do_GET  # noqa: N815

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        # uv asks several indexes at once, and hangs up when one has told enough.
        if self.command == "GET":
            with suppress(BrokenPipeError):
                self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """An index whose packages move on: PyTensor at 1 to 4, and a Numba and a JAX with them."""
    server = Index(tmp_path_factory.mktemp("index"))
    for name in OTHERS:
        server.add("2024-01-01", name, "1.0", *(["pymc>=5"] if name == "nutpie" else []))
        server.add("2024-06-01", name, "1.1")
    for month in (1, 3, 5, 7):
        uploaded = f"2024-0{month}-01"
        server.add(uploaded, "pytensor", f"{(month + 1) // 2}.0", f"numba<{(month + 1) // 2 + 1}")
        server.add(uploaded, "numba", f"{(month + 1) // 2}.0")
        server.add(uploaded, "jax", f"{(month + 1) // 2}.0")
    runner = Path(sysconfig.get_path("purelib")) / "asv_runner"
    modules = {f"asv_runner/{file.relative_to(runner)}": file.read_text() for file in runner.rglob("*.py")}
    server.add("2024-01-01", "pymc", "5.0", "pytensor")
    server.add("2024-01-01", "asv_runner", "0.3.2", files=modules)
    yield server
    server.shutdown()


@pytest.fixture
def online(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use that index with an empty cache of uv's; what is built is kept elsewhere."""
    monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setattr(variants, "BUILT", tmp_path / "built")
    return tmp_path
