"""The web site in a real browser, with a static server and no network; `make site` builds it."""

import functools
import http.server
import json
import os
import threading
from pathlib import Path

import exploring
import framing
import mapping
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from test_browser import CHROMIUM
from test_exploring import kept_at

from aelib import contexts, datasets, explorers, latent, load, models, plots
from aelib.explorers.widgets import Panel

HERE = Path(__file__).parent.parent
VIEWER = HERE / "aelib" / "explorers"
SITE, MODULES = HERE / "build" / "site", HERE / "materials" / "site" / "node_modules"
pytestmark = [
    pytest.mark.site,
    pytest.mark.browser,
    pytest.mark.skipif(not (SITE / "index.html").is_file(), reason="there is no site: make site"),
    pytest.mark.skipif(CHROMIUM is None and not os.environ.get("CI"), reason="no chromium is installed"),
]
PAGES = [
    "README.html", "notebooks/00_start_here.html", "notebooks/03_latent_space.html",
    "materials/glossary.html", "materials/site/reference/models.html",
]  # fmt: skip
LEVELS = 2  # of 255, by which a picture of the browser may differ from Python's
PIXELS = """canvas => {
    const { width, height } = canvas;
    return [height, width, ...canvas.getContext("2d").getImageData(0, 0, width, height).data];
}"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A static server, as any would do."""

    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}  # noqa: RUF012

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=quiet)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address):
    """A page that may ask this server alone; what else it asks for is in `page.elsewhere`."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.elsewhere, page.asked = [], []

    def ask(route):
        if route.request.url.startswith((address, "data:", "blob:")):
            page.asked.append(route.request.url)
            route.continue_()
        else:
            page.elsewhere.append(route.request.url)
            route.abort()

    page.route("**/*", ask)
    yield page
    assert page.elsewhere == []
    page.close()


class Explorer:
    """The k-th explorer of a page, that one moves and looks at; of those that are on the site."""

    def __init__(self, page, address, name, k=0):
        page.goto(f"{address}notebooks/{name}.html")
        self.page, self.at = page, page.locator(".explorer[data-explorer]").nth(k)
        self.look()

    @classmethod
    def kept(cls, page, address, file):
        """Of a model that its page trains, by the file's name."""
        (html,) = SITE.glob(f"notebooks/{file.stem.partition('-')[0]}_*.html")
        page.goto(f"{address}notebooks/{html.name}")
        it = cls.__new__(cls)
        it.page, it.at = page, page.locator(f'.explorer[data-explorer$="/{file.name}"]')
        it.look()
        return it

    def look(self):
        """Wait until it is there, and read what it reads."""
        page = self.page
        self.at.scroll_into_view_if_needed()
        page.wait_for_function("at => at.dataset.drawn !== undefined", arg=self.at.element_handle())
        file = self.at.get_attribute("data-explorer").removeprefix("../")
        self.of = load_file(SITE / file)
        with safe_open(SITE / file, "np") as opened:
            self.words = json.loads(opened.metadata()["words"])

    def picture(self, title):
        """(H, W, 3) what stands under this title."""
        canvas = self.at.locator(f"figure:has(figcaption:text-matches('^{title}')) canvas")
        height, width, *data = canvas.evaluate(PIXELS)
        return np.array(data, np.uint8).reshape(height, width, 4)[..., :3]

    def moved(self, act):
        """Do this, and wait until the last picture is drawn."""
        before = int(self.at.get_attribute("data-drawn"))
        act()
        done = "([at, before]) => Number(at.dataset.drawn) > before && at.ariaBusy === 'false'"
        self.page.wait_for_function(done, arg=[self.at.element_handle(), before], timeout=60_000)
        assert self.at.locator("[role=status]").inner_text() == ""

    def control(self, label):
        return self.at.locator(f'[aria-label="{label}"]:not(canvas)')

    def slide(self, label, value):
        """By the keyboard: a control of the page's own is focused, and its arrows are pressed."""
        slider = self.control(label)
        low, step = (float(slider.get_attribute(name)) for name in ("min", "step"))
        now = float(slider.input_value())
        slider.focus()
        for _ in range(round(abs(value - now) / step)):
            slider.press("ArrowRight" if value > now else "ArrowLeft")
        assert float(slider.input_value()) == pytest.approx(value, abs=step / 2), low


