"""The closing table shows every backend, its numbers, and why what failed failed."""

from test_records import measurement, record

from harness.judging.phases import in_order
from harness.judging.summary import markdown, print_phases, print_summary
from harness.output import plain_console
from tests.made_records import document, read


def text(measurements, backends=("pymc-c",), damaged=()):
    console = plain_console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    print_summary(console, measurements, list(backends), damaged)
    return console.export_text()


def row(output: str, backend: str) -> list[str]:
    return next(line for line in output.splitlines() if f" {backend} " in line).replace("│", " ").split()


COLD = document("cold", effective=None, seed=0)
WARM = (
    document(seed=1, effective=400.0, clocks={"setup": 1.0, "tuning": 0.5, "drawing": 2.0}),
    document(seed=2, effective=441.0, clocks={"setup": 1.4, "tuning": 0.5, "drawing": 2.0}),
)


def test_the_time_to_an_answer_is_shown_in_parts_that_add_up_with_the_spread_over_seeds():
    # 2 s of drawing give 420 effective draws (the geometric mean): 1000 of them take 4.76 s, after 0.5 s of tuning.
    numbers = ["3.00", "1.20", "5.26", "0.50", "6.96", "7", "9.51", "512"]
    assert row(text([measurement(COLD, *WARM)]), "pymc-c") == ["pymc-c", *numbers, "ok"]


def test_all_parts_are_of_trials_during_which_the_machine_kept_its_speed():
    slow = document(
        seed=3, effective=420.0, clocks={"setup": 9.0, "tuning": 3.0, "drawing": 9.0, "finish": 5.0},
        control={"drift": 3.0, "contaminated": True}, peak_memory_mib=900.0,
    )  # fmt: skip
    with_slow, without = (row(text([measurement(COLD, *WARM, *more)]), "pymc-c") for more in ((slow,), ()))
    assert with_slow[1:6] == without[1:6]
    assert (with_slow[8], with_slow[-1]) == (without[8], "~")


def test_what_is_left_out_is_told_beside_phases_as_well():
    console = plain_console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    print_phases(console, [measurement(COLD, *WARM)], ["pymc-c"], ["x.json is damaged"])
    assert "x.json is damaged" in console.export_text()


def test_a_phase_that_has_no_title_yet_comes_last():
    assert [name for name, _ in in_order({"soldering": 1.0, "other": 2.0, "import": 3.0})] == [
        "import",
        "other",
        "soldering",
    ]


def test_with_one_seed_nothing_is_said_of_the_spread():
    assert row(text([measurement(COLD, WARM[0])]), "pymc-c")[6] == "–"


def test_seeds_of_other_machines_count():
    drawn = [read(trial) for trial in (*WARM, document(seed=3, effective=484.0))]
    output = plain_console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    print_summary(output, [measurement(COLD, WARM[0])], ["pymc-c"], (), drawn)
    assert row(output.export_text(), "pymc-c")[6] == "10"


def test_what_a_sampler_does_not_tell_is_said():
    told = {"tuning": "the sampler does not tell"}
    trial = document(clocks={"tuning": None, "drawing": None, "sampling": 2.0}, unknown=told)
    output = text([measurement(COLD, trial)])
    assert row(output, "pymc-c") == ["pymc-c", "3.00", "3.00", "–", "0.50", "–", "–", "–", "512", "ok"]
    assert "pymc-c: tuning: the sampler does not tell" in output


def test_phases_are_told_for_setup_cold_and_warm_and_for_finish():
    console = plain_console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    print_phases(console, [measurement(COLD, *WARM)], ["pymc-c"])
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert "pymc-c cold setup 3.00 importing 2.25 · compiling (C) 0.75" in lines
    assert "warm setup 1.20 importing 0.90 · compiling (C) 0.30" in lines
    assert "finish 0.50 convergence checks 0.50" in lines


def test_a_failure_shows_its_reason_and_no_numbers():
    output = text([measurement(record(outcome="failed", reason="TypeError: [bold]no[/] (pymc 6.4.0)"))])
    assert row(output, "pymc-c") == ["pymc-c", *["–"] * 8, "failed"]
    assert "v6.4.0 ppca n=500 pymc-c: failed: TypeError: [bold]no[/] (pymc 6.4.0)" in output


def test_a_contaminated_trial_is_marked_and_explained():
    output = text([measurement(record(control={"drift": 2.0, "contaminated": True}))])
    assert row(output, "pymc-c")[-1] == "~"
    assert "the machine changed speed" in output


def test_a_damaged_file_is_reported():
    assert "x.json is damaged" in text([measurement(record())], damaged=["x.json is damaged"])


def test_the_page_of_a_job_has_the_same_numbers_and_reasons():
    page = markdown([measurement(COLD, *WARM)], ["pymc-c"])
    assert "**PyMC 6.4.0, ` ppca `, n=500**" in page
    assert "| ` pymc-c ` | 3.00 | 1.20 | 5.26 | 0.50 | 6.96 | 7 | 9.51 | 512 | ok |" in page.splitlines()
    columns = {line.count("|") for line in page.splitlines() if line.startswith("|")}
    assert columns == {11}


def test_a_reason_on_the_page_of_a_job_is_text_and_nothing_else():
    reason = "TypeError: <img src=x> @all `no` | a |"
    page = markdown([measurement(record(outcome="failed", reason=reason))], ["pymc-c"], ["x.json is <b>damaged</b>"])
    assert f"failed: `` {reason} ``" in page
    assert "- ` x.json is <b>damaged</b> `" in page
