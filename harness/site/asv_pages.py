"""asv's own pages, one click below the site's first: another name, and what they load comes with the site.

asv's pages route by what follows `#` alone, so that `index.html` may be called `history.html`. It must not know what
has been measured.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from harness.errors import BenchError

VENDOR = Path(__file__).with_name("vendor")
PAGE = "history.html"

# What asv 0.6.6 loads from elsewhere, by the end of the address.
_LOCAL = {
    "jquery-3.3.1.min.js": "jquery.min.js",
    "jquery.flot.min.js": "jquery.flot.js",
    "jquery.flot.time.min.js": "jquery.flot.time.js",
    "jquery.flot.selection.min.js": "jquery.flot.selection.js",
    "jquery.flot.categories.min.js": "jquery.flot.categories.js",
    "jquery.flot.orderBars.js": "jquery.flot.orderBars.js",
    "stupidtable.min.js": "stupidtable.min.js",
    "md5.min.js": "md5.min.js",
    "bootstrap.min.js": "bootstrap/js/bootstrap.min.js",
    "bootstrap.min.css": "bootstrap/css/bootstrap.min.css",
}
_LOADED = re.compile(
    r'(?P<how><script src=|<link rel="stylesheet" href=)"https://[^"]*/(?P<name>[^"/]+)"(?P<rest>[^>]*)>'
)
_FIRST_ITEM = '<ul class="nav navbar-nav navbar-left">'


def move(html: Path) -> None:
    """Give asv's first page its other name, and put what it loads beside it. Raises BenchError for an asv whose pages
    are not those that this knows."""
    page = (html / "index.html").read_text(encoding="utf-8")
    moved = _LOADED.sub(_here, page)
    elsewhere = re.findall(r'<(?:script|link)\b[^>]*(?:src|href)="(?:https?:)?//[^"]*"', moved)
    if elsewhere or _FIRST_ITEM not in moved:
        raise BenchError(
            f"asv's pages have changed and cannot be part of the site ({', '.join(elsewhere) or 'no navigation'}): "
            "bring harness/site/asv_pages.py up to date with this version of asv."
        )
    back = '<li><a href="index.html">&larr; Overview</a></li>'
    moved = moved.replace(_FIRST_ITEM, f"{_FIRST_ITEM}\n        {back}", 1)
    moved = moved.replace("<html>", '<html lang="en">', 1)
    (html / PAGE).write_text(moved, encoding="utf-8")
    (html / "index.html").unlink()
    shutil.copytree(VENDOR, html / "vendor", dirs_exist_ok=True)
    feed = html / "regressions.xml"
    if feed.exists():
        feed.write_text(feed.read_text(encoding="utf-8").replace("index.html#", f"{PAGE}#"), encoding="utf-8")


def fill_gaps(html: Path, benchmarks: Iterable[str]) -> None:
    """Give each benchmark that has no result an empty graph: asv's grid asks for all of them."""
    folder = html / "graphs" / "summary"
    folder.mkdir(parents=True, exist_ok=True)
    for name in benchmarks:
        path = folder / f"{name}.json"
        if not path.exists():
            path.write_text("[]")


def _here(match: re.Match) -> str:
    local = _LOCAL.get(match["name"])
    if local is None:
        return match[0]
    failure = ' onerror="js_load_failure()"' if "onerror" in match["rest"] else ""
    return f'{match["how"]}"vendor/{local}"{failure}>'