def alone(page):
    """The explorer of a page that has no other and is open."""
    it = object.__new__(Explorer)
    it.page, it.at = page, page.locator(".explorer")
    page.wait_for_function("at => at.dataset.drawn !== undefined", arg=it.at.element_handle())
    return it


def same(shown, tensor):
    """Whether what the browser shows is what Python decodes, (1, C, H, W)."""
    return apart(shown, plots.pixels(tensor)[0]) <= LEVELS


def apart(a, b):
    """The largest difference of two pictures, in levels of 255."""
    return np.abs(a.astype(int) - b.astype(int)).max()


def decode(name, z, c=None):
    return latent.decode(load(f"pretrained/{name}", device="cpu"), z, c)


@pytest.mark.slow
def test_a_smile_is_put_on_by_keyboard_and_by_mouse(page, address):
    it = Explorer(page, address, "00_start_here")
    codes, directions = it.of["codes"], it.of["directions"]
    assert not [url for url in page.asked if "ort" in url or url.endswith(".onnx")], "nothing before a touch"
    assert same(it.picture("decoded"), decode("vae-lfw", codes[:1]))
    it.moved(lambda: it.slide("face", 2))
    it.moved(lambda: it.slide("strength", 1.2))
    assert same(it.picture("decoded"), decode("vae-lfw", codes[2:3] + 1.2 * directions[0]))
    assert same(it.picture("original"), decode("vae-lfw", codes[2:3]))
    it.moved(lambda: it.control("attribute").select_option(index=1))
    k = int(it.control("attribute").input_value())
    assert same(it.picture("decoded"), decode("vae-lfw", codes[2:3] + 1.2 * directions[k]))
    box = it.control("strength").bounding_box()
    it.moved(lambda: page.mouse.click(box["x"] + box["width"] - 2, box["y"] + box["height"] / 2))
    strength = float(it.control("strength").input_value())
    assert strength > 2.5
    assert same(it.picture("decoded"), decode("vae-lfw", codes[2:3] + strength * directions[k]))
    it.moved(lambda: it.at.get_by_role("button", name="reset").press("Enter"))
    assert same(it.picture("decoded"), decode("vae-lfw", codes[2:3]))
    shown = it.control("attribute").locator("option").count()
    it.moved(lambda: it.control("hardly drawn too").press("Space"))
    assert it.control("attribute").locator("option").count() == len(directions) > shown


@pytest.mark.slow
def test_a_plain_autoencoder_moves_too(page, address):
    it = Explorer(page, address, "01_vanilla_autoencoder")
    it.moved(lambda: it.slide("strength", -0.5))
    expected = decode("ae-lfw", it.of["codes"][:1] - 0.5 * it.of["directions"][0])
    assert same(it.picture("decoded"), expected)


@pytest.mark.slow
def test_one_goes_from_one_person_to_another(page, address):
    it = Explorer(page, address, "03_latent_space", 1)
    codes = it.of["codes"]
    it.moved(lambda: it.slide("B", 3))
    it.moved(lambda: it.slide("t", 0.4))
    for kind in ("spherical", "linear"):
        it.moved(lambda kind=kind: it.control("way").select_option(kind))
        z = latent.interpolate(codes[0], codes[3], [0.4], kind)
        assert same(it.picture("decoded"), decode("vae-lfw", z)), kind
    assert (it.picture("B") == it.of["photos"][3].numpy()).all()


@pytest.mark.slow
def test_a_code_is_moved_along_axes_and_the_nearest_person_is_shown(page, address):
    it = Explorer(page, address, "03_latent_space", 2)
    mean, axes, codes = it.of["start"], it.of["axes"], it.of["codes"]
    names = it.at.locator("label > span").all_inner_texts()
    it.moved(lambda: it.slide(names[0], 0.7))
    it.moved(lambda: it.slide("Smiling", -0.4))
    z = mean + 0.7 * axes[0] - 0.4 * axes[names.index("Smiling")]
    assert same(it.picture("decoded"), decode("vae-lfw", z))
    nearest = int(latent.nearest(codes, z))
    assert (it.picture(f"nearest photo: {nearest}") == it.of["photos"][nearest].numpy()).all()
    for seed in (0, 1):
        it.moved(lambda: it.at.get_by_role("button", name="random").click())
        assert same(it.picture("decoded"), decode("vae-lfw", it.of["random"][seed : seed + 1]))
    it.moved(lambda: it.at.get_by_role("button", name="reset").click())
    assert same(it.picture("decoded"), decode("vae-lfw", mean))


