"""Which PyMC releases exist, and when each was uploaded, according to the package index.

This is the only module that asks the index about releases. It must not know what a stack is made of, nor
which releases already have one.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version
from requests import RequestException

from harness.errors import BenchError

# Imported where it is used: it loads a parser of HTML, which is a sixth of what any command takes to begin.
if TYPE_CHECKING:
    from pypi_simple import DistributionPackage

FIRST = Version("5.10.0")
TIMEOUT = 30.0  # seconds to connect, and between two packets


@dataclass(frozen=True)
class Release:
    """One final release of PyMC; `uploaded` is when its first file appeared on the index (UTC)."""

    version: str
    uploaded: datetime


def pymc_releases() -> list[Release]:
    """Return PyMC's final releases since 5.10.0 in order of upload.

    Left out are pre-releases and releases that were withdrawn: every file of 5.17.1 is yanked, so no
    installer offers it, and there is no such day on which users got it.

    Raises:
        BenchError: the index cannot be reached or answers with something else than a list of files.
    """
    from pypi_simple import NoSuchProjectError, UnsupportedContentTypeError, UnsupportedRepoVersionError

    try:
        files = project_files("pymc")
    except (RequestException, NoSuchProjectError, UnsupportedContentTypeError, UnsupportedRepoVersionError) as error:
        raise BenchError(
            f"PyMC's releases cannot be read from the package index ({type(error).__name__}): "
            "check the network connection and try again."
        ) from error
    uploads: dict[Version, list[datetime]] = {}
    for file in files:
        version = _final(file.version)
        if version is not None and not file.is_yanked and file.upload_time is not None:
            uploads.setdefault(version, []).append(file.upload_time.astimezone(UTC))
    if not uploads:
        raise BenchError(
            "The package index tells of no PyMC release when it was uploaded: ask one that does, such as PyPI, by "
            "UV_DEFAULT_INDEX."
        )
    releases = [Release(str(version), min(times)) for version, times in uploads.items()]
    return sorted(releases, key=lambda release: release.uploaded)


def project_files(project: str) -> list[DistributionPackage]:
    """Return the files of a project on the first index that has it, of those that uv asks in the same order.

    Raises:
        RequestException, UnsupportedContentTypeError, UnsupportedRepoVersionError: an index cannot be read.
        NoSuchProjectError: none has it.
    """
    from pypi_simple import PYPI_SIMPLE_ENDPOINT, NoSuchProjectError, PyPISimple

    others = [re.sub(r"^[\w.-]+=", "", entry) for entry in os.environ.get("UV_INDEX", "").split()]
    last = os.environ.get("UV_DEFAULT_INDEX", PYPI_SIMPLE_ENDPOINT)
    for address in others:
        with PyPISimple(address) as index, suppress(NoSuchProjectError):
            return index.get_project_page(project, timeout=TIMEOUT).packages
    with PyPISimple(last) as index:
        return index.get_project_page(project, timeout=TIMEOUT).packages


def _final(text: str | None) -> Version | None:
    """Return the version, or None for what is not a final release since `FIRST`."""
    try:
        version = Version(text or "")
    except InvalidVersion:
        return None
    return version if version >= FIRST and not version.is_prerelease else None
