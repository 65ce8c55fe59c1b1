"""The page in Debian's Chromium, by keys alone: every decision outlives a server that is killed."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

pytest.importorskip("starlette")
pytest.importorskip("playwright")

import reviewing

CHROMIUM = Path("/usr/bin/chromium")
if not CHROMIUM.exists():
    pytest.skip("there is no /usr/bin/chromium", allow_module_level=True)

WAIT_MS = 30_000
FIRST, SECOND = "micro-face0@10-20", "micro-face0@30-40"
#: SHA-256 of the RGB bytes that the canvas shows.
HASH = """async () => {
  const canvas = document.getElementById("picture");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const rgb = new Uint8Array((data.length / 4) * 3);
  for (let i = 0, j = 0; i < data.length; i += 4) {
    rgb[j++] = data[i]; rgb[j++] = data[i + 1]; rgb[j++] = data[i + 2];
  }
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", rgb));
  return Array.from(hash, (one) => one.toString(16).padStart(2, "0")).join("");
}"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    video = reviewing.write_counting(folder / "talk.mp4")
    return video, reviewing.write_results(folder / "results" / "talk", video)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        yield opened
        opened.close()


@pytest.fixture
def serve(made, tmp_path):
    """Start ``ma2mi review`` of a copy of the results, as often as is asked for."""
    results = tmp_path / "talk"
    shutil.copytree(made[1], results)
    started = []

    def start(*words):
        process, address = reviewing.start_server(*(words or (results, "--coder", "anna")))
        started.append(process)
        return process, address

    start.results = results
    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def standing(made, tmp_path_factory):
    """The address of a server of several copies of the results, one a test."""
    folder = tmp_path_factory.mktemp("standing")
    numbers = iter(range(8))
    for number in range(8):
        shutil.copytree(made[1], folder / f"{number}")
    process, address = reviewing.start_server(folder, "--coder", "anna")

    def next_address():
        return f"{address}#{next(numbers)}"

    next_address.pid = process.pid
    yield next_address
    process.kill()
    process.wait()
    process.stdout.close()


class Page:
    """A tab, and what was wrong in it."""

    def __init__(self, browser, address, **options):
        options = {"viewport": {"width": 1280, "height": 900}, **options}
        self.tab = browser.new_context(**options).new_page()
        self.tab.set_default_timeout(WAIT_MS)
        self.errors = []
        self.tab.on("pageerror", lambda error: self.errors.append(str(error)))
        self.tab.on("console", lambda line: line.type == "error" and self.errors.append(line.text))
        self.tab.goto(address)
        self.shows(0)

    def shows(self, frame):
        self.tab.wait_for_selector(f'#picture[data-frame="{frame}"]')

    def press(self, *keys):
        for key in keys:
            self.tab.keyboard.press(key)

    def saved(self):
        self.tab.wait_for_selector('#saved[data-status="saved"]')

    def has(self, text, where="#panel"):
        self.tab.locator(where, has_text=text).first.wait_for()

    def hash(self):
        return self.tab.evaluate(HASH)

    def close(self):
        self.tab.context.close()


def test_frames_shown_are_those_that_pyav_decodes(browser, standing, made):
    address = standing()
    page = Page(browser, address)
    page.press("?")
    page.tab.check("#exact")
    page.press("Escape")
    truth = [hashlib.sha256(image.tobytes()).hexdigest() for image in reviewing.decoded(made[0])]
    for frame in range(1, 51):
        page.press(".")
        page.shows(frame)
        assert page.hash() == truth[frame], frame
    for frame in (49, 48):
        page.press(",")
        page.shows(frame)
        assert page.hash() == truth[frame], frame
    page.press("PageDown")
    page.shows(53)
    page.press("PageUp", "PageUp")
    page.shows(43)
    page.press("End")
    page.shows(89)
    assert page.hash() == truth[89]
    page.has("frame 89 of 89 · 2.967 s", "#place")
    assert not page.errors
    page.close()


def test_by_keys_alone_and_nothing_is_lost(browser, serve):
    process, address = serve()
    page = Page(browser, address)
    page.press("Tab")  # the most doubtful one: 0.52 at a threshold of 0.5
    page.shows(30)
    page.has("Event 2: micro")
    page.has("The recognizer abstains")
    page.press("]", "]", "'", "{")  # onset 32, offset 41, apex 32
    page.press("a", "2")
    page.press("Tab")
    page.has("Event 1: micro")
    page.press("r")
    page.press("Home", ".", ".", "n")  # an event at frame 2, two frames long
    page.press(".", ".", ")")
    page.has("Added event +1")
    page.press("u", "Control+z")
    page.press("End", "x", ",", ",", "x")
    page.press("e")
    page.tab.keyboard.type("12 lip corner puller")
    page.press("Enter", "Escape", "i")
    page.tab.keyboard.type("at the very start")
    page.press("Escape")
    page.saved()
    before = page.tab.evaluate("(p) => fetch(p).then((a) => a.json())", "/api/video/0/decisions")
    assert not page.errors
    page.close()
    process.kill()
    process.wait()

    _, address = serve()
    page = Page(browser, address)
    state = page.tab.evaluate("(p) => fetch(p).then((a) => a.json())", "/api/video/0/decisions")
    assert state == before
    one = state["decisions"][SECOND]
    assert (one["verdict"], one["label"]) == ("accept", "positive")
    assert (one["onset"], one["apex"], one["offset"]) == (32, 32, 41)
    assert state["decisions"][FIRST]["verdict"] == "reject"
    (added,) = (one for one in state["decisions"].values() if one["added"])
    assert (added["onset"], added["offset"], added["verdict"]) == (2, 4, "accept")
    assert (added["units"], added["note"]) == (["12"], "at the very start")
    assert [(r["onset"], r["offset"]) for r in state["ranges"]] == [(87, 89)]
    page.has("3 of 4 decided", "#progress")
    page.press("Control+z")  # of the session before: the end of the note, saved as it was written
    page.saved()
    state = page.tab.evaluate("(p) => fetch(p).then((a) => a.json())", "/api/video/0/decisions")
    assert all(one["note"] != "at the very start" for one in state["decisions"].values())
    page.close()