@pytest.mark.slow
def test_another_condition_is_asked_for(page, address):
    it = Explorer(page, address, "04_conditional_vae", 1)
    z, c = it.of["codes"], it.of["conditions"].clone()
    it.moved(lambda: it.slide("photo", 1))
    assert same(it.picture("decoded"), decode("cvae-lfw", z[1:2], c[1:2]))
    box = it.control("Smiling")
    assert box.is_checked() == (c[1, 0] == 1)
    it.moved(lambda: box.press("Space"))
    it.moved(lambda: it.slide("strength", 2.0))
    c[1, 0] *= -2
    assert same(it.picture("decoded"), decode("cvae-lfw", z[1:2], c[1:2]))
    it.moved(lambda: it.slide("photo", 2))
    assert same(it.picture("decoded"), decode("cvae-lfw", z[2:3], c[2:3])), "the photo's own condition"


KEPT = sorted(exploring.FOLDER.glob("*-*.onnx"))


@pytest.mark.slow
@pytest.mark.parametrize("file", KEPT, ids=lambda file: file.stem)
def test_what_a_page_trained_moves_as_in_python(page, address, file):
    it = Explorer.kept(page, address, file.with_suffix(".safetensors"))
    assert not [url for url in page.asked if url.endswith(".onnx")], "no model before a touch"
    assert apart(it.picture("decoded"), it.of["first"][0].numpy()) == 0

    def by_keyboard(position):
        for label, value in position.items():
            if isinstance(value, str):
                it.control(label).select_option(label=value)
            else:
                it.slide(label, value)

    for position, seen in zip(it.words["witnesses"], it.of["witnessed"].numpy(), strict=True):
        it.moved(lambda position=position: by_keyboard(position))
        assert apart(it.picture("decoded"), seen) <= LEVELS, position
    before, slider = it.picture("decoded"), it.at.locator("input[type=range]").first
    it.moved(lambda: slider.click(position={"x": 0.5 * slider.bounding_box()["width"], "y": 5}))
    assert apart(it.picture("decoded"), before) > LEVELS


FRAMES = sorted(f for f in exploring.FOLDER.glob("*.safetensors") if not f.with_suffix(".onnx").exists())


@pytest.mark.slow
@pytest.mark.parametrize("file", FRAMES, ids=lambda file: file.stem)
def test_what_a_page_kept_is_shown_as_in_python(page, address, file):
    it = Explorer.kept(page, address, file)

    def equal(key):
        figures = it.at.locator("figure:visible").all()
        panels = [panel for panel in kept_at(file, key) if panel]
        for figure, panel in zip(figures, panels, strict=True):
            height, width, *data = figure.locator("canvas").evaluate(PIXELS)
            shown = np.array(data, np.uint8).reshape(height, width, 4)[..., :3]
            assert (shown == panel["picture"]).all() and panel["title"] in figure.inner_text()
            assert panel.get("text", "") in figure.inner_text()

    def by_keyboard(key):
        for about, i in zip(it.words["controls"], key, strict=True):
            if about["kind"] == "button":  # it goes round
                for _ in range(i):
                    it.at.get_by_role("button", name=about["name"]).press("Enter")
            elif about["kind"] == "box":
                it.control(about["name"]).set_checked(bool(i))
            else:
                it.slide(about["name"], i)

    equal(it.words["start"])
    keys = [tuple(map(int, key.split(","))) for key in it.words["frames"]]
    for key in np.random.default_rng(0).permutation(keys)[:3].tolist():
        page.reload()
        it.look()
        it.moved(lambda key=key: by_keyboard(key))
        equal(key)
    slider = it.at.locator("input[type=range]").first
    before = slider.input_value()
    end = slider.bounding_box()["width"] - 2 if before == "0" else 2
    it.moved(lambda: slider.click(position={"x": end, "y": 5}))
    assert slider.input_value() != before


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_stands_in_anybodys_way(page, address, name, scheme):
    page.emulate_media(color_scheme=scheme)
    page.goto(address + name)
    page.wait_for_load_state("networkidle")
    page.add_script_tag(path=MODULES / "axe-core" / "axe.min.js")
    found = page.evaluate("async () => (await axe.run()).violations")
    serious = [
        (v["id"], v["nodes"][0]["html"][:200]) for v in found if v["impact"] in ("serious", "critical")
    ]
    assert serious == []


