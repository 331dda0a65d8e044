"""Tells on a pull request what its `make compare` has measured: trusted code, on what untrusted code has left behind.

The workflow that runs a pull request's code has no rights. This one has, runs the default branch's code, and takes the
artifact for what it is: bytes from anybody. Which pull request it is about is asked of GitHub, by the commit that was
run. It must not run, import or render anything that it finds.
"""

from __future__ import annotations

import io
import json
import re
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import BenchError
from harness.judging import summary, verdicts
from harness.judging.comparison import Compared
from harness.nightly.github import Api
from harness.results.collecting import Shard, Task, collect
from harness.results.records import Measurement, read_measurements
from harness.stacks.locks import Stack, load_stacks
from harness.suite import inside

ARTIFACT = "compare-results"
LABEL = "run-benchmarks"
MACHINE = "pull-request"
MOST_ZIPPED = 20_000_000
MOST_UNZIPPED = 100_000_000
MOST_FILES = 2_000
LONGEST_COMMENT = 60_000
_MARK = "<!-- bench compare -->"


def report(event: Path, api: Api) -> str:
    """Comment on the pull request of a finished run, once: the comment of an earlier run is replaced.

    `event` is what GitHub tells of the run, as JSON. Returns a sentence on what was done. Raises BenchError when the
    artifact is refused as a whole or GitHub does not play along.
    """
    run_id, head, owner, branch = _run(event)
    number = _pull_request(api, head, owner, branch)
    if number is None:
        return f"No open pull request with the label {LABEL} is at the commit that was run: there is nobody to tell."
    artifacts = api.pages(f"/actions/runs/{run_id}/artifacts", within="artifacts")
    # A run that was run again has one of each time.
    artifact = max((a for a in artifacts if a["name"] == ARTIFACT), key=lambda a: int(a["id"]), default=None)
    if artifact is None:
        return "Nothing was measured: the run has no results, and its log says why."
    if artifact["size_in_bytes"] > MOST_ZIPPED:
        raise BenchError(
            f"The results of pull request {number} are {artifact['size_in_bytes'] // 10**6} MB, more than the "
            f"{MOST_ZIPPED // 10**6} MB that results can have: nothing was taken."
        )
    content = api.download(f"/actions/artifacts/{artifact['id']}/zip", MOST_ZIPPED)
    with tempfile.TemporaryDirectory(prefix="report-") as scratch:
        folder = Path(scratch) / "artifact"
        unpack(content, folder)
        text = comment(folder, Path(scratch) / "results", run_id, head, api.repository)
    _write(api, number, text)
    return f"Told pull request {number} what was measured at {head[:12]}."


