"""GitHub's API refuses, limits and fails; what is said of it is one sentence, and foreign text is only text."""

from __future__ import annotations

import gzip
import time
import tracemalloc

import pytest

from harness.errors import BenchError
from harness.nightly import github
from harness.nightly.github import Api
from harness.output import job_page, quoted


def client(api) -> Api:
    return Api("o/r", "secret", api.address)


@pytest.fixture
def naps(monkeypatch) -> list[float]:
    """Seconds that would have been slept."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "does not accept the token"), (403, "permission"), (404, "not there"), (410, "switched off"),
        (500, "answered 500"), (422, "answered 422"),
    ],
)  # fmt: skip
def test_a_refusal_is_one_sentence_that_says_what_to_do_and_not_the_token(api, status, words):
    api.answer = lambda *_: (status, {"message": "no\nno"})
    with pytest.raises(BenchError, match=words) as caught:
        client(api).send("POST", "/issues", {"title": "x"})
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("answer", [(500, {}), (502, {}), (503, {}, {"retry-after": "1"}), (504, {}), ()])
def test_what_may_have_been_written_is_not_written_again(api, naps, method, answer):
    api.answer = lambda *_: answer
    with pytest.raises(BenchError, match=f"answered {answer[0]}: run the job again" if answer else "cannot be reached"):
        client(api).send(method, "/issues/1", {"title": "x"})
    assert len(api.asked) == 1
    assert naps == []


@pytest.mark.parametrize("answer", [(500, {}), (502, b"<html>"), (503, {}, {"retry-after": "3600"}), (504, {}), ()])
def test_what_is_only_read_is_asked_for_again_after_an_error_of_the_server(api, naps, answer):
    answers = [answer, (200, {"a": 1})]
    api.answer = lambda *_: answers.pop(0)
    assert client(api).get("/x") == {"a": 1}
    assert len(api.asked) == 2
    assert sum(naps) == 0, "the first time at once, whatever the server asks for"


def test_a_server_whose_errors_do_not_end_is_given_up_with_a_sentence(api, naps):
    api.answer = lambda *_: (502, b"<html>")
    with pytest.raises(BenchError, match="answered 502: run the job again"):
        client(api).get("/x")
    assert len(api.asked) == 5
    assert 0 < sum(naps) < 60


@pytest.mark.parametrize(
    "headers", [{"retry-after": "3"}, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(time.time()) + 3)}]
)
@pytest.mark.parametrize("status", [403, 429])
def test_a_short_rate_limit_is_waited_for(api, naps, status, headers):
    answers = [(status, {}, headers), (200, {"a": 1})]
    api.answer = lambda *_: answers.pop(0)
    assert client(api).get("/x") == {"a": 1}
    assert 0 < sum(naps) <= 4


def test_a_limit_is_over_when_it_was_waited_for(api):
    ends: list[int] = []

    def answer(*_):
        if ends:
            return 200, {"early": time.time() < ends[0]}
        ends.append(int(time.time()) + 1)
        return 403, {}, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(ends[0])}

    api.answer = answer
    assert client(api).get("/x") == {"early": False}


def test_what_a_rate_limit_kept_from_being_written_is_written_once_it_has_ended(api, naps):
    answers = [(403, {}, {"retry-after": "3"}), (201, {})]
    api.answer = lambda *_: answers.pop(0)
    client(api).send("POST", "/issues", {"title": "x"})
    assert api.asked == [("POST", "/issues", {"title": "x"})] * 2
    assert naps == [3]


@pytest.mark.parametrize(
    "headers",
    [{"retry-after": "3600"}, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(time.time()) + 3600)}],
)
def test_a_long_rate_limit_is_a_sentence_with_the_time_at_which_to_try_again(api, naps, headers):
    api.answer = lambda *_: (403, {}, headers)
    with pytest.raises(BenchError, match=r"used up until \d\d:\d\d UTC: run the job again"):
        client(api).get("/x")
    assert naps == []


@pytest.mark.parametrize("value", ["soon", "", "nan", "-5"])
def test_a_rate_limit_that_never_ends_is_not_waited_for_for_ever(api, naps, value):
    api.answer = lambda *_: (429, {}, {"retry-after": value})
    with pytest.raises(BenchError, match="rate limit"):
        client(api).get("/x")
    assert sum(naps) <= github.LONGEST_WAIT


def test_a_server_that_is_not_there_is_one_sentence(naps):
    with pytest.raises(BenchError, match="cannot be reached"):
        Api("o/r", "secret", "http://127.0.0.1:9").get("/x")


def test_a_list_is_read_to_its_end(api):
    pages = {1: list(range(100)), 2: [100, 101]}
    api.answer = lambda _, path: (200, pages[int(path.rpartition("page=")[2])])
    assert list(client(api).pages("/x")) == list(range(102))
    assert len(api.asked) == 2


def test_a_list_without_an_end_is_not_read_for_ever(api):
    api.answer = lambda *_: (200, {"artifacts": list(range(100))})
    assert len(list(client(api).pages("/x", within="artifacts"))) == 5000
    assert len(api.asked) == 50


def test_a_hostile_name_of_a_branch_stays_one_value_of_the_query(api):
    api.answer = lambda *_: (200, [])
    assert list(client(api).pages("/pulls", head="evil:x&state=all#/../../../secrets?a=b\n")) == []
    (_, path, _) = api.asked[0]
    assert path.startswith("/pulls?head=evil%3Ax%26state%3Dall%23%2F..%2F..%2F..%2Fsecrets%3Fa%3Db%0A&")


def test_a_download_stops_at_its_limit_whatever_was_declared(api):
    api.answer = lambda *_: (200, b"x" * 3_000_000)
    assert len(client(api).download("/a", 3_000_000)) == 3_000_000
    with pytest.raises(BenchError, match="larger than 2 MB"):
        client(api).download("/a", 2_000_000)


def test_a_download_is_never_held_whole_however_small_it_was_packed(api):
    packed = gzip.compress(bytes(100_000_000), compresslevel=1)
    api.answer = lambda *_: (200, packed, {"content-encoding": "gzip"})
    tracemalloc.start()
    try:
        with pytest.raises(BenchError, match="larger than 1 MB"):
            client(api).download("/a", 1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_the_token_does_not_go_where_an_artifact_is_kept(api, storage):
    # Another host by its name.
    kept = storage.address.replace("127.0.0.1", "localhost")
    api.answer = lambda *_: (302, b"", {"location": f"{kept}/blob?signature=x"})
    storage.answer = lambda *_: (200, b"zip")
    assert client(api).download("/actions/artifacts/3/zip", 10) == b"zip"
    assert api.authorizations == ["Bearer secret"]
    assert [path for _, path, _ in storage.asked] == ["/blob?signature=x"]
    assert storage.authorizations == [None]


def test_the_job_s_token_is_used_and_none_that_the_machine_has_for_other_programs(api, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("default login somebody password personal\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    api.answer = lambda *_: (200, {})
    client(api).get("/x")
    assert api.authorizations == ["Bearer secret"]


def test_a_download_that_is_cut_short_is_one_sentence(api):
    api.answer = lambda *_: (200, b"this is no gzip at all", {"content-encoding": "gzip"})
    with pytest.raises(BenchError, match=r"download of /a was cut short .*: run the job again"):
        client(api).download("/a", 1000)


@pytest.mark.parametrize("answer", [b"<html>", b""])
def test_an_answer_that_is_not_json_is_one_sentence(api, answer):
    api.answer = lambda *_: (200, answer)
    with pytest.raises(BenchError, match="is not JSON"):
        client(api).get("/x")


@pytest.mark.parametrize("answer", [{}, {"artifacts": None}, {"artifacts": {}}, "no"])
def test_a_list_that_is_none_is_one_sentence(api, answer):
    api.answer = lambda *_: (200, answer)
    with pytest.raises(BenchError, match="is no list"):
        list(client(api).pages("/x", "artifacts"))


def test_an_artifact_that_has_expired_is_not_called_a_switched_off_feature(api):
    api.answer = lambda *_: (410, {})
    with pytest.raises(BenchError, match="has expired; run it again"):
        client(api).download("/actions/artifacts/3/zip", 10)


def test_a_limit_that_is_told_in_words_is_waited_for(api, naps):
    answers = [(403, {"message": "You have exceeded a secondary rate limit."}), (200, {"a": 1})]
    api.answer = lambda *_: answers.pop(0)
    assert client(api).get("/x") == {"a": 1}
    assert naps


def test_a_page_of_a_job_takes_what_is_no_text(tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "page"))
    job_page("\udcff")
    assert (tmp_path / "page").read_text() == "\\udcff\n\n"


@pytest.mark.parametrize("value", ["a\nPATH=/tmp", "a\r\nb", "a\u2028b", "a\x0bb"])
def test_nothing_with_a_second_line_is_handed_on_to_other_jobs(tmp_path, monkeypatch, value):
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    with pytest.raises(BenchError, match="not one line"):
        github.output("stacks", value)
    assert not (tmp_path / "output").exists()
    github.output("stacks", '["v6.4.0"]')
    assert (tmp_path / "output").read_text() == 'stacks=["v6.4.0"]\n'


def test_outside_a_job_nothing_is_written(monkeypatch):
    for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    github.output("a", "b")
    job_page("c")


@pytest.mark.parametrize(
    "text",
    ["@everyone", "`code` ``` @all", "<img src=x onerror=alert(1)>", "[a](javascript:b)", "x\n# y\n- [ ] z", "`", ""],
)
def test_foreign_text_does_nothing_in_markdown(text):
    shown = quoted(text)
    fence = shown[: len(shown) - len(shown.lstrip("`"))]
    assert shown.endswith(fence)
    assert "\n" not in shown
    assert fence not in shown[len(fence) : -len(fence)]


def test_without_a_token_there_is_one_sentence(monkeypatch):
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    with pytest.raises(BenchError, match="GITHUB_TOKEN is not set"):
        github.token()