@pytest.mark.parametrize("path", sorted(SITE.glob("notebooks/*.html")), ids=lambda path: path.stem)
def test_a_page_weighs_little_and_asks_nobody_else(page, address, path):
    page.goto(f"{address}notebooks/{path.name}")
    page.wait_for_load_state("networkidle")
    weighed = {}
    for url in page.asked:
        if url.startswith(address):
            file = SITE / url.removeprefix(address).partition("?")[0].partition("#")[0]
            weighed[file] = file.stat().st_size if file.is_file() else 0
    assert sum(weighed.values()) < 5e6, {f.name: n for f, n in weighed.items() if n > 2e5}
    assert all(size < 2e6 for file, size in weighed.items() if file.suffix == ".onnx")


def test_a_model_is_small_on_the_wire():
    sizes = {file.name: file.stat().st_size for file in SITE.glob("_static/explorers/*.onnx")}
    assert len(sizes) >= 3 and max(sizes.values()) < 2e6


def test_a_word_of_the_glossary_says_what_it_means(page, address):
    page.goto(f"{address}notebooks/02_variational_autoencoder.html")
    word = page.locator("a.term", has_text="ELBO").first
    word.focus()
    shown = word.evaluate("a => getComputedStyle(a, '::after').content")
    assert "evidence lower bound" in shown
    word.press("Enter")
    page.wait_for_url("**/glossary.html#term-elbo")
    assert (
        "evidence lower bound"
        in page.locator("#term-elbo").locator("xpath=ancestor-or-self::tr").inner_text()
    )


def test_one_finds_what_one_looks_for(page, address):
    page.goto(f"{address}search.html?q=reparameterisation")
    page.locator("#search-results li a").first.wait_for(timeout=20_000)


@pytest.fixture
def own(page, address):
    """Explorer of a small model → the same on a page of its own, which holds all but ONNX Runtime."""
    file = SITE / "own.html"

    def made(explorer):
        explorer.to_html(file, runtime="_static/vendor/ort/")
        page.goto(f"{address}{file.name}")
        return alone(page)

    yield made
    file.unlink(missing_ok=True)


def small(k, conditions=0):
    """A model of pictures (1, 9, 7), and twenty codes (N, k)."""
    with contexts.seeded(0):
        model = models.autoencoder((1, 9, 7), k, net="mlp", hidden=(8,), conditions=conditions)
        return model, 2 * torch.randn(20, k)


def test_anybodys_own_model_moves_between_two_codes(own):
    model, z = small(3)
    it = own(explorers.interpolation(model, z, latent.decode(model, z)))
    it.moved(lambda: it.slide("t", 0.3))
    assert same(it.picture("decoded"), latent.decode(model, latent.interpolate(z[0], z[1], [0.3])))


def test_a_map_is_under_the_mouse(own):
    model, z = small(2)
    it = own(mapping.manifold(model, z, list("ab") * 10))
    chart, start = it.at.locator("canvas").first, it.picture("codes")
    box = chart.bounding_box()
    it.moved(lambda: it.page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.4 * box["height"]))
    assert (it.picture("codes") != start).any(), "the ring follows"
    at = torch.tensor([[float(it.control(name).input_value()) for name in ("z₁", "z₂")]])
    assert same(it.picture("decoded"), latent.decode(model, at))
    dark = (it.picture("codes").astype(int) - start).sum(2) < -300  # of the ring, which is black
    rows, columns = np.nonzero(dark)
    assert abs(columns.mean() / dark.shape[1] - 0.3) < 0.03 and abs(rows.mean() / dark.shape[0] - 0.4) < 0.03
    it.moved(lambda: it.control("z₁").press("ArrowRight"))
    step = float(it.control("z₁").get_attribute("step"))
    assert same(it.picture("decoded"), latent.decode(model, at + torch.tensor([[step, 0.0]])))


