"""The widgets in JupyterLab, in a real browser: controls are moved and the picture is seen to change."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest

CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed: apt-get install chromium"),
]
PAGE = """\
import torch
from aelib import datasets, explorers, latent, models
faces = datasets.load("drawn-faces", n=60).test
torch.manual_seed(0)
model = models.autoencoder(faces.shape, 8, net="linear", posterior="deterministic")
z = latent.encode(model, faces)
directions = {"one": torch.ones(8), "two": -3 * torch.ones(8), "broken": torch.ones(3)}
explorers.attributes(model, z, faces.batch().x, directions, strength=4.0)
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab on a page with one cell; yields the page's address."""
    folder = tmp_path_factory.mktemp("lab")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(PAGE)])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "page.ipynb")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    token = secrets.token_hex()
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}"]
    command += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}", "--port-retries=0"]
    env = os.environ | {
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "s"),
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


@pytest.fixture(scope="module")
def page(lab):
    from playwright.sync_api import sync_playwright

    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=quiet)
        page = browser.new_page(viewport={"width": 1200, "height": 1000})
        page.goto(lab)
        page.locator(".jp-Notebook .jp-CodeCell .cm-content").first.click(timeout=90_000)
        # the kernel must be there before the cell is run
        page.locator("text=Python 3").first.wait_for(timeout=60_000)
        page.keyboard.press("Shift+Enter")
        page.locator(".jupyter-widgets.widget-image").nth(1).wait_for(timeout=120_000)
        yield page
        browser.close()


def picture(page, k=1):
    """The pixels of the k-th image of the widget, as the screen shows them, when they have come to rest."""
    before = None
    for _ in range(50):
        page.wait_for_timeout(150)
        now = page.locator(".jupyter-widgets.widget-image").nth(k).screenshot()
        if now == before:
            return now
        before = now
    raise AssertionError("the picture never came to rest")


def slide(page, k, key, times=3):
    handle = page.locator(".noUi-handle").nth(k)
    handle.focus()
    for _ in range(times):
        handle.press(key)


def test_the_slider_moves_the_picture_by_keyboard_and_reset_brings_it_back(page):
    start = picture(page)
    slide(page, 1, "ArrowRight", 8)
    moved = picture(page)
    assert moved != start
    slide(page, 1, "ArrowLeft", 16)
    assert picture(page) not in (start, moved)
    page.locator("button:has-text('reset')").click()
    assert picture(page) == start


def test_another_face_changes_both_pictures(page):
    photo, decoded = picture(page, 0), picture(page, 1)
    slide(page, 0, "ArrowRight", 2)
    assert picture(page, 0) != photo and picture(page, 1) != decoded


def test_it_goes_on_after_an_error(page):
    choose = page.locator(".jupyter-widgets select")
    choose.select_option("broken")
    page.locator("text=RuntimeError").first.wait_for(timeout=10_000)
    choose.select_option("two")
    page.locator("text=RuntimeError").wait_for(state="detached", timeout=10_000)
    slide(page, 1, "ArrowRight", 5)
    one = picture(page)
    choose.select_option("one")
    assert picture(page) != one
