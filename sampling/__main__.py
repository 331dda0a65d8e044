"""`python -m sampling MODEL --n N --backend BACKEND` runs one trial in this environment and prints its record as JSON.

Exit status 0 when the trial is `ok`, 1 when its outcome is another, 2 when it was asked for in a way that makes no
sense.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from contextlib import redirect_stdout
from dataclasses import asdict, fields
from pathlib import Path
from typing import TextIO

import numpy as np

import models
from sampling.backends import BACKENDS
from sampling.measurement import code_sha256, parse_trial, trial, warm_trials
from sampling.process import die_with_parent
from sampling.record import OK
from sampling.settings import COLD, PROTOCOL_VERSION, SAME_DRAWS_SINCE, WARM, Settings
from sampling.trial import limits, run_trial


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sampling", description=__doc__.split("\n\n")[0])
    parser.add_argument("model", nargs="?", help=f"one of {', '.join(models.names())}")
    parser.add_argument(
        "--describe", action="store_true", help="print the models, their sizes and the backends as JSON"
    )
    parser.add_argument("--data", action="store_true", help="print the model's data as JSON")
    parser.add_argument("--check", action="store_true", help="say what the model lacks before it can be measured")
    parser.add_argument("--n", type=int, help="number of observations; the model's smallest size when not given")
    parser.add_argument("--backend", default="default", help=f"one of {', '.join(BACKENDS)}")
    for field in fields(Settings)[3:]:
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=float if "float" in field.type else int,
            default=field.default,
            help="(the release's own)" if field.default is None else "(%(default)s)",
        )
    parser.add_argument(
        "--home",
        type=Path,
        help="keep the compile caches here: a second trial in the same home is a warm one",
    )
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        "--outcome",
        action="store_true",
        help="it is asked whether the trial succeeds, as in a sweep: leave out the control work and the graph's counts",
    )
    either.add_argument(
        "--measurement",
        type=Path,
        metavar="FOLDER",
        help="run what --trial names of the measurement that is kept here, unless it is there; "
        "it has its own seeds, iterations and home",
    )
    parser.add_argument("--trial", default=f"{COLD}-0", help="such as cold-0, cold-1, warm-1 (%(default)s)")
    return parser


def _data(settings: Settings) -> dict:
    """The data of a model, and the axis along which they were made to vary, where it has one."""
    model = models.load(settings.model)
    models.check_size(model, settings.n)
    axis = model.true_axis(settings.n) if hasattr(model, "true_axis") else None
    return {"data": np.asarray(model.data(settings.n)).tolist(), "true_axis": axis}


def _description() -> dict:
    """What there is to measure, for those outside who may not import it."""
    loaded = {name: models.check_form(name) for name in models.names()}
    return {
        "models": {name: {"sizes": m.SIZES, "discrete": m.DISCRETE} for name, m in loaded.items()},
        "backends": list(BACKENDS),
        "compound_step": [b.name for b in BACKENDS.values() if b.compound_step],
        "protocol": PROTOCOL_VERSION,
        "code_sha256": code_sha256(),
        "same_draws_since": SAME_DRAWS_SINCE,
        "limits": asdict(limits()),
    }


def _trial(settings: Settings, home: Path | None, compared: bool) -> dict:
    """The record of a trial in a home, which is kept, or in one that is gone with it."""
    kind = WARM if home and home.is_dir() and any(home.iterdir()) else COLD
    with tempfile.TemporaryDirectory(prefix="home-") as temporary:
        if home:
            home.mkdir(parents=True, exist_ok=True)
        return run_trial(settings, (home or Path(temporary)).resolve(), kind, compared)


def _check(name: str, out: TextIO) -> int:
    from sampling.form import check

    try:
        faults, said = check(name)
    except SystemExit as error:
        faults, said = [f"The model ends Python: {error!r}. Whoever measures it must go on."], ""
    print(*(faults or [f"{said} Nothing is missing."]), sep="\n", file=out)
    return 1 if faults else 0


def main() -> int:
    """Do what the command line asks for, and print what it answers, and nothing else, to standard output."""
    arguments, out = vars(_parser().parse_args()), sys.stdout
    with redirect_stdout(sys.stderr):  # what a model prints is no part of a record
        return _run(arguments, out)


def _run(arguments: dict, out: TextIO) -> int:  # noqa: PLR0911
    home, data, check = (arguments.pop(name) for name in ("home", "data", "check"))
    folder, name, compared = arguments.pop("measurement"), arguments.pop("trial"), not arguments.pop("outcome")
    if arguments.pop("describe"):
        try:
            warm_trials(), limits()
            described = _description()
        except ValueError as error:
            print(f"python -m sampling: {error}", file=sys.stderr)
            return 2
        print(json.dumps(described, indent=1), file=out)
        return 0
    try:
        if arguments["model"] is None:
            raise ValueError(f"which model? One of {', '.join(models.names())}.")
        if check:
            return _check(arguments["model"], out)
        model = models.check_form(arguments["model"])
        if arguments["n"] is None:
            arguments["n"] = model.SIZES[0]
        settings = Settings(**arguments)
        if data:
            print(json.dumps(_data(settings)), file=out)
            return 0
        if folder or not compared:
            # Nobody would read what goes on when the rounds, or the sweep, have ended.
            die_with_parent()
        record = trial(settings, folder, *parse_trial(name)) if folder else _trial(settings, home, compared)
    except ValueError as error:
        print(f"python -m sampling: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        place = error.filename or folder or home
        print(f"python -m sampling: {place} cannot be used ({error.strerror}).", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("python -m sampling: interrupted; the trial was ended and nothing was recorded.", file=sys.stderr)
        return 130
    print(json.dumps(record, indent=1), file=out)
    return 0 if record["outcome"] == OK else 1


if __name__ == "__main__":
    sys.exit(main())
