"""`bench`, the project's own command line. asv does the measuring day to day; these are the jobs around it.

Each wing brings its own commands; here they only get their names, in the order in which `bench --help` lists them.
"""

from __future__ import annotations

import os
import signal
import sys

import typer

from harness.adding import commands as adding
from harness.asv_plugins import commands as asv
from harness.errors import BenchError
from harness.judging import commands as judging
from harness.measuring import commands as measuring
from harness.measuring.blame_command import blame_command
from harness.measuring.compare_command import compare_command
from harness.measuring.history_command import history_command
from harness.measuring.parent import end_with_parent
from harness.nightly import commands as nightly
from harness.output import job_page, printable, quoted
from harness.site.commands import pictures_command
from harness.stacks import commands as stacks

_HELP = __doc__.splitlines()[0]

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=_HELP)
app.command("run")(measuring.run_command)
app.command("compare")(compare_command)
app.command("history")(history_command)
app.command("blame")(blame_command)
app.command("calibrate")(measuring.calibrate_command)
app.command("summary")(judging.summary_command)
app.command("steps")(judging.steps_command)
app.command("report")(nightly.report_command)
app.command("pictures")(pictures_command)
app.command("check")(asv.check_command)
app.command("sweep")(measuring.sweep_command)
app.command("agreement")(judging.agreement_command)
app.command("trial", context_settings=measuring.TRIAL_CONTEXT)(measuring.trial_command)
app.add_typer(adding.model_app, name="model")
app.add_typer(adding.backend_app, name="backend")
app.add_typer(stacks.app, name="stacks")
app.add_typer(nightly.app, name="nightly")

# What a command ends with that was given a word where a number belongs, or the like.
_USAGE = 2


def main() -> None:
    """Run the command line; a `BenchError` is one sentence on standard error and exit status 1."""
    # A closed terminal or a cancelled job ends what it started, as Ctrl-C does.
    for request in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(request, signal.default_int_handler)
    end_with_parent()
    try:
        app()
    except BenchError as error:
        print(printable(f"bench: {error}"), file=sys.stderr)
        job_page(f"**Failed:** {quoted(str(error))}")
        sys.exit(error.status)
    except SystemExit as error:
        if error.code == _USAGE:
            job_page("**Failed:** the command does not take what it was given; the log says what.")
        raise
    except BrokenPipeError:
        os._exit(141)
    except OSError as error:
        # A disk that is full does not say where.
        place = (
            f"{error.filename} cannot be used" if error.filename else "a file could not be written, the others are kept"
        )
        print(printable(f"bench: {place}: {error.strerror}."), file=sys.stderr)
        job_page(f"**Failed:** {quoted(f'{place}: {error.strerror}.')}")
        sys.exit(1)


if __name__ == "__main__":
    main()