def test_another_class_is_asked_for(own):
    model, z = small(3, conditions=4)
    c = torch.eye(4)[torch.arange(20) % 4]
    it = own(explorers.conditional(model, z, latent.decode(model, z, c), c, list("0123")))
    assert it.control("class").input_value() == "0"
    it.moved(lambda: it.control("class").select_option("3"))
    assert same(it.picture("decoded"), latent.decode(model, z[:1], torch.eye(4)[3:]))
    it.moved(lambda: it.at.get_by_role("button", name="reset").click())
    assert same(it.picture("decoded"), latent.decode(model, z[:1], c[:1]))


@pytest.fixture
def framed(page, address):
    """Frames → the same on a page of its own."""
    files = SITE / "own.safetensors", SITE / "own.html"

    def made(data):
        files[0].write_bytes(data)
        viewer = (VIEWER / "viewer.js").read_text("utf-8")
        place = '<meta charset="utf-8"><div class="explorer" data-explorer="own.safetensors"></div>'
        files[1].write_text(f'{place}<script type="module">{viewer}</script>', "utf-8")
        page.goto(f"{address}own.html")
        return alone(page)

    yield made
    for file in files:
        file.unlink(missing_ok=True)


def test_what_encodes_shows_frames(framed):
    model, _ = small(3)
    noisy = datasets.Images((255 * torch.rand(9, 1, 9, 7)).byte().numpy()).map(datasets.noisy(0.2))
    explorer = explorers.reconstructions({"one": model}, noisy)
    controls = {control.description: control for control in framing.parts(explorer, *framing.CONTROLS)}
    it = framed(framing.frames(explorer, {"image": (0, 2, 4, 5), "difference × 4": (False, True)}))

    def equal():
        """Whether each panel is what Python shows at the same position."""
        canvases, titles = it.at.locator("canvas"), it.at.locator("figcaption").all_inner_texts()
        panels = list(framing.parts(explorer, Panel))
        assert titles == [panel.title.value for panel in panels] and canvases.count() == 3
        assert it.at.locator("figure").nth(2).locator("div").inner_text() == panels[2].text.value
        return [enlarged(canvases.nth(k), panel) for k, panel in enumerate(panels)] == [0] * 3

    def enlarged(canvas, panel):
        height, width, *data = canvas.evaluate(PIXELS)
        shown, python = np.array(data, np.uint8).reshape(height, width, 4)[..., :3], framing.picture(panel)
        zoom = len(python) // height
        return apart(shown.repeat(zoom, 0).repeat(zoom, 1), python)

    assert equal()
    it.moved(lambda: it.control("image").press("ArrowRight"))
    controls["image"].value = 2
    assert equal() and it.at.locator("output").inner_text() == "2"
    assert it.control("image").evaluate("control => control.ariaValueText") == "2"
    it.moved(lambda: it.control("difference × 4").press("Space"))
    controls["difference × 4"].value = True
    assert equal()
    it.moved(lambda: it.at.get_by_role("button", name="next").click())
    assert equal(), "the next one is not there"
    it.moved(lambda: it.control("image").press("End"))
    controls["image"].value = 5
    assert equal()
    it.moved(lambda: it.at.get_by_role("button", name="previous").press("Enter"))
    controls["image"].value = 4
    assert equal() and it.control("image").input_value() == "2"
    box = it.control("image").bounding_box()
    it.moved(lambda: it.page.mouse.click(box["x"] + 1, box["y"] + box["height"] / 2))
    controls["image"].value = 0
    assert equal()


def test_what_encodes_stays_in_python(tmp_path):
    model, z = small(3)
    data = datasets.Images(np.zeros((2, 1, 9, 7), np.uint8))
    with pytest.raises(ValueError, match="needs Python"):
        explorers.reconstructions({"one": model}, data).to_html(tmp_path / "x.html")
    with pytest.raises(ValueError, match=r"ends in \.html"):
        explorers.interpolation(model, z, latent.decode(model, z)).to_html(tmp_path / "x.png")
