"""The widgets in JupyterLab, in a real browser: controls are moved and the picture is seen to change."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None and not os.environ.get("CI"),
        reason="no chromium is installed: apt-get install chromium",
    ),
]
SETUP = """\
import torch
from aelib import datasets, explorers, latent, models, retrieval

faces = datasets.load("drawn-faces", n=60).test
photos = faces.batch().x
torch.manual_seed(0)


class Fragile(torch.nn.Module):
    # a decoder that fails where one of its inputs is too large: what a page must survive
    def __init__(self, inner, place, limit):
        super().__init__()
        self.inner, self.place, self.limit = inner, place, limit

    def forward(self, h):
        if (h[:, self.place] > self.limit).any():
            raise RuntimeError("too far")
        return self.inner(h)


def model(k, conditions=0, place=0, limit=50.0):
    m = models.autoencoder(faces.shape, k, net="linear", posterior="deterministic", conditions=conditions)
    m.decoder = Fragile(m.decoder, place, limit)
    return m


z, v = 3 * torch.randn(len(faces), 4), 4 * torch.ones(4)
"""
CELLS = {
    "attributes": """\
directions = {"one": v, "two": -3 * v, "broken": 100 * v}
explorers.attributes(model(4), z, photos, directions)""",
    "latent_space": """\
directions = {"Partially Visible Forehead": v, "broken": 100 * v}
explorers.latent_space(model(4), z, photos, directions)""",
    "interpolation": """\
explorers.interpolation(model(4), torch.cat([z[:-1], 1000 * torch.ones(1, 4)]), photos)""",
    "manifold": """\
import mapping

codes = torch.rand(200, 2) * 100
mapping.manifold(model(2, limit=90.0), codes, ["low" if y < 50 else "high" for _, y in codes])""",
    "classes": """\
c = torch.eye(3)[torch.arange(len(faces)) % 2]
explorers.conditional(model(4, 3, -1, 0.5), z, photos, c, ["first", "second", "broken"])""",
    "boxes": """\
c = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]])[torch.arange(len(faces)) % 2]
explorers.conditional(model(4, 3, -1, 0.5), z, photos, c, ["Mouth Slightly Open", "hat", "broken"])""",
    "reconstructions": """\
one = latent.encode(m := model(1), faces)[:, 0]
m.decoder.limit = one.sort().values[-2:].mean()
explorers.reconstructions({"of four numbers": model(4), "of one": m}, faces[one.argsort().numpy()])""",
    "denoising": """\
import restoring


def broken(strength):
    raise RuntimeError("too far")


kinds = {"noise": datasets.noisy, "hole": datasets.occluded, "broken": broken}
restoring.denoising({"untrained": restoring.restorer(faces.shape[0])}, faces, kinds)""",
    "search": """\
import searching

directions = {"one": torch.tensor([9.0, -9.0, 9.0, -9.0]), "broken": torch.ones(3)}
searching.search(retrieval.Index(z), z, faces, directions)""",
    "links": """\
import linking
from aelib import distributions, graphs


class Degrees(torch.nn.Module):
    def forward(self, graph):
        return distributions.Delta(torch.cat([-graph.degrees[:, None].float(), graph.features], 1))


graph = graphs.neighbours(torch.rand(40, 3), 3)
alone_is_broken = models.Autoencoder(Degrees(), Fragile(graphs.InnerProduct(), 0, -0.5))
linking.links(alone_is_broken, graph, torch.rand(40, 2))""",
}

# by JupyterLab's own command: it waits for the kernel, and needs no focus as keys do
RUN_ALL = """async () => {
    const end = new Promise(done => setTimeout(done, 240_000, "not done in four minutes"));
    const run = async () => {
        await jupyterapp.shell.currentWidget.sessionContext.ready;
        return await jupyterapp.commands.execute("notebook:run-all-cells");
    };
    return await Promise.race([run(), end]);
}"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab on a page with a cell for each explorer; yields the page's address."""
    assert CHROMIUM, "no chromium is installed, and where CI is set no test of the widgets may be left out"
    folder = tmp_path_factory.mktemp("lab")
    cells = [nbformat.v4.new_code_cell(source) for source in (SETUP, *CELLS.values())]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "page.ipynb")
    # cells out of sight stay in the page, and nobody asks about news
    setting(folder, "notebook-extension/tracker", '{"windowingMode": "none"}')
    setting(folder, "apputils-extension/notification", '{"fetchNews": "false"}')
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    token = secrets.token_hex()
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}"]
    command += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}", "--port-retries=0"]
    command += ["--LabApp.expose_app_in_browser=True"]
    env = os.environ | {
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "PYTHONPATH": os.pathsep.join(sys.path),  # what lies beside the pages too
    }
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=2)
                break
            except OSError:
                assert server.poll() is None, (folder / "log").read_text()
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/lab/tree/page.ipynb?token={token}"
    finally:
        server.terminate()
        server.wait(20)


