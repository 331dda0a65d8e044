"""The workflows are thin, have the least rights, and trust nothing that a pull request brings."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from typer.main import get_command

from harness import cli

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(FOLDER.glob("*.yml"))}
JOBS = [(name, job, content) for name, w in WORKFLOWS.items() for job, content in w["jobs"].items()]
STEPS = [(name, job, step) for name, job, content in JOBS for step in content["steps"]]
RUNS = [(name, job, step["run"]) for name, job, step in STEPS if "run" in step]
# Each commit is the one that its project has tagged so.
ACTIONS = {
    "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1": "v7.0.1",
    "actions/setup-python@5fda3b95a4ea91299a34e894583c3862153e4b97": "v7.0.0",
    "actions/upload-artifact@043fb46d1a93c77aae656e7c1c64a875d1fc6a0a": "v7.0.1",
    "actions/download-artifact@3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c": "v8.0.1",
    "actions/upload-pages-artifact@fc324d3547104276b827a68afc52ff2a11cc49c9": "v5.0.0",
    "actions/deploy-pages@cd2ce8fcbc39b97be8ca5fce6e763baed58fa128": "v5.0.0",
}
# Those that are more than one `bench` command.
SETTING_UP = {"bench", "check", "site", "nightly-clean"}
PUSHING = {("measure", "plan"), ("measure", "collect"), ("measure", "collect-blame")}
WRITING = {
    ("measure", "plan"): {"contents"},
    ("measure", "collect"): {"contents"},
    ("measure", "collect-blame"): {"contents"},
    ("measure", "deploy"): {"pages", "id-token"},
    ("measure", "alert"): {"issues"},
    ("report", "comment"): {"pull-requests"},
}


def triggers(workflow: dict) -> set[str]:
    """YAML reads `on` as a truth value."""
    return set(workflow[True])


def test_there_are_the_workflows_that_the_documentation_tells_of():
    operating = (ROOT / "docs/operating.md").read_text()
    assert {f"`{name}.yml`" for name in WORKFLOWS} <= set(re.findall(r"`[\w-]+\.yml`", operating))
    assert set(WORKFLOWS) == {"ci", "compare", "compare-build", "measure", "report"}


def make_targets() -> dict[str, str]:
    text = (ROOT / "Makefile").read_text()
    return dict(re.findall(r"^([a-z-]+):[^\n]*\n((?:\t[^\n]*\n)*)", text, re.MULTILINE))


@pytest.mark.parametrize(("workflow", "job", "command"), RUNS)
def test_each_command_is_a_make_target_that_works_anywhere(workflow, job, command):
    assert command == ".ci/run" or (command.startswith("make ") and command.split()[1:][0] in make_targets())
    assert len(command.split()) <= 2
    assert "${{" not in command
    assert len(command.splitlines()) == 1


@pytest.mark.parametrize("target", sorted(make_targets().keys() & {run.split()[-1] for _, _, run in RUNS} - SETTING_UP))
def test_each_make_target_of_the_workflows_is_a_bench_command(target):
    (line,) = make_targets()[target].splitlines()
    words = line.split("bench ", 1)[1].split()
    command = get_command(cli.app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options


def test_variables_reach_commands_in_quotes_only():
    for name, recipe in make_targets().items():
        bare = re.sub(r'"[^"]*"', "", recipe)
        assert "$$" not in bare, (name, bare)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_has_no_rights_but_those_that_a_job_asks_for(name):
    assert WORKFLOWS[name]["permissions"] == {}


@pytest.mark.parametrize(("workflow", "job", "content"), JOBS)
def test_a_job_has_the_least_rights_and_an_end(workflow, job, content):
    rights = content["permissions"]
    assert {name for name, right in rights.items() if right == "write"} == WRITING.get((workflow, job), set())
    assert set(rights.values()) <= {"read", "write"}
    assert content["timeout-minutes"] <= 360


@pytest.mark.parametrize(("workflow", "job", "step"), [s for s in STEPS if "uses" in s[2]])
def test_an_action_is_a_known_commit_with_its_tag_beside_it(workflow, job, step):
    assert step["uses"] in ACTIONS
    assert f"{step['uses']} # {ACTIONS[step['uses']]}\n" in (FOLDER / f"{workflow}.yml").read_text()


@pytest.mark.parametrize(("workflow", "job", "step"), [s for s in STEPS if "actions/checkout" in s[2].get("uses", "")])
def test_a_checkout_keeps_no_credentials_but_where_it_pushes(workflow, job, step):
    assert step["with"]["persist-credentials"] is ((workflow, job) in PUSHING)


def test_what_runs_a_pull_requests_code_has_no_secret_and_no_right_to_write():
    for name, workflow in WORKFLOWS.items():
        if {"pull_request", "workflow_call"} & triggers(workflow):
            text = (FOLDER / f"{name}.yml").read_text()
            assert "secrets" not in text
            assert "github.token" not in text
            assert "self-hosted" not in text
            assert not any(job == name for job, _ in WRITING)
            assert all(content["runs-on"] == "ubuntu-24.04" for content in workflow["jobs"].values())


def test_what_has_rights_runs_the_code_of_main():
    assert not any("pull_request_target" in triggers(workflow) for workflow in WORKFLOWS.values())
    for workflow, job, step in STEPS:
        if workflow in ("measure", "report") and "actions/checkout" in step.get("uses", ""):
            assert step["with"]["ref"] == "main", (workflow, job)


def test_a_secret_is_given_to_a_single_step_and_never_to_a_job():
    for name, workflow in WORKFLOWS.items():
        assert "token" not in str(workflow.get("env", ""))
        for content in workflow["jobs"].values():
            assert "token" not in str(content.get("env", "")), name


def test_measuring_is_one_run_at_a_time_and_one_stack_at_a_time_on_a_machine_of_ones_own():
    measure = WORKFLOWS["measure"]
    assert measure["concurrency"] == {"group": "measure", "cancel-in-progress": False}
    strategy = measure["jobs"]["measure"]["strategy"]
    assert strategy["fail-fast"] is False
    assert "BENCH_RUNNER) && 1 ||" in strategy["max-parallel"]


def test_the_site_of_a_run_that_is_run_again_can_be_told_from_that_of_the_first_attempt():
    jobs = WORKFLOWS["measure"]["jobs"]
    (upload,) = (s for s in jobs["site"]["steps"] if "upload-pages-artifact" in s.get("uses", ""))
    assert "github.run_attempt" in upload["with"]["name"]
    assert jobs["site"]["outputs"]["artifact"] == upload["with"]["name"]
    assert jobs["deploy"]["steps"][-1]["with"]["artifact_name"] == "${{ needs.site.outputs.artifact }}"


@pytest.mark.parametrize(
    ("inputs", "variables", "name"),
    [
        ({}, {}, "github-ubuntu-24.04"),
        ({}, {"BENCH_RUNNER": "bench-1", "BENCH_MACHINE": "box"}, "box"),
        ({"runner": "bench-1"}, {"BENCH_RUNNER": "bench-1", "BENCH_MACHINE": "box"}, "box"),
        ({"runner": "ubuntu-24.04"}, {"BENCH_RUNNER": "bench-1", "BENCH_MACHINE": "box"}, "github-ubuntu-24.04"),
        ({"runner": "bench-1"}, {}, "github-bench-1"),
        ({"runner": "bench-2", "machine": "other"}, {"BENCH_RUNNER": "bench-1", "BENCH_MACHINE": "box"}, "other"),
        ({}, {"BENCH_RUNNER": "bench-1"}, "github-bench-1"),
        ({}, {"BENCH_MACHINE": "box"}, "github-ubuntu-24.04"),
    ],
)
def test_results_of_a_runner_are_never_called_by_the_name_of_another(inputs, variables, name):
    expression = WORKFLOWS["measure"]["env"]["BENCH_MACHINE"].removeprefix("${{").removesuffix("}}")
    for theirs, python in (("&&", " and "), ("||", " or "), ("!", " not "), ("format(", "str.format(")):
        expression = expression.replace(theirs, python)
    known = {"inputs": SimpleNamespace(**{"runner": "", "machine": ""} | inputs)}
    known |= {"vars": SimpleNamespace(**{"BENCH_RUNNER": "", "BENCH_MACHINE": ""} | variables)}
    assert eval(expression.strip(), {"__builtins__": {}, "str": str}, known) == name


def artifacts(job: str, way: str) -> list[dict]:
    """What the steps of a job of `measure` are told that upload or download artifacts."""
    steps = WORKFLOWS["measure"]["jobs"][job]["steps"]
    return [step["with"] for step in steps if f"/{way}-artifact@" in step.get("uses", "")]


def test_no_shard_is_unpacked_into_the_folder_of_another():
    (up,), (down,) = artifacts("measure", "upload"), artifacts("collect", "download")
    assert (up["name"], up["path"]) == ("results-${{ matrix.work }}", "shard")
    assert '"shard/$$WORK"' in make_targets()["nightly-measure"]
    assert (down["pattern"], down["path"]) == ("results-*", "incoming")
    assert "merge-multiple" not in down
    assert "--in incoming" in make_targets()["nightly-collect"]
    # A single artifact is unpacked elsewhere than several are: with this one, there are several.
    (plan,) = artifacts("plan", "upload")
    assert (plan["name"], plan["path"]) == ("results-plan", "plan")
    assert "--to plan/" in make_targets()["nightly-plan"]


def test_what_is_collected_is_what_was_planned():
    collecting = WORKFLOWS["measure"]["jobs"]["collect"]
    assert "fromJSON(needs.plan.outputs.works)" in collecting["env"]["BENCH_RELEASES"]
    assert {"BENCH_MACHINE", "BENCH_MODELS", "BENCH_BACKENDS"} <= WORKFLOWS["measure"]["env"].keys()


def test_a_job_that_may_write_runs_nothing_that_was_measured():
    """Only these targets build, install, import or sample what is measured; what they leave is data."""
    building = {"make nightly-resolve", "make compare", "make compare-build", ".ci/run"}
    running = building | {"make nightly-measure", "make nightly-blame"}
    found = {(workflow, job) for workflow, job, run in RUNS if run in running}
    assert found >= {("measure", "resolve"), ("measure", "measure"), ("compare", "compare"), ("ci", "test")}
    assert ("compare-build", "compare") in found
    assert not found & WRITING.keys()
    for workflow, job, step in STEPS:
        if (workflow, job) in WRITING:
            assert "cache" not in str(step.get("uses", "")) + str(step.get("with", "")), (workflow, job)
    (up,), (down,) = artifacts("resolve", "upload"), artifacts("plan", "download")
    assert (up["name"], up["path"]) == (down["pattern"], down["path"]) == ("proposal", "proposal")
    (up,), (down,) = artifacts("blame", "upload"), artifacts("collect-blame", "download")
    assert (up["name"], up["path"]) == (down["pattern"], down["path"]) == ("blame", "answers")


def test_what_is_alerted_of_is_told_when_it_is_known_which_package_it_was():
    jobs = WORKFLOWS["measure"]["jobs"]
    assert {"blame", "collect-blame"} <= set(jobs["alert"]["needs"])
    assert "collect-blame" in jobs["site"]["needs"]
    assert jobs["blame"]["timeout-minutes"] > 60, "the budget, and setting up"


def test_a_pull_request_is_measured_when_it_is_labelled_and_no_later_commit_of_it():
    compare = WORKFLOWS["compare"]
    assert compare[True]["pull_request"] == {"types": ["labeled"]}
    (checkout,) = (s["with"] for s in compare["jobs"]["compare"]["steps"] if "checkout" in s.get("uses", ""))
    assert checkout["ref"] == "${{ github.event.pull_request.head.sha }}"


def test_by_hand_any_two_stacks_are_compared_by_what_bench_compare_reads_of_the_environment():
    compare = WORKFLOWS["compare"]
    assert set(compare[True]["workflow_dispatch"]["inputs"]) == {"a", "b", "models", "backends", "budget"}
    read = {parameter.envvar for parameter in get_command(cli.app).commands["compare"].params if parameter.envvar}
    for name in ("compare", "compare-build"):
        told = {key for key in WORKFLOWS[name]["jobs"]["compare"]["env"] if key.startswith("BENCH_")}
        assert told == read | {"BENCH_MACHINE"}


def test_another_repositorys_pull_request_is_built_by_the_suite_that_it_names_and_given_nothing():
    (job,) = WORKFLOWS["compare-build"]["jobs"].values()
    assert set(WORKFLOWS["compare-build"][True]) == {"workflow_call"}
    assert "secrets" not in WORKFLOWS["compare-build"][True]["workflow_call"]
    assert job["permissions"] == {"contents": "read"}
    suite, clone = (s["with"] for s in job["steps"] if "checkout" in s.get("uses", ""))
    assert (suite["repository"], suite["ref"]) == ("${{ job.workflow_repository }}", "${{ job.workflow_sha }}")
    # Nothing says which commit: of a pull request, GitHub takes the one that merges it into its base.
    assert clone == {"path": "clone", "fetch-depth": 0, "persist-credentials": False}


def test_the_example_of_the_calling_side_is_a_workflow_that_gives_all_that_is_asked_for():
    text = (ROOT / "docs/pull-requests.md").read_text()
    (example,) = (yaml.safe_load(t) for t in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "uses:" in t)
    (job,) = example["jobs"].values()
    inputs = WORKFLOWS["compare-build"][True]["workflow_call"]["inputs"]
    assert {name for name, told in inputs.items() if told.get("required")} <= set(job["with"]) <= set(inputs)
    assert ".github/workflows/compare-build.yml@" in job["uses"]
    assert example["permissions"] == {}
    assert job["permissions"] == {"contents": "read"}
    assert example[True] == {"pull_request": {"types": ["labeled"]}}


def test_no_shell_sees_the_name_of_a_shard(tmp_path):
    """Whoever makes an artifact names its folders, and the job that collects them may push."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / ".ci").mkdir()
    for name in ("requirements.txt", "pyproject.toml", ".ci/setup", ".venv/.ready"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    bench = tmp_path / ".venv/bin/bench"
    bench.parent.mkdir()
    bench.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    bench.chmod(0o755)
    for name in ("x;echo INJECTED > pwned;#", "$(touch pwned)", "`touch pwned`", "--branch", "a b"):
        (tmp_path / "incoming" / name).mkdir(parents=True)
    told = subprocess.run(
        ["make", "--silent", "nightly-collect"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.split()
    assert told == ["nightly", "collect", "--in", "incoming"]
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("recipe", make_targets().values(), ids=make_targets())
def test_no_recipe_lets_a_shell_expand_a_name(recipe):
    assert not re.search(r"\$\((wildcard|shell|foreach)|[*?]|`", recipe)


def test_by_hand_it_takes_releases_benchmarks_rounds_and_a_runner():
    inputs = WORKFLOWS["measure"][True]["workflow_dispatch"]["inputs"]
    assert set(inputs) == {
        "releases", "models", "sizes", "backends", "history", "warm", "blame", "runner", "machine"
    }  # fmt: skip
    assert all("inputs." not in command for _, _, command in RUNS)


def test_what_fails_or_is_refused_keeps_the_rest_from_nothing():
    jobs = WORKFLOWS["measure"]["jobs"]
    assert next(s for s in jobs["plan"]["steps"] if s.get("id") == "lock")["continue-on-error"] is True
    assert jobs["measure"]["steps"][-1]["if"] == "always()"
    # Without a function of status, one asks for the success of all jobs before, also of those before `plan`.
    assert jobs["measure"]["if"].startswith("${{ !cancelled() && ")
    for name in ("collect", "site", "deploy"):
        assert jobs[name]["if"].startswith("always() && ")
    assert set(jobs["alert"]["needs"]) == set(jobs) - {"alert"}


def test_updates_of_actions_and_tools_wait_until_others_have_had_them():
    updates = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text())["updates"]
    assert {update["package-ecosystem"] for update in updates} == {"github-actions", "uv"}
    assert all(update["cooldown"]["default-days"] >= 7 for update in updates)


@pytest.mark.parametrize(
    "linter", [("zizmor", "--offline", "--no-progress", "--persona", "pedantic", ".github"), ("actionlint",)]
)
def test_the_linters_of_workflows_have_nothing_to_say(linter):
    command = [Path(sys.executable).with_name(linter[0]), *linter[1:]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_exception_for_zizmor_says_why():
    for path in FOLDER.glob("*.yml"):
        for line in path.read_text().splitlines():
            if "zizmor: ignore" in line:
                assert len(line.partition("]")[2].split()) >= 5, line
