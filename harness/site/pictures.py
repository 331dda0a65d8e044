"""The README's pictures: which backend, and the years of history, by the charts of the site, for light ground and dark.

They are files, since a README shows no chart of its own; the sentences that they say go into the README with them.
"""

from __future__ import annotations

import re
from pathlib import Path

from harness.errors import BenchError
from harness.judging import answers, years
from harness.output import printable
from harness.results.store import MachineResults
from harness.site import figures, phase_figures, release_lines

FOLDER = Path("docs/pictures")
BEGIN, END = "<!-- What `bench pictures` writes begins here. -->", "<!-- It ends here. -->"
_MODEL, _N = "ppca", 500
# Nothing leads anywhere from within a picture.
_LINK = re.compile(r"</?a\b[^>]*>")


def drawn(content: MachineResults) -> dict[str, tuple[str, str]]:
    """By name: a picture as SVG, and the sentence that it says. Without what has not been measured."""
    found = {}
    answer = answers.answer(content, _MODEL, _N)
    if answer and answer.times:
        paths = {t.backend: "" for t in answer.times}
        picture = phase_figures.times(answer, "which", "", paths)
        said = f"PyMC {answer.tag[1:]}, `{_MODEL}` with {_N} observations: {answer.sentence}"
        marks = (
            "Bars: with warm compile caches, below with cold ones; lines: 95 % intervals of the ratio to the fastest."
        )
        found["which"] = str(picture), f"{said} {marks}"
    if history := years.years(content):
        model, n, _ = history[0].key
        said = f"`{model}` with {n} observations, release by release, a trial as a whole: {years.sentence(history)}"
        found["years"] = str(release_lines.years(content, history, "years")), said
    return found


def write(content: MachineResults, root: Path) -> list[Path]:
    """Write the pictures, and name them in the README. Raises BenchError where there is nothing to draw, or the README
    has no place for them."""
    readme = root / "README.md"
    head, begin, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise BenchError(f"README.md has no place for the pictures: put the lines {BEGIN} and {END} where they belong.")
    pictures = drawn(content)
    if not pictures:
        raise BenchError(f"Nothing can be drawn of {content.machine}: measure it with `make bench`.")
    folder, written, blocks = root / FOLDER, [], []
    folder.mkdir(parents=True, exist_ok=True)
    for name, (picture, said) in pictures.items():
        light = _LINK.sub("", picture)
        for ground, text in (("light", light), ("dark", figures.on_dark(light))):
            path = folder / f"{name}-{ground}.svg"
            path.write_text(text, encoding="utf-8")
            written.append(path)
        alone = printable(said.replace("`", "").replace('"', "'"))
        blocks.append(
            f'<picture><source media="(prefers-color-scheme: dark)" srcset="{FOLDER.as_posix()}/{name}-dark.svg">'
            f'<img alt="{alone}" src="{FOLDER.as_posix()}/{name}-light.svg"></picture>\n\n{said}'
        )
    readme.write_text(f"{head}{BEGIN}\n{'\n\n'.join(blocks)}\n{END}{tail}", encoding="utf-8")
    return written