def _run(event: Path) -> tuple[int, str, str, str]:
    """Number, commit, and owner and branch of the commit, of the run that the event is about."""
    try:
        told = json.loads(event.read_text(encoding="utf-8"))["workflow_run"]
        # The repository of a fork may have been deleted since.
        repository, branch = told["head_repository"], told["head_branch"]
        owner = "" if repository is None else repository["owner"]["login"]
        number, head = int(told["id"]), str(told["head_sha"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchError(
            f"{event} is not the event of a finished run ({type(error).__name__}): this is for `workflow_run` only."
        ) from error
    if not re.fullmatch(r"[0-9a-f]{40}", head):
        raise BenchError(f"{event} names no commit: this is for `workflow_run` only.")
    return number, head, str(owner), str(branch)


def _pull_request(api: Api, head: str, owner: str, branch: str) -> int | None:
    """The open pull request with the label whose newest commit this is; of a fork, its branch may be called anything.

    The label is asked for once more: the workflow that ran may be the pull request's own.
    """
    for found in api.pages("/pulls", state="open", head=f"{owner}:{branch}") if owner else ():
        if found["head"]["sha"] == head and LABEL in {label["name"] for label in found["labels"]}:
            return int(found["number"])
    return None


def unpack(content: bytes, folder: Path) -> None:
    """Write an archive's files below a folder. Raises BenchError, before it writes, unless all are harmless."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
        members = [m for m in archive.infolist() if not m.is_dir()]
        names = [m.filename for m in members]
        problem = (
            f"more than {MOST_FILES} files"
            if len(members) > MOST_FILES
            else f"more than {MOST_UNZIPPED // 10**6} MB when unpacked"
            if sum(m.file_size for m in members) > MOST_UNZIPPED
            else "two files of one name"
            if len(set(names)) < len(names)
            else next((why for m in members if (why := _harm(m))), None)
        )
        if problem:
            raise BenchError(f"The artifact has {problem}: nothing was taken.")
        folder.mkdir(parents=True, exist_ok=True)
        for member in members:
            path = folder / member.filename
            path.parent.mkdir(parents=True, exist_ok=True)
            # Never more than it declared, in memory as well: a larger one ends in an error.
            with archive.open(member) as content_of:
                path.write_bytes(content_of.read(member.file_size + 1))
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise BenchError(f"The artifact cannot be unpacked ({type(error).__name__}): nothing was taken.") from error


def _harm(member: zipfile.ZipInfo) -> str | None:
    """What is wrong with a member's name or kind."""
    name = member.filename
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
        return "a link or a device"
    if not re.fullmatch(r"[\w.+/-]{1,300}", name, re.ASCII) or {"", ".", ".."} & set(name.split("/")):
        return "a name that leads elsewhere or is no name"
    # Others are unpacked whole, whatever was declared; GitHub's own tools write none.
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "a compression that GitHub does not use"
    return None


def comment(folder: Path, results: Path, run_id: int, head: str, repository: str) -> str:
    """What to say of the results in a folder, of which those that pass for results go to `results`."""
    description = inside()
    # Any parameter set: a pull request may add a model or a backend. The tables are made of records alone.
    stacks = {stack.tag: stack for stack in load_stacks()}
    task = Task(MACHINE, stacks, None, description["protocol"], numbers=False, trials=100)
    collected = collect([Shard(folder, task)], results)
    measurements, damaged = [], list(collected.refused)
    for tagged in sorted((results / "records").glob("*/*/")):
        found, unreadable = read_measurements(results / "records", tagged.parent.name, tagged.name)
        measurements += found
        damaged += unreadable
    log = f"https://github.com/{repository}/actions/runs/{run_id}"
    text = (
        f"`bench compare` at {head[:12]} ([log]({log})), on a hosted runner, by this pull request's own code.\n\n"
        f"{_tables(measurements, stacks, description['backends'], damaged[:20])}"
    )
    if len(text) > LONGEST_COMMENT:
        text = text[:LONGEST_COMMENT].rpartition("\n")[0] + "\n\n… and more, which the log has."
    return f"{text}\n\n{_MARK}\n"


def _tables(
    measurements: Sequence[Measurement], stacks: Mapping[str, Stack], backends: Sequence[str], damaged: Sequence[str]
) -> str:
    """The verdicts of the two stacks that were measured, then the medians; the latter alone where there are not two."""
    medians = summary.markdown(measurements, backends, damaged) or "Nothing valid was measured."
    tags = sorted({m.tag for m in measurements}, key=lambda tag: stacks[tag].date)
    if len(tags) != 2:
        return medians
    compared = Compared(*([m for m in measurements if m.tag == tag] for tag in tags))
    return f"{verdicts.markdown(compared, *tags)}\n\n<details><summary>Medians</summary>\n\n{medians}\n\n</details>"


def _write(api: Api, number: int, text: str) -> None:
    """Replace the comment of an earlier run, or write the first."""
    for earlier in api.pages(f"/issues/{number}/comments"):
        if _is_ours(earlier):
            api.send("PATCH", f"/issues/comments/{int(earlier['id'])}", {"body": text})
            return
    api.send("POST", f"/issues/{number}/comments", {"body": text})


def _is_ours(earlier: Mapping) -> bool:
    """Anybody may write the mark; only a bot's counts."""
    is_bot = (earlier.get("user") or {}).get("type") == "Bot"
    return is_bot and (earlier.get("body") or "").rstrip().endswith(_MARK)
