"""The steps of a run that nobody watches: find and lock what is new, plan what is left to measure, take in what was
measured, and tell of what was found. `.github/workflows/measure.yml` calls them by `bench nightly`, and so can anybody.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from harness import paths
from harness.errors import BenchError
from harness.measuring import cells, history, rounds, run
from harness.nightly import alerts, blaming, candidate, planning, report, shards
from harness.nightly.branch import catch_up, change_branch
from harness.nightly.github import Api, output, token
from harness.output import console, counted, few, job_page, minutes, printable, quoted
from harness.paths import ROOT
from harness.results import store
from harness.results.collecting import Collected, Shard, Task
from harness.results.machines import machine_name
from harness.stacks import locks, proposals
from harness.stacks.locks import Stack
from harness.stacks.timeline import ensure_timeline
from harness.suite import inside

app = typer.Typer(no_args_is_help=True, help="The steps of the nightly run; each also works by hand.")

Name = Annotated[str, typer.Argument(help="A release such as v6.4.0, or a block such as ppca-500-pymc-c.")]
Releases = Annotated[
    list[str] | None, typer.Option("--release", envvar="BENCH_RELEASES", help="A release such as v6.4.0; all if none.")
]
Models = Annotated[
    list[str] | None, typer.Option("--model", envvar="BENCH_MODELS", help="A model; ppca and discrete if none.")
]
Backends = Annotated[
    list[str] | None, typer.Option("--backend", envvar="BENCH_BACKENDS", help="A backend; all if none.")
]
Sizes = Annotated[
    list[int] | None, typer.Option("--n", envvar="BENCH_SIZES", help="A size; the smallest of each model if none.")
]
History = Annotated[
    bool, typer.Option("--history", envvar="BENCH_HISTORY", help="The history's missing blocks, not single stacks.")
]
Warm = Annotated[
    int, typer.Option(min=0, envvar="BENCH_WARM", help="Rounds of warm trials; half as many of cold ones.")
]
AsOf = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="As of an earlier moment (UTC); now by default."),
]
_MOST_NAMED = 20
Branch = Annotated[str, typer.Option(help="The branch of `origin` that keeps locks and results.")]


@app.command()
def resolve(
    to: Annotated[Path, typer.Argument(help="The folder that is handed to `lock`.")], as_of: AsOf = None
) -> None:
    """Resolve releases that have appeared, and a snapshot when one is due, and write their locks to a folder.

    They are installed and imported, to see what fails: this is to be done where nothing can be written.
    """
    added, unsolved = proposals.propose(to, progress=_say, as_of=as_of and as_of.replace(tzinfo=UTC))
    _say(f"Proposed: {', '.join(s.tag for s in added)}." if added else "No new stack.")
    if unsolved:
        raise BenchError(" ".join(unsolved))


@app.command()
def lock(
    proposal: Annotated[Path, typer.Argument(help="The folder that `resolve` wrote; nothing is new where it is none.")],
    branch: Branch = "main",
) -> None:
    """Check locks that were resolved elsewhere, and push them. Nothing of them is installed or run.

    This checkout is brought to them, unless it is of another branch or something in it is in the way.
    """
    added: list[Stack] = []
    skipped: list[str] = []

    def add(folder: Path) -> str | None:
        added[:], skipped[:] = proposals.accept(proposal, folder / "stacks")
        return f"Add {_names('stack', [s.tag for s in added])}"

    commit = change_branch(ROOT, branch, add, _say)
    _say(f"Pushed {commit[:12]} to {branch}: {', '.join(s.tag for s in added)}." if commit else "No new stack.")
    # `plan` reads the locks of this checkout: what is locked tonight is measured tonight.
    left_alone = catch_up(ROOT, branch, commit)
    if left_alone:
        _say(f"This checkout is left as it is ({left_alone}): `plan` knows of no newer lock here before it is updated.")
    if skipped:
        raise BenchError(
            f"PyMC {', '.join(skipped)} has no lock and never will: whoever resolved found no solution, or left it out."
        )


@app.command()
def plan(
    release: Releases = None,
    model: Models = None,
    backend: Backends = None,
    warm: Warm = 8,
    most: Annotated[
        int | None, typer.Option(min=1, max=256, help="Runners at most, the newest first; 20 if none, 256 for blocks.")
    ] = None,
    of_history: History = False,
    n: Sizes = None,
    to: Annotated[Path | None, typer.Option(help="A file to write it to as well.")] = None,
) -> None:
    """Print the stacks that are not wholly measured on this machine, newest first, as a JSON list for a matrix; or the
    blocks of the history that are missing."""
    named = {stack.tag: stack for stack in map(locks.get_stack, release or [])}
    if named and of_history:
        raise BenchError("The history is of all minor releases: name releases, or ask for --history.")
    machine, description = machine_name(), inside()
    wanted = cells.cells(description, small=True, models=model or cells.MODELS, backends=backend, sizes=n)
    if of_history:
        blocks = planning.left_of_history(machine, wanted, description, warm)
        names, cost = list(blocks), minutes(sum(blocks.values()))
        print(f"{counted(len(blocks), 'block')} of the history missing: about {cost} of trials.", file=sys.stderr)
    else:
        names = planning.left(list(named.values()) or locks.load_stacks(), machine, wanted, description, warm)
    found = json.dumps(names[: most or (256 if of_history else 20)])
    print(found)
    output("works", found)
    if to:
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(found + "\n")


@app.command()
def measure(
    name: Name,
    to: Annotated[Path, typer.Argument(help="The folder that is handed on.")],
    model: Models = None,
    backend: Backends = None,
    warm: Warm = 8,
    n: Sizes = None,
) -> None:
    """Measure what is left of a release, side by side with the one before it, or of a block of the history, and copy
    all that this machine has of it: a shard's work.

    One model after the other, or one part of a block, each kept and handed on when it is done.
    """
    ensure_timeline()
    machine, description = machine_name(), inside()
    wanted = cells.cells(description, small=True, models=model or cells.MODELS, backends=backend, sizes=n)
    work = planning.work(name, wanted)
    _hand_on(work, to)
    try:
        for _ in _measured(work, machine, description, warm):
            # Now, and not at the end: a runner that dies takes with it what it has not handed on.
            _hand_on(work, to)
    except KeyboardInterrupt:
        _say("Interrupted: what was measured is kept, and the same command goes on from there.")
        raise typer.Exit(130) from None


def _measured(work: planning.Work, machine: str, description: dict, warm: int) -> Iterator[object]:
    """What is left of a work, part by part as it is measured."""
    if work.is_history:
        yield from history.measure(console, machine, work.stacks, work.cells, description, warm)
        return
    done, each = run.measured(machine, work.stacks, description, warm), rounds.of_each_kind(warm)
    for model, group in groupby((c for c in work.cells if c not in done), key=lambda c: c.model):
        its = list(group)
        seconds = run.estimate_seconds(machine, dict.fromkeys(its, each), len(work.stacks))
        _say(
            f"{few([s.tag for s in work.stacks])}, {model}: {counted(len(its), 'parameter set')}, "
            f"about {minutes(seconds)}."
        )
        yield run.measure(console, machine, work.stacks, its, description, each)


@app.command()
def export(
    name: Name,
    to: Annotated[Path, typer.Argument(help="The folder to write to.")],
) -> None:
    """Copy what this machine has measured of a release and the one before it, or of a block: what a shard hands on."""
    everything = cells.cells(inside(), small=False, models=inside()["models"])
    _hand_on(planning.work(name, everything), to)


def _hand_on(work: planning.Work, to: Path) -> None:
    many = shards.export(work, machine_name(), to)
    _say(f"{many} files of {work.name} on {machine_name()} are in {to}.")


@app.command("collect")
def collect_command(
    folders: Annotated[list[Path] | None, typer.Argument(help="Folders of results, one for each shard.")] = None,
    below: Annotated[
        Path | None, typer.Option("--in", help="Where artifacts were unpacked, each with a folder named for its stack.")
    ] = None,
    release: Annotated[
        list[str] | None,
        typer.Option(envvar="BENCH_RELEASES", help="A release, or a block such as ppca-500-pymc-c; all if none."),
    ] = None,
    model: Models = None,
    backend: Backends = None,
    warm: Warm = 8,
    n: Sizes = None,
    branch: Branch = "main",
) -> None:
    """Check what shards have measured on this machine (or the one that BENCH_MACHINE names), and push what is new.

    Only what these options say is taken, as `plan` and `measure` were told; what is refused is named, and keeps nothing
    else away. The site is built with it before it is pushed.
    """
    if not folders and below is None:
        raise BenchError("Which results? Name their folders, or --in the folder that artifacts were unpacked into.")
    if below and not below.is_dir():
        _say(f"There is no folder {below}: no shard has come.")
    description = inside()
    wanted = cells.cells(description, small=True, models=model or cells.MODELS, backends=backend, sizes=n)
    works = [planning.work(name, wanted) for name in release or []]
    chosen = [s for w in works for s in w.stacks] or locks.load_stacks()
    planned = frozenset((c.model, c.n, c.backend) for c in wanted)
    # Where an answer was wrong another seed decides, in all stacks of a block; and what was interrupted begins anew.
    trials = 2 * sum(rounds.of_each_kind(warm).values())
    task = Task(machine_name(), {s.tag: s for s in chosen}, planned, description["protocol"], trials=trials)
    found_below, strange = shards.artifacts(below, task, wanted, release) if below else ([], [])
    found_below += [Shard(folder, task) for folder in folders or []]
    found = Collected()

    def add(folder: Path) -> str:
        nonlocal found
        found = candidate.take(found_below, folder)
        tags = sorted({name.split("/")[2] for name in found.new if name.startswith("records/")})
        return f"Add results of {_names('stack', tags)}"

    commit = change_branch(ROOT, branch, add, _say)
    _say(
        f"Pushed {commit[:12]} to {branch}: {len(found.new)} new files; {found.known} were known."
        if commit
        else f"Nothing new: {found.known} files were known, and there is no commit."
    )
    if strange or found.refused:
        raise BenchError(f"Refused, and measured again by the next run: {_listed(strange + found.refused)}.")


def _listed(sentences: Sequence[str]) -> str:
    """The first of them in one sentence: a job's page has an end."""
    more = len(sentences) - _MOST_NAMED
    named = [sentence.rstrip(".") for sentence in sentences[:_MOST_NAMED]]
    return "; ".join([*named, *([f"and {more} more"] if more > 0 else [])])