def test_a_second_coder_does_not_see_the_first(browser, serve):
    _, address = serve()
    page = Page(browser, address)
    page.press("Tab", "a")
    page.saved()
    page.close()
    _, address = serve(serve.results, "--coder", "ben")
    page = Page(browser, address)
    page.has("0 of 3 decided", "#progress")
    page.close()


def test_two_tabs_of_one_coder_agree(browser, standing):
    address = standing()
    first, second = Page(browser, address), Page(browser, address)
    first.press("Tab", "a")
    second.has("1 of 3 decided", "#progress")
    second.press("Tab")
    second.has("Event 1: micro")  # the other one is decided
    second.press("r")
    first.has("2 of 3 decided", "#progress")
    first.close()
    second.close()


def test_decisions_wait_for_a_server_that_is_gone(browser, serve):
    process, address = serve()
    page = Page(browser, address)
    process.kill()
    process.wait()
    page.press("Tab", "a")
    page.has("not saved", "#problem")
    page.close()


def test_views_play_and_help(browser, standing):
    address = standing()
    page = Page(browser, address)
    page.press("Tab", "z")
    page.tab.wait_for_selector('#picture[width="105"]')
    page.has("resolution", "#caption")
    page.press("z", "b")
    page.shows(33)  # the apex
    page.shows(30)
    page.press("b", "l")
    page.shows(40)
    page.shows(31)
    page.press("l", ">", "Space")
    page.has("1.5×", "#speed")
    page.tab.wait_for_selector('#picture:not([data-frame^="3"]):not([data-frame^="4"])')
    page.press("Space")
    page.press("f")  # there is no face in a test pattern, and the page says so
    page.has("no face is found", "#problem")
    page.close()


def test_no_socket_but_the_loopback_one(browser, standing):
    psutil = pytest.importorskip("psutil")
    page = Page(browser, standing())
    process = psutil.Process(standing.pid)
    sockets = [*process.net_connections("inet")]
    assert [one.status for one in sockets].count(psutil.CONN_LISTEN) == 1
    for one in sockets:
        assert one.laddr.ip == "127.0.0.1" and (not one.raddr or one.raddr.ip == "127.0.0.1")
    asked = page.tab.evaluate("performance.getEntriesByType('resource').map((one) => one.name)")
    assert len(asked) > 10
    assert all(name.startswith("http://127.0.0.1:") for name in asked)
    page.close()


def test_a_key_is_changed_and_stays(browser, serve, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    _, address = serve()
    page = Page(browser, address)
    page.press("?")
    page.tab.click('[data-action="accept"]')
    page.press("y", "Escape")
    page.press("Tab", "y")
    page.has("1 of 3 decided", "#progress")
    page.close()
    _, address = serve()
    page = Page(browser, address)
    page.press("Tab")
    page.has("y", ".verdicts")
    page.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_nothing_runs_out_of_the_window(browser, standing, width, scheme):
    address = standing()
    size = {"width": width, "height": 844}
    page = Page(browser, address, viewport=size, color_scheme=scheme)
    page.press("Tab")
    page.has("Event 2")
    assert page.tab.evaluate("document.documentElement.scrollWidth") <= width
    unnamed = page.tab.evaluate(
        """() => [...document.querySelectorAll("button, select, input, textarea, canvas")]
        .filter((one) => !(one.innerText || one.getAttribute("aria-label") || one.labels?.length
          || one.title)).map((one) => one.outerHTML)"""
    )
    assert not unnamed
    assert not page.errors
    page.close()


def test_the_mouse_does_it_too(browser, standing):
    address = standing()
    page = Page(browser, address)
    page.tab.click("#events button >> nth=0")
    page.shows(30)
    page.tab.click('[data-verdict="unsure"]')
    page.has("1 of 3 decided", "#progress")
    page.tab.click("#undo")
    page.has("0 of 3 decided", "#progress")
    page.press("Tab")  # a click leaves the keys where they act
    page.has("Event 1: micro")
    page.tab.hover("#lanes", position={"x": 700, "y": 100})
    box = page.tab.locator("#lanes").bounding_box()
    assert box is not None
    x = 112 + (54 / 89) * (box["width"] - 120)  # the candidate below the threshold
    page.tab.hover("#lanes", position={"x": x, "y": 100})
    page.has("score 0.10 below 0.50", "#hover")
    page.close()
