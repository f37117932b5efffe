"""Every page in a real browser against a real server and database; pictures go to test-output/."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import factory
import pytest

from analysis.compare import compare
from analysis.score import points
from analysis.totals import totals
from app import words
from collectors.store.door import Store

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="no chromium, chromium-browser or google-chrome on PATH"),
]

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "test-output"
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PATIENCE_MS = 120_000
# A data frame is drawn on a canvas; these are the cells it offers to screen readers.
CELLS = '[data-testid="stDataFrame"] canvas td'
ANSWERS = {
    "runs": "Best so far, prompt 3 on trn3",
    "compare": "A is the baseline",
    "rewrite": "ms of the run",
    "kernel": "The busiest engine",
}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def database(filled_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("browser") / "runs.db"
    shutil.copyfile(filled_once, path)
    return path


@pytest.fixture(scope="module")
def address(database: Path) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", "app", "--server.port", str(port)]
    command += ["--server.headless", "true", "--", "--db", str(database)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as server:
        assert server.stdout is not None
        said = ""
        for line in server.stdout:
            said += line
            if "URL:" in line:
                break
        else:
            pytest.fail(f"the server did not start: {said}")
        yield f"http://127.0.0.1:{port}"
        server.terminate()
        server.stdout.read()


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=BROWSER, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture(params=["light", "dark"])
def tab(browser: playwright.Browser, request: pytest.FixtureRequest) -> Iterator[playwright.Page]:
    """A window of 1440 × 900 in one colour scheme, which fails the test on a page error."""
    opened = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme=request.param)
    opened.set_default_timeout(PATIENCE_MS)
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.scheme = request.param
    yield opened
    opened.close()
    assert errors == []


def visit(tab: playwright.Page, address: str, page: str) -> playwright.Page:
    """Open a page, wait until it is drawn, keep its picture."""
    tab.goto(f"{address}/{page if page != 'runs' else ''}")
    tab.get_by_text(ANSWERS[page]).first.wait_for()
    tab.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    tab.locator(".js-plotly-plot .main-svg").first.wait_for()
    if page != "kernel":
        tab.locator(CELLS).first.wait_for(state="attached")
    assert tab.locator('[data-testid="stException"]').count() == 0
    PICTURES.mkdir(exist_ok=True)
    tab.screenshot(path=PICTURES / f"{page}-{tab.scheme}.png")
    return tab


def fits(tab: playwright.Page, text: str) -> bool:
    """Whether a text stands on the first screen."""
    box = tab.get_by_text(text).first.bounding_box()
    return box is not None and box["y"] + box["height"] <= 900


def test_runs_shows_the_best_points_and_the_table(tab: playwright.Page, address: str, database: Path) -> None:
    best = max(points(totals(run), run).value or 0.0 for run in Store(database).runs())
    visit(tab, address, "runs")
    assert fits(tab, ANSWERS["runs"])
    assert tab.locator(".nd .big").first.inner_text() == words.number(best)
    cells = tab.locator(CELLS).all_text_contents()
    decode = totals(Store(database).runs()[0]).decode_ns_per_token
    assert decode is not None
    assert "attempt-3" in cells
    assert any(cell.startswith(f"{decode.value / 1e6:.6f}"[:6]) for cell in cells)


def test_compare_shows_four_numbers_and_the_waterfall(
    tab: playwright.Page, address: str, database: Path
) -> None:
    runs = Store(database).runs()
    headlines = {each.key: each for each in compare(runs[-1], runs[0]).headlines}
    visit(tab, address, "compare")
    shown = tab.locator(".nd .card .big").all_inner_texts()
    four = ("decode", "ttft", "tokens_per_s", "points_final")
    assert shown[:4] == [words.number(headlines[key].candidate) for key in four]
    assert fits(tab, "decode, device")
    decode = headlines["decode"]
    assert words.number(decode.base) in tab.locator(".js-plotly-plot").first.inner_text()


def test_rewrite_next_shows_three_kernels_and_leads_to_one(tab: playwright.Page, address: str) -> None:
    visit(tab, address, "rewrite")
    cards = tab.locator(".nd .card")
    assert cards.count() == 3
    box = cards.first.bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= 900
    slot = cards.first.locator("b").inner_text()
    tab.get_by_role("link", name=f"Why {slot} is slow").first.click()
    tab.get_by_text("The busiest engine").wait_for()
    assert slot in tab.url
    assert "run=" in tab.url


def test_kernel_zooms_into_the_stretch_that_is_dragged_over(tab: playwright.Page, address: str) -> None:
    visit(tab, address, "kernel")
    assert fits(tab, ANSWERS["kernel"])
    caption = tab.get_by_text("Drag over the chart to zoom")
    before = caption.inner_text()
    chart = tab.get_by_label("Engines and DMA queues of").locator(".js-plotly-plot")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box is not None
    left, top = box["x"] + box["width"] / 2, box["y"] + box["height"] / 3
    tab.mouse.move(left, top)
    tab.mouse.down()
    tab.mouse.move(left + 80, top + 10, steps=4)
    tab.mouse.move(left + 160, top + 20, steps=4)
    tab.mouse.up()
    playwright.expect(caption).not_to_have_text(before, timeout=PATIENCE_MS)
    shown, whole = caption.inner_text().split(" of ")
    assert float(shown.split()[0]) < float(whole.split()[0])


def test_a_run_written_meanwhile_appears_by_itself(
    browser: playwright.Browser, address: str, database: Path
) -> None:
    tab = browser.new_page(viewport={"width": 1440, "height": 900})
    tab.set_default_timeout(PATIENCE_MS)
    tab.goto(address)
    tab.get_by_text(ANSWERS["runs"]).wait_for()
    Store(database).save(factory.run("just-now", tuned=True, at=factory.FIRST_DAY.replace(year=2027)))
    tab.get_by_text("New run: just-now").wait_for()
    tab.close()