def _names(what: str, tags: Sequence[str]) -> str:
    """`the stacks v6.3.2, v6.4.0`, for a commit's title."""
    shown = ", ".join(tags[:5]) + (f" and {len(tags) - 5} more" if len(tags) > 5 else "")
    return f"the {what}{'s' if len(tags) > 1 else ''} {shown}"


@app.command("blame")
def blame_command(
    to: Annotated[Path, typer.Argument(help="The folder that is handed on.")],
    budget: Annotated[float, typer.Option(min=1, envvar="BENCH_BLAME_MINUTES", help="Minutes at most.")] = 60,
) -> None:
    """Ask which packages made what is alerted of on this machine, what takes least first, until the time is up.

    An answer is kept in results/blame/, and copied to a folder. What was measured is kept, and the same command goes
    on from there.
    """
    blaming.answer(machine_name(), _results(paths.RESULTS), to, 60 * budget, _say)


@app.command("collect-blame")
def collect_blame(
    folder: Annotated[Path, typer.Argument(help="The folder that `blame` wrote; nothing is new where it is none.")],
    branch: Branch = "main",
) -> None:
    """Check answers of `blame`, and push those to what is asked on the branch, too."""
    found = Collected()

    def add(checkout: Path) -> str:
        nonlocal found
        found = blaming.take(folder, checkout, machine_name(), inside())
        return "Say which packages made what is alerted of"

    commit = change_branch(ROOT, branch, add, _say)
    output("new", ", ".join(found.new) if commit else "")
    _say(f"Pushed {commit[:12]} to {branch}: {', '.join(found.new)}." if commit else "No new answer.")
    if found.refused:
        raise BenchError(f"Refused: {_listed(found.refused)}.")


