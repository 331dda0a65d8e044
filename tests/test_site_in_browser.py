"""The site in a real browser: it draws without an error and without asking another host, reads well aloud, and its
links into asv's pages open the right graphs. Skipped where there is no Chromium.
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from harness.paths import ROOT
from harness.stacks.locks import get_stack, last_patches, load_stacks
from harness.suite import inside
from tests import site_results as make
from tests.site_results import STAMP

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH: `.ci/run` installs one"),
]
TAGS = ("v6.2.0", "v6.3.2", "v6.4.0")
CELLS = [("ppca", n, b) for n in (500, 5000) for b in ("pymc-c", "nutpie-numba", "numpyro-parallel")] + [
    ("discrete", 100, "pymc-numba")  # the widest of the short names
]


def publish(folder: Path) -> Path:
    """Let asv publish the results in `folder`, with a configuration of its own; gives the site's folder."""
    text = (ROOT / "asv.conf.json").read_text()
    text = text.replace('"results/asv"', f'"{folder}/results/asv"').replace(
        '"html_dir": "html"', f'"html_dir": "{folder}/html"'
    )
    # asv reads its configuration's folder as the project: it must be the project's own.
    config = ROOT / f".test-{os.getpid()}.conf.json"
    config.write_text(text)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "asv", "--config", str(config), "publish", "--no-pull"],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        config.unlink()
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    results = folder / "results"
    make.build(results, [get_stack(tag) for tag in TAGS], CELLS)
    shutil.copy(ROOT / "results/compatibility.json", results)
    shutil.copytree(ROOT / "results/sweep", results / "sweep")
    protocol = inside()["protocol"]
    for tag in TAGS[1:]:
        make.write_records(
            results, tag, make.failed(get_stack(tag), "ppca", 500, "blackjax", "no progress_bar", protocol)
        )
    return publish(folder)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_arguments) -> None:
        """Say nothing."""

    def copyfile(self, source, outputfile) -> None:
        with suppress(ConnectionError):  # the browser has left before it had all
            super().copyfile(source, outputfile)


@pytest.fixture(scope="module")
def address(site) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # One process for all pages of a site, and none in reserve: starting them is most of a browser's work here.
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--process-per-site"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def context(browser, address) -> Iterator[BrowserContext]:
    found = browser.new_context(base_url=address, viewport={"width": 1200, "height": 900})
    yield found
    found.close()


def opened(context: BrowserContext, address: str) -> Page:
    """An empty page that remembers what went wrong, and where it asked for anything."""
    found = context.new_page()
    found.wrong = []
    found.on("console", lambda m: m.type in ("error", "warning") and found.wrong.append(m.text))
    found.on("pageerror", lambda e: found.wrong.append(str(e)))
    found.on("request", lambda r: r.url.startswith((address, "data:")) or found.wrong.append(f"asked {r.url}"))
    found.on("response", lambda r: r.status < 400 or found.wrong.append(f"{r.status} {r.url}"))
    return found


@pytest.fixture
def page(context, address) -> Iterator[Page]:
    found = opened(context, address)
    yield found
    found.close()


WITHOUT_CHARTS = ("changes.html", "compatibility.html")
PAGES = ("index.html", "changes.html", "compatibility.html", "trust.html", "models/ppca.html", "models/discrete.html")


@pytest.fixture(scope="module", params=PAGES)
def loaded(request, context, address) -> Iterator[Page]:
    """Each of our pages in turn, loaded once for all that is promised of every page."""
    found = opened(context, address)
    found.goto(request.param)
    found.wait_for_load_state("networkidle")
    yield found
    found.close()


@pytest.fixture
def each(loaded) -> Page:
    """Each of our pages as it is on a large screen, whatever was done to it before."""
    loaded.set_viewport_size({"width": 1200, "height": 900})
    loaded.emulate_media(color_scheme="light")
    return loaded


def width(page: Page) -> int:
    return page.evaluate("document.documentElement.scrollWidth")


def test_a_page_loads_without_an_error_and_asks_no_other_host(each):
    assert each.wrong == []


def test_no_text_of_a_chart_is_cut_off(each):
    seen, cut = each.evaluate("""() => {
        const texts = [...document.querySelectorAll("figure svg text")].filter(t => t.getBoundingClientRect().width);
        const out = texts.filter(t => {
            const [inner, outer] = [t, t.ownerSVGElement].map(e => e.getBoundingClientRect());
            return inner.left < outer.left - 0.5 || inner.right > outer.right + 0.5;
        });
        return [texts.length, out.map(t => t.textContent)];
    }""")
    assert seen or each.url.endswith(WITHOUT_CHARTS)
    assert cut == []


