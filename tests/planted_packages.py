"""Real packages, changed in one place from one version on, on an index in front of the real one: what is to blame is
known. All else about a stack is what users get."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import requests
from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename
from packaging.version import Version
from pypi_simple import PYPI_SIMPLE_ENDPOINT

from tests.small_index import Index

OURS = re.compile(r"-(cp312-cp312|cp3\d+-abi3)-[^-]*manylinux[^-]*x86_64[^-]*\.whl|none-any\.whl")
ACCEPT = {"Accept": "application/vnd.pypi.simple.v1+json"}
TIMEOUT = 120


@dataclass(frozen=True)
class Plant:
    """A package whose wheels, from a version on, end a module of theirs with other lines."""

    package: str
    since: str
    module: str
    """The file within the wheel, such as `nutpie/sample.py`."""
    lines: str


class PlantedIndex(Index):
    """An index that has the planted packages only, with the versions and upload times of the real one: uv asks the real
    one for all others."""

    def __init__(self, folder: Path, plants: Mapping[str, Plant], upstream: str = PYPI_SIMPLE_ENDPOINT) -> None:
        super().__init__(folder)
        self._plants = plants
        self.pages = {name: self._page(name, upstream) for name in plants}

    def page(self, name: str) -> bytes | None:
        """The page of a package, or None where it is not planted."""
        return json.dumps(self.pages[name]).encode() if name in self.pages else None

    def _page(self, name: str, upstream: str) -> dict:
        answer = requests.get(f"{upstream.rstrip('/')}/{name}/", headers=ACCEPT, timeout=TIMEOUT)
        answer.raise_for_status()
        page = answer.json()
        files = []
        for file in page["files"]:
            file["url"] = requests.compat.urljoin(answer.url, file["url"])
            for key in ("core-metadata", "data-dist-info-metadata", "dist-info-metadata"):
                file.pop(key, None)
            if not self._is_planted(name, file["filename"]):
                files.append(file)
            elif OURS.search(file["filename"]):
                # Made when it is asked for.
                self.files.setdefault(file["filename"], (name, file["url"]))
                files.append(file | {"url": f"/files/{file['filename']}", "hashes": {}})
        return page | {"files": files}

    def _is_planted(self, name: str, filename: str) -> bool:
        """Source distributions as well: from a planted version on, there are planted wheels only."""
        version = Version("0")
        with suppress(InvalidWheelFilename):
            version = parse_wheel_filename(filename)[1]
        with suppress(InvalidSdistFilename):
            version = parse_sdist_filename(filename)[1]
        return version >= Version(self._plants[name].since)

    def content(self, filename: str) -> bytes:
        """A planted wheel."""
        path = self.folder / filename
        if not path.exists():
            name, url = self.files[filename]
            real = self.folder / f"{filename}.real"
            real.write_bytes(requests.get(url, timeout=TIMEOUT).content)
            changed(real, path, self._plants[name])
        return path.read_bytes()


def changed(wheel: Path, to: Path, plant: Plant) -> None:
    """Write a wheel with the plant's lines at the end of its module, and its record of that file brought up to date."""
    part = to.with_suffix(".part")
    with zipfile.ZipFile(wheel) as real, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as planted:
        content = real.read(plant.module) + b"\n\n" + plant.lines.encode()
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        for item in real.infolist():
            data = real.read(item)
            if item.filename == plant.module:
                data = content
            elif item.filename.endswith(".dist-info/RECORD"):
                lines = data.decode().splitlines()
                ours = f"{plant.module},sha256={digest},{len(content)}"
                data = (
                    "\n".join(ours if line.startswith(f"{plant.module},") else line for line in lines).encode() + b"\n"
                )
            planted.writestr(item, data)
    part.replace(to)