def _results(folder: Path) -> store.Results:
    return store.Results(folder, inside())


@app.command()
def pages(
    repository: Annotated[str, typer.Option(envvar="GITHUB_REPOSITORY", help="owner/name; needs GITHUB_TOKEN.")],
) -> None:
    """Ask GitHub whether the site can be deployed by a workflow."""
    how = "Settings → Pages → Source: GitHub Actions"
    try:
        site = Api(repository, token()).get("/pages")
    except BenchError as error:
        raise BenchError(f"The site cannot be deployed. {error} If Pages is not set up: {how}.") from error
    if site.get("build_type") != "workflow":
        raise BenchError(f"The site cannot be deployed: Pages is built from a branch; {how}.")
    _say(f"The site is deployed to {site.get('html_url')}.")


@app.command("alerts")
def alerts_command(
    to: Annotated[Path | None, typer.Option(help="Write issues as files into this folder.")] = None,
    repository: Annotated[
        str | None, typer.Option(help="Write issues to this repository of GitHub, owner/name; needs GITHUB_TOKEN.")
    ] = None,
    site: Annotated[
        str | None, typer.Option(help="The address of the published site, for links; GitHub is asked if none.")
    ] = None,
    jobs: Annotated[
        str | None, typer.Option(help="What became of the run's jobs and steps: `toJSON(needs)` of a workflow.")
    ] = None,
    log: Annotated[str | None, typer.Option(help="The address of the run's log.")] = None,
) -> None:
    """Open an issue for each finding of the newest results, update those that stay, and close those that are gone.

    Where something cannot be read, nothing is closed: whether it is gone is not known.
    """
    if (to is None) == (repository is None):
        raise BenchError("Where shall the alerts go? Name either --to FOLDER or --repository owner/name.")
    tracker: alerts.Tracker = alerts.Files(to) if to else alerts.GitHub(Api(repository, token()))
    if isinstance(tracker, alerts.GitHub):
        site = site or _site(tracker.api)
    failed = _failed(jobs) if jobs else []
    try:
        found = alerts.not_installed(locks.load_stacks(), locks.recorded_imports())
        machines = store.load(_results(paths.RESULTS))
        found += alerts.findings(machines, site)
    except Exception as error:
        # What keeps findings from being found may be what made the run fail, and somebody is to know of that.
        why = str(error) if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"
        alerts.tell([alerts.failed_run([*failed, f"alerts: {why}"], log)], tracker, close=False)
        raise
    damaged = list(dict.fromkeys(sentence for machine in machines for sentence in machine.damaged))
    failed += [f"alerts: {sentence}" for sentence in damaged]
    found += [alerts.failed_run(failed, log)] if failed else []
    # A run by hand knows nothing of the nightly one.
    told = alerts.tell(found, tracker, close=not damaged, keep=() if jobs else (alerts.FAILED_RUN,))
    _say(
        f"{told.opened} issues opened, {told.updated} updated, {told.same} as before, {told.closed} closed: "
        f"{', '.join(f.title for f in found) or 'nothing to tell'}."
    )
    if damaged:
        raise BenchError(f"Nothing was closed, since this cannot be read: {_listed(damaged)}.")


