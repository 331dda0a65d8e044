"""What a model lacks is said before it is measured, each thing in a sentence that says what to write."""

import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import models
from harness.paths import ROOT
from models._form import FORM, faults

X = np.arange(3.0)
DIGEST = models.digest(X)


def model(**changed):
    """A complete one, but for what is changed; what is None is not there."""
    whole = {name: lambda *_: None for name in FORM} | {
        "SIZES": (3,), "DISCRETE": False, "DATA_SHA256": {3: DIGEST}, "data": lambda n: X
    } | changed  # fmt: skip
    return SimpleNamespace(**{name: value for name, value in whole.items() if value is not None})


@pytest.mark.parametrize("name", models.names())
def test_every_model_has_the_form(name):
    models.check_form(name)


def test_a_complete_model_has_no_faults():
    assert faults("coin", model()) == []


@pytest.mark.parametrize("name", FORM)
def test_what_is_missing_is_named_with_what_it_is(name):
    assert faults("coin", model(**{name: None})) == [f"models/coin.py has no {name}: {FORM[name]}."]


def test_everything_that_is_missing_is_said_at_once():
    assert len(faults("coin", SimpleNamespace())) == len(FORM)


@pytest.mark.parametrize(("there", "lacking"), [("latent", "latent_reference"), ("latent_reference", "latent")])
def test_latent_elements_and_their_reference_come_together(there, lacking):
    assert re.match(
        rf"models/coin.py has no {lacking}, only its twin: {lacking}\(", faults("coin", model(**{there: print}))[0]
    )


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"SIZES": [3]}, r"SIZES in models/coin.py is \[3\]: it must be a tuple"),
        ({"SIZES": ()}, r"SIZES .* is \(\): it must be a tuple"),
        ({"SIZES": (3.0,)}, r"SIZES .* is \(3.0,\): it must be a tuple"),
        ({"SIZES": (True,)}, r"SIZES .* is \(True,\): it must be a tuple"),
        ({"SIZES": (4, 3), "DATA_SHA256": {3: DIGEST, 4: DIGEST}}, "the smallest comes first"),
        ({"SIZES": (3, 3)}, "none twice"),
        ({"DISCRETE": 0}, "DISCRETE in models/coin.py is 0: it must be True if"),
        ({"DATA_SHA256": ""}, "DATA_SHA256 in models/coin.py must be a dictionary"),
        (
            {"DATA_SHA256": {3: ""}},
            rf"DATA_SHA256\[3\] .* is ''; the digest of data\(3\) is '{DIGEST}': write that",
        ),
        ({"DATA_SHA256": {3: "0" * 64}}, rf"is '000.*; the digest of data\(3\) is '{DIGEST}': these are other data"),
        ({"__doc__": " "}, "models/coin.py has no docstring: the model, the source of its data"),
        ({"DATA_SHA256": {}}, rf"DATA_SHA256\[3\] .* is not there; the digest of data\(3\) is '{DIGEST}'"),
        ({"DATA_SHA256": {3: DIGEST, 9: DIGEST}}, "has a size that SIZES has not: 9"),
        ({"data": lambda n: [1.0, 2.0]}, r"data\(3\) in models/coin.py gives list: it must be data\(n\): the frozen"),
        ({"data": lambda n: X.astype("float32")}, "gives float32"),
        ({"data": lambda n: 1 / 0}, r"data\(3\) .* does not work: ZeroDivisionError"),
    ],
)
def test_what_is_wrong_is_said_with_what_is_right(changed, sentence):
    (said,) = faults("coin", model(**changed))
    assert re.search(sentence, said)


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Writes a model of this text beside the others, and gives what asks `python -m sampling` of it."""
    (tmp_path / "models").mkdir()
    for folder in ("models", "sampling"):
        for path in (ROOT / folder).iterdir():
            if path.is_file():
                (tmp_path / folder).mkdir(exist_ok=True)
                (tmp_path / folder / path.name).write_bytes(path.read_bytes())

    def asked(text: str, *arguments: str) -> tuple[int, str]:
        (tmp_path / "models/coin.py").write_text(text)
        done = subprocess.run(
            [sys.executable, "-m", "sampling", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.stdout == ""
        return done.returncode, done.stderr

    return asked


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("SIZES = (3,)\n", "models/coin.py has no DISCRETE: True if"),
        ("def data(:\n", "models/coin.py cannot be imported: SyntaxError"),
        (
            "import numpie\n",
            "models/coin.py cannot be imported: ModuleNotFoundError: No module named 'numpie' "
            "(models/coin.py, line 1, in <module>).",
        ),
    ],
)
@pytest.mark.parametrize("arguments", [("coin",), ("coin", "--check"), ("coin", "--data"), ("--describe",)])
def test_no_command_measures_a_model_that_is_not_complete(written, text, sentence, arguments):
    status, said = written(text, *arguments)
    assert status == 2
    assert said.startswith(f"python -m sampling: {sentence}")
    assert said.count("\n") == 1
