"""Text from elsewhere is shown as it is, and does nothing: not on a terminal, and not in a progress display."""

import ast
import io
import re

import pytest
from rich.progress import Progress
from rich.table import Table

from harness.measuring import alone, run
from harness.measuring.cells import Cell
from harness.measuring.rounds import Arm, Trial
from harness.output import plain_console, printable
from harness.paths import ROOT
from harness.stacks.locks import get_stack
from tests.made_records import document, read

# Each was taken for markup, or would have been: an end without a beginning, a style, a link, an emoji, a colour.
FOREIGN = (
    "ValueError: no kernel [/opt/x]", "[bold red]loud[/]", "[link=https://example.org]here[/link]", ":skull: [/]",
    "a[0]",
)  # fmt: skip


@pytest.mark.parametrize("text", FOREIGN)
def test_foreign_text_on_the_terminal_is_the_text(text):
    console = plain_console(width=200, file=io.StringIO(), force_terminal=False)
    table = Table("estimand", box=None)
    table.add_row(text)
    console.print(text)
    console.print(table)
    with Progress(console=console) as progress:
        progress.console.print(text)
    assert console.file.getvalue().count(text) == 3


def test_what_would_steer_a_terminal_is_taken_out():
    assert printable("\x1b]0;title\x07\x1b[31mred\r\n") == " ]0;title  [31mred  "


def taken_for_a_command(log: str) -> list[str]:
    """The lines that GitHub's runner takes for a command: it trims them, and looks for `##[` anywhere."""
    return [line for line in re.split(r"\r\n|\r|\n", log) if line.lstrip().startswith("::") or "##[" in line]


@pytest.mark.parametrize(
    "text",
    [
        "::error::x", " ::error::x", "\t\u00a0\u3000::error::x", "fine\n  ::add-mask::x", "fine\r::stop-commands::x",
        "##[error]x", "fine ##[set-env name=x;]y", "###[error]x", "::::error::x", "\x1c::error::x", "::error::##[x]",
        "fine\n\n \n ::error::x", ":::error::x",
    ],
)  # fmt: skip
def test_no_text_is_taken_for_a_command_of_a_workflow(text):
    assert taken_for_a_command(text)
    safe = printable(text)
    assert taken_for_a_command(safe) == []
    assert "".join(safe.split()) == "".join(text.split()), "nothing of it is lost"
    assert printable(safe) == safe


@pytest.mark.parametrize("text", ["tests/x.py::test_y", "a ## [b]", "std::vector", "#[derive]", "see :: there"])
def test_text_that_is_no_command_is_left_as_it_is(text):
    assert printable(text) == text


def test_every_console_of_the_harness_is_that_of_output():
    """A console made elsewhere takes text for markup, and an odd reason ends the run, every night anew."""
    for path in sorted((ROOT / "harness").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert path.name == "output.py" or called.rpartition(".")[2] != "Console", path
                assert not any(k.arg == "markup" and ast.unparse(k.value) == "True" for k in node.keywords), path


@pytest.mark.parametrize("reason", [*FOREIGN, "\x1b[2Jgone"])
def test_a_run_is_not_ended_by_an_odd_reason_and_shows_it(reason, monkeypatch, tmp_path):
    monkeypatch.setattr(alone, "CACHE", tmp_path)
    failed = read(document("cold", outcome="failed", reason=reason))
    arm = Arm("v6.4.0", get_stack("v6.4.0"), tmp_path, tmp_path)
    trials = [Trial(arm, Cell("ppca", 500, "blackjax"), failed, closes=True)]
    console = plain_console(width=200, file=io.StringIO())
    assert list(run.follow(console, iter(trials), 1, "v6.4.0")) == trials
    assert f"v6.4.0 ppca n=500 blackjax cold: failed: {printable(reason)}\n" in console.file.getvalue()


def test_who_follows_a_run_sees_why_a_trial_is_run_once_more_and_it_is_counted_once(monkeypatch, tmp_path):
    monkeypatch.setattr(alone, "CACHE", tmp_path)
    counted = []
    monkeypatch.setattr(run.Progress, "advance", lambda self, task, by: counted.append(by))
    arm = Arm("v6.4.0", get_stack("v6.4.0"), tmp_path, tmp_path)
    one = read(document("warm"))
    trials = [Trial(arm, Cell("ppca", 500, "pymc-c"), one, closes=stands, stands=stands) for stands in (False, True)]
    console = plain_console(width=200, file=io.StringIO())
    assert list(run.follow(console, iter(trials), 1, "v6.4.0")) == trials
    first, second, *_ = console.file.getvalue().splitlines()
    assert first == f"{second}; the machine changed speed: once more"
    assert sum(counted) == 1
