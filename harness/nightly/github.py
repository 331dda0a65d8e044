"""GitHub's REST API, and the page of a running job: what the workflows need of both, and nothing of benchmarks.

What comes from elsewhere (reasons in records, names of branches) is shown so that neither Markdown nor HTML nor a
mention comes of it, and travels as JSON or as an encoded query only.

On requests and urllib3's Retry, and on no client library: PyGithub (2.10) holds a download whole before it gives its
first byte, does not follow an artifact to where GitHub keeps it, and waits as long as any `Retry-After` says; of itself
githubkit (0.16) knows no longest wait and repeats writes, too. What is to be added to either is as long as this.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import requests
from requests.adapters import HTTPAdapter, Retry

from harness.errors import BenchError

TIMEOUT = 60.0  # seconds
LONGEST_WAIT = 120.0
"""Seconds that a rate limit is waited for; a longer one ends the command."""
_MOST_PAGES = 50


def output(name: str, value: str) -> None:
    """Give a value to the jobs that follow; nothing outside a job. Raises BenchError for more than one line of it."""
    path = os.environ.get("GITHUB_OUTPUT")
    if not re.fullmatch(r"[a-z_]+", name) or len(value.splitlines()) > 1:
        raise BenchError(f"{name!r} cannot be handed on to other jobs: it is not one line.")
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{name}={value}\n")


def token() -> str:
    """The job's token. Raises BenchError when there is none."""
    found = os.environ.get("GITHUB_TOKEN")
    if not found:
        raise BenchError("GITHUB_TOKEN is not set: GitHub cannot be asked without it; set it to a token and try again.")
    return found


@dataclass(frozen=True)
class Api:
    """The part of GitHub's API that is about one repository, `owner/name`.

    Where GitHub does not do what it is asked, or cannot be reached, BenchError says why and what to do.
    """

    repository: str
    token: str
    address: str = "https://api.github.com"

    def get(self, path: str) -> dict:
        """Read one thing."""
        answer = self._read(path)
        if not isinstance(answer, dict):
            raise BenchError(f"GitHub's answer to GET {path} is not one thing: run the job again.")
        return answer

    def pages(self, path: str, within: str | None = None, **query: str | int) -> Iterator[dict]:
        """Read a list, page by page; of some things it is `within` the answer."""
        for page in range(1, _MOST_PAGES + 1):
            answer = self._read(path, **query, per_page=100, page=page)
            batch = answer.get(within) if within and isinstance(answer, dict) else answer
            if not isinstance(batch, list):
                raise BenchError(f"GitHub's answer to GET {path} is no list: run the job again.")
            yield from batch
            if len(batch) < 100:
                return

    def send(self, method: str, path: str, document: Mapping) -> None:
        """Write one thing."""
        self._call(method, path, json=document)

    def download(self, path: str, most: int) -> bytes:
        """Read a file of at most so many bytes, whatever its size is said to be. Raises BenchError for a larger one."""
        content = bytearray()
        try:
            with self._call("GET", path, stream=True) as answer:
                for part in answer.iter_content(1 << 16):
                    content += part
                    if len(content) > most:
                        raise BenchError(f"{path} is larger than {most // 10**6} MB: it was not taken.")
        except requests.RequestException as error:
            raise BenchError(
                f"The download of {path} was cut short ({type(error).__name__}): run the job again."
            ) from error
        return bytes(content)

    def _read(self, path: str, **query: str | int) -> object:
        try:
            return self._call("GET", path, params=query).json()
        except ValueError as error:
            raise BenchError(f"GitHub's answer to GET {path} is not JSON: run the job again.") from error

    def _call(self, method: str, path: str, **options: object) -> requests.Response:
        session = requests.Session()
        session.auth = self._sign
        session.headers["Accept"] = "application/vnd.github+json"
        for scheme in ("https://", "http://"):
            session.mount(scheme, HTTPAdapter(max_retries=_RETRY))
        address = f"{self.address}/repos/{self.repository}{path}"
        waited = 0.0
        while True:
            try:
                answer = session.request(method, address, timeout=TIMEOUT, **options)
            except requests.RequestException as error:
                raise BenchError(f"GitHub cannot be reached ({type(error).__name__}): run the job again.") from error
            if answer.ok:
                return answer
            wait = _asked_to_wait(answer)
            if wait is None:
                raise BenchError(_refusal(method, path, answer))
            if waited + wait > LONGEST_WAIT:
                when = datetime.fromtimestamp(time.time() + wait, UTC)
                raise BenchError(
                    f"GitHub's rate limit is used up until {when:%H:%M} UTC: run the job again then; nothing is lost."
                )
            time.sleep(wait)
            waited += wait

    def _sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        # Not as a plain header: what a ~/.netrc has for GitHub, somebody's own token, would take its place.
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


# Of what is read alone: what was to be written may have been, although the answer was an error.
_RETRY = Retry(
    4,
    backoff_factor=1,
    allowed_methods=("GET",),
    status_forcelist=(500, 502, 503, 504),
    respect_retry_after_header=False,
    raise_on_status=False,
)


def _asked_to_wait(answer: requests.Response) -> float | None:
    """Seconds that a rate limit asks for, or None where it is something else."""
    if answer.status_code not in (403, 429):
        return None
    try:
        if "retry-after" in answer.headers:
            return max(int(answer.headers["retry-after"]), 1)
        if answer.headers.get("x-ratelimit-remaining") == "0":
            return max(int(answer.headers["x-ratelimit-reset"]) - time.time(), 1)
    except (KeyError, ValueError):
        return LONGEST_WAIT
    # A secondary limit may say so in words only.
    return LONGEST_WAIT if answer.status_code == 429 or "rate limit" in answer.text.lower() else None


_WHY = {
    401: "it does not accept the token: see that GITHUB_TOKEN is the job's",
    403: "the token may not: give the job the permission it lacks, under `permissions:` and in Settings → Actions",
    404: "it is not there, or the token may not see it: see the repository's settings and the job's `permissions:`",
    410: "issues are switched off: switch them on under Settings → General → Features",
}


def _refusal(method: str, path: str, answer: requests.Response) -> str:
    """Why GitHub did not do what it was asked, and what to do."""
    if answer.status_code == 410 and "/artifacts/" in path:
        return f"GitHub refused {method} {path}: what the run had left has expired; run it again."
    why = _WHY.get(answer.status_code, f"it answered {answer.status_code}: run the job again")
    return f"GitHub refused {method} {path}: {why}."
