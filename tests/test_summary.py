"""The closing table shows every backend, its numbers, and why what failed failed."""

from test_records import measurement, record

from harness.judging.summary import markdown, print_summary
from harness.output import plain_console


def text(measurements, backends=("pymc-c",), damaged=()):
    console = plain_console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    print_summary(console, measurements, list(backends), damaged)
    return console.export_text()


def row(output: str, backend: str) -> list[str]:
    return next(line for line in output.splitlines() if f" {backend} " in line).replace("│", " ").split()


def test_medians_of_the_trials_are_shown_with_the_outcome():
    warm = record("warm", clocks={"setup_wall_seconds": 1.0, "sampling_wall_seconds": 4.0, "call_wall_seconds": 5.0})
    assert row(text([measurement(record(), warm)]), "pymc-c") == ["pymc-c", "3", "1", "3", "7.5", "10", "512", "ok"]


def test_a_failure_shows_its_reason_and_no_numbers():
    output = text([measurement(record(outcome="failed", reason="TypeError: [bold]no[/] (pymc 6.4.0)"))])
    assert row(output, "pymc-c") == ["pymc-c", *["–"] * 6, "failed"]
    assert "v6.4.0 ppca n=500 pymc-c: failed: TypeError: [bold]no[/] (pymc 6.4.0)" in output


def test_a_contaminated_trial_is_marked_and_explained():
    output = text([measurement(record(control={"drift": 2.0, "contaminated": True}))])
    assert row(output, "pymc-c")[-1] == "~"
    assert "the machine changed speed" in output


def test_a_damaged_file_is_reported():
    assert "x.json is damaged" in text([measurement(record())], damaged=["x.json is damaged"])


def test_the_page_of_a_job_has_the_same_numbers_and_reasons():
    warm = record("warm", clocks={"setup_wall_seconds": 1.0, "sampling_wall_seconds": 4.0, "call_wall_seconds": 5.0})
    page = markdown([measurement(record(), warm)], ["pymc-c"])
    assert "**PyMC 6.4.0, ` ppca `, n=500**" in page
    assert "| ` pymc-c ` | 3 | 1 | 3 | 7.5 | 10 | 512 | ok |" in page.splitlines()
    columns = {line.count("|") for line in page.splitlines() if line.startswith("|")}
    assert columns == {9}


def test_a_reason_on_the_page_of_a_job_is_text_and_nothing_else():
    reason = "TypeError: <img src=x> @all `no` | a |"
    page = markdown([measurement(record(outcome="failed", reason=reason))], ["pymc-c"], ["x.json is <b>damaged</b>"])
    assert f"failed: `` {reason} ``" in page
    assert "- ` x.json is <b>damaged</b> `" in page