def report_command(
    event: Annotated[
        Path, typer.Option(envvar="GITHUB_EVENT_PATH", help="What GitHub tells of the finished run, as JSON.")
    ],
    repository: Annotated[str, typer.Option(envvar="GITHUB_REPOSITORY", help="owner/name; needs GITHUB_TOKEN.")],
) -> None:
    """Comment on a pull request with what `compare.yml` has measured for it, for a workflow that runs after it."""
    said = report.report(event, Api(repository, token()))
    console.print(said, highlight=False)
    job_page(quoted(said))


def _site(api: Api) -> str:
    """Where the site of a repository is published, or will be once Pages is set up."""
    owner, _, name = api.repository.partition("/")
    try:
        return api.get("/pages")["html_url"]
    except (BenchError, KeyError):
        return f"https://{owner}.github.io/{name}/"


def _failed(jobs: str) -> list[str]:
    """The jobs that failed, and their steps that a job goes on without."""
    try:
        needs = json.loads(jobs)
        parts = [name for name, job in needs.items() if job["result"] in ("failure", "cancelled")]
        parts += [f"{n}: {s}" for n, job in needs.items() for s, o in job["outputs"].items() if o == "failure"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BenchError(f"--jobs is not what `toJSON(needs)` gives ({error}): see measure.yml.") from error
    return parts


def _say(sentence: str) -> None:
    """One line in the log and on the job's page."""
    flat = " ".join(sentence.split())
    print(printable(flat), flush=True)
    job_page(quoted(flat))