def setting(folder: Path, of: str, value: str) -> None:
    file = folder / "settings" / "@jupyterlab" / f"{of}.jupyterlab-settings"
    file.parent.mkdir(parents=True)
    file.write_text(value)


@pytest.fixture(scope="module")
def page(lab):
    from playwright.sync_api import Error, sync_playwright

    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=quiet)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        for last_try in (False, True):  # JupyterLab itself may fail to start a page on a busy machine
            try:
                executed(page, lab)
                break
            except (Error, AssertionError) as error:
                if last_try:
                    shown = page.locator("body").inner_text()[-3000:]
                    raise AssertionError(f"the page was not executed: {error}\nIt shows:\n{shown}") from error
        yield page
        browser.close()


def executed(page, lab) -> None:
    """Open the page, run every cell and wait for the last picture."""
    page.goto(lab)
    page.locator(".jp-Notebook .jp-CodeCell .cm-content").first.wait_for(timeout=120_000)
    ended = page.evaluate(RUN_ALL)
    assert ended is True, ended
    last = page.locator(".jp-Notebook .jp-CodeCell").last
    last.locator(".jupyter-widgets.widget-image").last.wait_for(timeout=60_000)


class Cell:
    """What one can do in the cell of an explorer, by keyboard."""

    def __init__(self, page, name):
        self.page = page
        self.at = page.locator(".jp-Notebook .jp-CodeCell").nth(1 + list(CELLS).index(name))

    def picture(self, k=1, expected=lambda now: True):
        """The pixels of the k-th image, as the screen shows them, at rest and as expected, within 30 s.

        At rest also means that the kernel has nothing left to do: a slider's last step may still be waiting.
        """
        before, until = None, time.monotonic() + 30
        while time.monotonic() < until:
            self.page.wait_for_timeout(150)
            idle = self.page.locator(".jp-Notebook-ExecutionIndicator").first.get_attribute("data-status")
            now = (
                self.at.locator(".jupyter-widgets.widget-image").nth(k).screenshot()
                if idle == "idle"
                else None
            )
            if now is not None and now == before and expected(now):
                return now
            before = now
        raise AssertionError(f"picture {k} never came to rest at what was expected")

    def other_than(self, old, k=1):
        """The picture, once it is another."""
        return self.picture(k, lambda now: now != old)

    def back_to(self, old, k=1):
        """Wait until the picture is this one again."""
        self.picture(k, lambda now: now == old)

    def slide(self, k, key, times=3):
        handle = self.at.locator(".noUi-handle").nth(k)
        handle.focus()
        for _ in range(times):
            handle.press(key)

    def push(self, text):
        self.at.locator(f"button:has-text('{text}')").press("Enter")

    def tick(self, k):
        self.at.locator("input[type=checkbox]").nth(k).press("Space")

    def choose(self, text):
        self.at.locator("select").select_option(text)

    def says(self, text):
        self.at.locator(".widget-html-content b", has_text=text).wait_for(timeout=10_000)

    def says_nothing(self):
        self.at.locator(".widget-html-content b").wait_for(state="detached", timeout=10_000)


# name: move, bring back, break, mend
HANDS = {
    "attributes": (
        lambda c: c.slide(1, "ArrowRight", 8),
        lambda c: c.push("reset"),
        lambda c: (c.choose("broken"), c.slide(1, "End", 1)),
        lambda c: (c.choose("two"), c.push("reset")),
    ),
    "latent_space": (
        lambda c: c.slide(0, "ArrowRight", 8),
        lambda c: c.push("reset"),
        lambda c: c.slide(-1, "End", 1),
        lambda c: c.push("reset"),
    ),
    "interpolation": (
        lambda c: c.slide(2, "ArrowRight", 8),
        lambda c: c.slide(2, "ArrowLeft", 8),
        lambda c: c.slide(1, "End", 1),
        lambda c: (c.slide(1, "Home", 1), c.slide(1, "ArrowRight", 1)),
    ),
    "manifold": (
        lambda c: c.slide(1, "ArrowRight", 8),
        lambda c: c.push("reset"),
        lambda c: c.slide(0, "End", 1),
        lambda c: c.push("reset"),
    ),
    "classes": (
        lambda c: c.choose("second"),
        lambda c: c.push("reset"),
        lambda c: c.choose("broken"),
        lambda c: c.push("reset"),
    ),
    "boxes": (
        lambda c: c.tick(0),
        lambda c: c.push("reset"),
        lambda c: c.tick(2),
        lambda c: c.push("reset"),
    ),
    "reconstructions": (
        lambda c: c.push("next"),
        lambda c: c.push("previous"),
        lambda c: c.slide(0, "End", 1),
        lambda c: c.slide(0, "Home", 1),
    ),
    "denoising": (
        lambda c: c.slide(1, "ArrowRight", 8),
        lambda c: c.slide(1, "ArrowLeft", 8),
        lambda c: c.choose("broken"),
        lambda c: c.choose("noise"),
    ),
    "search": (
        lambda c: c.slide(1, "ArrowRight", 8),
        lambda c: c.push("reset"),
        lambda c: c.choose("broken"),
        lambda c: (c.choose("one"), c.push("reset")),
    ),
    "links": (
        lambda c: c.slide(1, "ArrowLeft", 1),
        lambda c: c.push("reset"),
        lambda c: c.push("words only"),
        lambda c: c.push("reset"),
    ),
}
CHANGES = {"reconstructions": 2}  # image 1 is the input, which is shown only where it is not the photo