def test_no_page_is_wider_than_the_screen(each):
    for screen in (768, 390, 320):
        each.set_viewport_size({"width": screen, "height": 800})
        assert width(each) <= screen


def test_text_can_be_read_at_twice_its_size(each):
    each.set_viewport_size({"width": 640, "height": 800})
    style = each.add_style_tag(content="html { font-size: 200% } body { font-size: 2rem !important }")
    assert each.evaluate("getComputedStyle(document.body).fontSize") == "64px"
    assert width(each) <= 640
    style.evaluate("element => element.remove()")


# In another scheme nothing but colours is another.
ONLY_COLOURS = {"runOnly": {"type": "tag", "values": ["cat.color"]}}


def test_axe_finds_nothing_that_keeps_anybody_out(each):
    fold = "[...document.querySelectorAll('summary')].slice(0, 20).forEach(summary => summary.click())"
    each.evaluate(fold)
    for scheme, rules in (("light", {}), ("dark", ONLY_COLOURS)):
        each.emulate_media(color_scheme=scheme)
        found = Axe().run(each, options={"resultTypes": ["violations"], **rules})
        assert found.violations_count == 0, f"{scheme}: {found.generate_report()}"
    each.evaluate(fold)


@pytest.mark.parametrize("path", ["history.html", "history.html#/summarylist", "history.html#/regressions"])
def test_a_page_of_asv_loads_without_an_error_and_asks_no_other_host(page, path):
    page.goto(path)
    page.wait_for_load_state("networkidle")
    assert page.wrong == []


def test_a_backend_has_two_bars_of_phases_and_a_point_for_each_size(page):
    page.goto("index.html")
    for caches in ("warm", "cold"):
        bar = page.locator(f"#ppca-500 [aria-roledescription='bar'][aria-label^='pymc-c, {caches} caches: ']")
        assert bar.count() >= 5, "importing, compiling, tuning, drawing, collecting, of what is wide enough to be seen"
    sizes = page.locator("figure", has_text="What you wait for by size")
    assert sizes.locator("[aria-roledescription='point']").count() == 2 * 2 * 3


def test_a_chart_shows_each_release_and_the_first_one_a_cross_where_it_failed(page):
    page.goto("models/ppca.html")
    for metric, crosses in (("time_to_answer", 2), ("sampling", 0)):
        chart = page.locator(f"#{metric}-500")
        assert chart.locator("[aria-roledescription='point'][aria-label^='pymc-c, PyMC 6.4.0: ']").count() == 1
        failed = chart.locator("[aria-label='blackjax, PyMC 6.4.0: failed: no progress_bar']")
        assert failed.count() == bool(crosses)
        assert chart.locator("[aria-roledescription='point']").count() == 3 * 3 + crosses


def test_a_line_is_named_where_it_ends_on_a_phone_too(page):
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto("models/ppca.html")
    name = page.locator("#sampling-500 text", has_text="pymc-c").first.bounding_box()
    assert name["x"] >= 0
    assert name["x"] + name["width"] <= 390
    page.set_viewport_size({"width": 1200, "height": 900})


def test_what_a_mark_says_is_shown_when_it_is_pointed_at(page):
    page.goto("models/ppca.html")
    page.locator("[aria-label='blackjax, PyMC 6.4.0: failed: no progress_bar']").first.hover()
    assert page.locator("#hint").inner_text() == "blackjax, PyMC 6.4.0: failed: no progress_bar"
    page.keyboard.press("Escape")
    assert page.locator("#hint").is_hidden()


def test_a_bar_can_be_reached_and_followed_by_keyboard(page):
    page.goto("index.html")
    link = page.locator("#ppca-500 svg a").first
    link.focus()
    assert "caches: importing (setup) " in page.locator("#hint").inner_text()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/data/records/box/v6.4.0/ppca-500-*.{STAMP}.json")


