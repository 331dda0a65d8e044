"""The README opens with pictures that the site's code draws, for light ground and for dark, and says what they say."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from harness.errors import BenchError
from harness.judging.answers import answer
from harness.paths import ROOT
from harness.site import figures, pictures
from tests.test_answers import content, ppca

README = f"# Title\n\n{pictures.BEGIN}\nwhat was there\n{pictures.END}\n\nThe rest.\n"


@pytest.fixture
def root(tmp_path):
    (tmp_path / "README.md").write_text(README)
    return tmp_path


def measured():
    return content(ppca("pymc-c", sampling=30.0), ppca("nutpie-numba", sampling=4.0))


def test_the_readme_shows_both_grounds_and_says_what_the_picture_says(root):
    written = pictures.write(measured(), root)
    assert [path.name for path in written] == ["which-light.svg", "which-dark.svg"]
    text = (root / "README.md").read_text()
    assert text.startswith("# Title")
    assert text.endswith("The rest.\n")
    assert "what was there" not in text
    assert f"PyMC 6.4.0, `ppca` with 500 observations: {answer(measured(), 'ppca', 500).sentence} Bars: " in text
    for name in re.findall(r'(?:src|srcset)="([^"]+)"', text):
        ElementTree.parse(root / name)


def test_on_dark_ground_nothing_is_dark(root):
    pictures.write(measured(), root)
    light, dark = ((root / pictures.FOLDER / f"which-{ground}.svg").read_text() for ground in ("light", "dark"))
    assert figures.INK in light
    assert not any(colour in dark for colour in (figures.INK, figures.MUTED))


def test_nothing_in_a_picture_leads_anywhere(root):
    pictures.write(measured(), root)
    for path in (root / pictures.FOLDER).glob("*.svg"):
        assert "href" not in path.read_text()


def test_the_same_results_are_the_same_bytes(root):
    def all_of_it():
        pictures.write(measured(), root)
        return {path: path.read_bytes() for path in root.rglob("*.*")}

    assert all_of_it() == all_of_it()


def test_a_readme_without_a_place_for_them_is_left_as_it_is(root):
    (root / "README.md").write_text("# Title\n")
    with pytest.raises(BenchError, match=r"README.md has no place for the pictures: put the lines"):
        pictures.write(measured(), root)
    assert (root / "README.md").read_text() == "# Title\n"
    assert not (root / pictures.FOLDER).exists()


def test_where_nothing_was_measured_that_is_said(root):
    with pytest.raises(BenchError, match="Nothing can be drawn of box: measure it"):
        pictures.write(content(ppca("pymc-c", outcome="failed")), root)
    assert (root / "README.md").read_text() == README


def test_the_projects_own_readme_has_a_place_for_them_and_names_none_that_is_not_there():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r'(?:src|srcset)="([^"]+)"', text[text.index(pictures.BEGIN) : text.index(pictures.END)]):
        assert (ROOT / name).is_file()