@pytest.mark.parametrize("name", CELLS)
def test_it_moves_by_keyboard_comes_back_and_goes_on_after_an_error(page, name):
    cell, (move, back, spoil, mend), k = Cell(page, name), HANDS[name], CHANGES.get(name, 1)
    start = cell.picture(k)
    move(cell)
    cell.other_than(start, k)
    back(cell)
    cell.back_to(start, k)
    spoil(cell)
    cell.says("RuntimeError")
    mend(cell)
    cell.says_nothing()
    cell.back_to(start, k)
    move(cell)
    cell.other_than(start, k)


def test_another_face_changes_both_pictures(page):
    cell = Cell(page, "attributes")
    photo, decoded = cell.picture(0), cell.picture(1)
    cell.slide(0, "ArrowRight", 2)
    cell.other_than(photo, 0)
    cell.other_than(decoded, 1)


def test_random_goes_to_another_code_each_time_and_moves_the_sliders(page):
    cell = Cell(page, "latent_space")
    cell.push("reset")
    cell.at.locator(".widget-readout", has_text="+0.8").wait_for(state="detached")
    mean = cell.picture(0)
    cell.push("random")
    first = cell.other_than(mean, 0)
    assert {t.strip() for t in cell.at.locator(".widget-readout").all_inner_texts()} != {"+0.0"}
    cell.push("random")
    cell.picture(0, lambda now: now not in (mean, first))
    cell.push("reset")
    cell.back_to(mean, 0)


def test_the_kind_of_way_matters(page):
    cell = Cell(page, "interpolation")
    line = cell.picture()
    cell.choose("spherical")
    cell.other_than(line)


def test_a_place_is_marked_on_the_map(page):
    cell = Cell(page, "manifold")
    before = cell.picture(0)
    cell.slide(0, "ArrowLeft", 5)
    cell.other_than(before, 0)


def test_differences_are_shown_on_request(page):
    cell = Cell(page, "reconstructions")
    image = cell.at.locator(".widget-image").nth(2)
    alone, height = cell.picture(2), image.bounding_box()["height"]
    cell.tick(0)
    cell.other_than(alone, 2)
    assert image.bounding_box()["height"] > 1.9 * height


def test_tab_leads_through_the_controls_in_the_order_of_the_page(page):
    cell = Cell(page, "latent_space")
    cell.at.locator("button:has-text('random')").focus()
    stops = []
    for _ in range(4):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("document.activeElement.className + document.activeElement.textContent"))
    assert "reset" in stops[0] and "noUi-handle" in stops[1] and "noUi-handle" in stops[3]


def test_no_description_is_cut_off(page):
    cut = "e => e.filter(e => e.scrollWidth > e.clientWidth).map(e => e.textContent)"
    labels = page.locator(
        ".jupyter-widgets .widget-label, .widget-label-basic, .widget-readout, .widget-button"
    )
    assert labels.count() > 30 and labels.evaluate_all(cut) == []


def test_a_key_is_the_control_s_and_with_shift_jupyterlab_s(page):
    cell = Cell(page, "classes")
    box, selected = cell.at.locator("select"), page.locator(".jp-Notebook .jp-Cell.jp-mod-selected")
    box.select_option("first")
    box.press("ArrowDown")
    assert box.input_value() == "second" and box.evaluate("box => box === document.activeElement")
    box.press("m")  # which makes a cell Markdown
    assert page.locator(".jp-Notebook .jp-MarkdownCell").count() == 0 and selected.count() == 1
    box.press("Shift+ArrowUp")
    page.wait_for_function("document.querySelectorAll('.jp-Cell.jp-mod-selected').length === 2")


def test_an_explorer_says_that_the_kernel_is_busy(page):
    word = Cell(page, "boxes").at.locator(".aelib-busy")
    assert not word.is_visible()
    code = "jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestExecute({code: '%s'}); 0"
    page.evaluate(code % "import time; time.sleep(4)")
    word.wait_for(state="visible", timeout=20_000)
    word.wait_for(state="hidden", timeout=20_000)