def test_a_link_into_asvs_pages_opens_the_graph_of_the_same_series(page):
    page.goto("models/ppca.html")
    section = page.locator("#sampling-5000")
    section.locator("summary").click()
    section.locator("thead a", has_text="nutpie-numba").click()
    page.wait_for_url("**/history.html#ppca.Sampling.track_sampling?**")
    page.wait_for_selector("#main-graph canvas")
    assert page.locator("#title").inner_text().strip() == "ppca.Sampling.track_sampling"
    chosen = page.locator("#graphdisplay-navigation .active").all_inner_texts()
    assert {"nutpie-numba", "5000", "box"} <= {text.strip() for text in chosen}
    assert page.wrong == []


def test_an_old_address_of_asvs_graph_still_leads_there(page):
    page.goto("index.html#ppca.Sampling.track_wall?p-n=500")
    page.wait_for_url("**/history.html#ppca.Sampling.track_wall?p-n=500")


def test_asvs_pages_lead_back_and_sort_their_lists(page):
    page.goto("history.html#/summarylist")
    page.wait_for_selector("#summarylist-body table tbody tr")
    page.locator("#summarylist-body th").nth(1).click()
    page.get_by_role("link", name="Overview").click()
    page.wait_for_url("**/index.html")
    assert page.wrong == []


def test_nothing_moves_while_a_page_loads(page):
    page.add_init_script(
        "window.moved = 0; new PerformanceObserver(l => l.getEntries().forEach(e => window.moved += e.value))"
        ".observe({type: 'layout-shift', buffered: true})"
    )
    page.goto("index.html")
    page.wait_for_timeout(500)
    assert page.evaluate("window.moved") < 0.01


def test_in_print_there_is_ink_on_white_and_no_navigation(page):
    page.emulate_media(media="print", color_scheme="dark")
    page.goto("index.html")
    assert page.locator("header nav").is_hidden()
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(31, 35, 40)"


def test_on_paper_nothing_is_folded_and_no_table_is_cut_off(page):
    page.set_viewport_size({"width": 720, "height": 1000})  # A4 without its margins
    page.goto("compatibility.html")
    page.emulate_media(media="print")
    assert page.locator("details").count() > 100
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert width(page) <= 720
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0


# At full size: 30 releases, 10 backends, 5 models, all metrics


def test_the_first_page_of_a_large_site_is_small(tmp_path, browser):
    about = inside()
    cells = [(m, a["sizes"][0], b) for m, a in list(about["models"].items())[:5] for b in about["backends"]]
    make.build(tmp_path / "results", load_stacks()[-30:], cells)
    site = make.publish(tmp_path)
    first = [site / "index.html", *(site / "static").glob("*")]
    assert sum(len(gzip.compress(p.read_bytes())) for p in first) < 1_500_000
    page = browser.new_page()
    page.goto((site / "index.html").as_uri())
    assert page.locator("svg [aria-roledescription='bar']").count() >= 5 * 10 * 2 * 5
    # What a browser takes to draw a page goes by this; seconds would be the test machine's.
    assert page.locator("*").count() < 10_000
    page.close()


OVERLAPS = """() => [...document.querySelectorAll("figure")].flatMap(figure => {
    // The box of a slanted name is larger than its name.
    const level = [...figure.querySelectorAll("svg text:not([transform*=rotate])")];
    const texts = level.filter(t => t.getBoundingClientRect().width);
    const boxes = texts.map(t => [t.textContent, t.getBoundingClientRect()]);
    // Glyphs are smaller than their boxes: a pixel in common is none to see.
    return boxes.flatMap(([a, p], i) => boxes.slice(i + 1).filter(([b, q]) =>
        p.left < q.right - 1 && q.left < p.right - 1 && p.top < q.bottom - 3 && q.top < p.bottom - 3
    ).map(([b]) => `${a} / ${b}`));
})"""


def test_three_years_of_ten_backends_can_be_read_on_a_screen_and_on_a_phone(tmp_path, browser):
    stacks, backends = last_patches(load_stacks())[-24:], inside()["backends"]
    make.build(tmp_path / "results", stacks, [("ppca", 500, backend) for backend in backends])
    site = make.publish(tmp_path)
    page = browser.new_page()
    for path in ("index.html", "models/ppca.html"):
        page.goto((site / path).as_uri())
        for screen in (1200, 390):
            page.set_viewport_size({"width": screen, "height": 900})
            assert width(page) <= screen
            assert page.evaluate(OVERLAPS) == []
    chart = page.locator("#time_to_answer-500")
    assert chart.locator("[aria-roledescription='point']").count() == 24 * 10
    names = chart.locator("svg text").all_text_contents()
    assert set(backends) <= set(names)
    page.close()
