"""What the site keeps of the explorers of models that pages train."""

import io
import json
import os
import shutil
from pathlib import Path

import execute
import exploring
import framing
import ipywidgets as widgets
import mapping
import nbformat
import numpy as np
import onnxruntime
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file

from aelib import contexts, datasets, explorers, latent, models, plots
from aelib.explorers.widgets import Explorer, Panel, row

LEVELS = 2  # of 255, by which what ONNX decodes may differ from what Python shows
HERE = Path(__file__).parent.parent


def small(k=3, conditions=0):
    """A model of pictures (1, 9, 7), twenty codes (N, k), and pictures."""
    with contexts.seeded(0):
        model = models.autoencoder((1, 9, 7), k, net="mlp", hidden=(8,), conditions=conditions)
        return model, 2 * torch.randn(20, k), torch.rand(20, 1, 9, 7)


def words(file):
    with safe_open(file, "np") as opened:
        return json.loads(opened.metadata()["words"])


def decoded(file, h):
    """(N, H, W, 3) of what the decoder is given (N, K)."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    rows = [session.run(None, {"input": row[None].astype(np.float32)})[0] for row in np.asarray(h)]
    return plots.pixels(np.concatenate(rows))


def apart(a, b):
    return np.abs(a.astype(int) - b.astype(int)).max()


def test_an_explorer_is_kept_with_what_python_shows_at_some_positions(tmp_path):
    model, z, x = small()
    v = {"a": torch.eye(3)[0], "b": torch.eye(3)[1]}
    explorer = explorers.attributes(model, z, x, v)
    before = explorer.children, [panel.image.value for panel in framing.parts(explorer, Panel)]
    exploring.keep(explorer, tmp_path / "99-0")
    after = explorer.children, [panel.image.value for panel in framing.parts(explorer, Panel)]
    assert after == before, "it is as it was"
    of, said = load_file(tmp_path / "99-0.safetensors"), words(tmp_path / "99-0.safetensors")
    assert said["kind"] == "attributes" and said["address"] == "99-0.onnx"
    assert len({json.dumps(p) for p in said["witnesses"]}) == len(of["witnessed"]) == framing.WITNESSES
    at = [z[p["face"]] + p["strength"] * v[p["attribute"]] for p in said["witnesses"]]
    assert (of["witnessed"] == plots.pixels(latent.decode(model, torch.stack(at)))).all()
    assert apart(decoded(tmp_path / "99-0.onnx", at), of["witnessed"]) <= LEVELS


@pytest.mark.parametrize("name", ["conditional", "manifold", "interpolation", "latent_space"])
def test_each_kind_is_kept(tmp_path, name):
    model, z, x = small(2, conditions=2 if name == "conditional" else 0)
    own = torch.eye(2)[torch.arange(20) % 2]
    make = {
        "conditional": lambda: explorers.conditional(model, z, x, own, ["even", "odd"]),
        "manifold": lambda: mapping.manifold(model, z),
        "interpolation": lambda: explorers.interpolation(model, z, x),
        "latent_space": lambda: explorers.latent_space(model, z, x),
    }[name]
    exploring.keep(make(), tmp_path / "99-0")
    said = words(tmp_path / "99-0.safetensors")
    assert said["kind"] == name and len(said["witnesses"]) == framing.WITNESSES
    if name == "conditional":  # a list is at a name, and the photo was chosen before it
        of = load_file(tmp_path / "99-0.safetensors")
        c = torch.stack([torch.eye(2)[["even", "odd"].index(p["class"])] for p in said["witnesses"]])
        at = z[[p["photo"] for p in said["witnesses"]]]
        assert (of["witnessed"] == plots.pixels(latent.decode(model, at, c))).all()


def test_what_would_be_too_large_or_cannot_move_is_refused(tmp_path, monkeypatch):
    model, z, x = small()
    with pytest.raises(ValueError, match="needs Python"):
        data = datasets.Images(np.zeros((2, 1, 9, 7), np.uint8))
        exploring.keep(explorers.reconstructions({"one": model}, data), tmp_path / "99-0")
    monkeypatch.setattr(exploring, "LIMIT", 1000)
    with pytest.raises(ValueError, match=r"99-0.* would have .* bytes; at most 1,000"):
        exploring.keep(explorers.interpolation(model, z, x), tmp_path / "99-0")
    assert not list(tmp_path.iterdir()), "nothing is written by half"


def test_a_page_keeps_the_explorers_that_it_shows(tmp_path, monkeypatch):
    class Shell:
        display_formatter = DisplayFormatter()

    monkeypatch.setattr(exploring, "get_ipython", Shell)
    monkeypatch.setattr(exploring, "FOLDER", tmp_path)
    monkeypatch.setattr(exploring, "KEPT", {"99": {1: {}}})
    model, z, x = small()
    exploring.watch("99")
    for k in range(3):
        explorer = explorers.interpolation(model, z, x)
        assert Shell.display_formatter.format(explorer) == explorer._repr_mimebundle_(), "it is shown as ever"
        assert len(list(tmp_path.iterdir())) == (2 if k else 0)
    exploring.watch("99", [2, 1])
    shutil.rmtree(tmp_path)
    for files in (0, 2):
        Shell.display_formatter.format(explorers.interpolation(model, z, x))
        assert len(list(tmp_path.glob("*"))) == files
    assert {file.stem for file in tmp_path.iterdir()} == {"99-1"}


def test_of_a_page_only_the_cells_run_that_its_explorer_needs(tmp_path, monkeypatch):
    ran = []

    class Kernel:
        def __init__(self, notebook, extra_arguments, **options):
            ran.extend([*extra_arguments, *(cell.source for cell in notebook.cells)])

        def execute(self):
            if not (tmp_path / "99-1.safetensors").exists():
                (tmp_path / "99-1.safetensors").touch()

    page = tmp_path / "source" / "99_page.py"
    page.parent.mkdir()
    page.write_text("# %%\na = 1\n\n# %%\nb = 2\n\n# %%\nfirst(a)\n\n# %%\nsecond(b)\n\n# %%\nlast = 3\n")
    stored = nbformat.v4.new_notebook()
    for source in ("a = 1", "b = 2", "first(a)", "second(b)", "last = 3"):
        cell = nbformat.v4.new_code_cell(source)
        if "(" in source:
            view = {"application/vnd.jupyter.widget-view+json": {"model_id": "x"}}
            cell.outputs = [nbformat.v4.new_output("display_data", data=view)]
        stored.cells.append(cell)
    nbformat.write(stored, tmp_path / "99_page.ipynb")
    monkeypatch.setattr(execute, "HERE", tmp_path)
    monkeypatch.setattr(execute, "NotebookClient", Kernel)
    monkeypatch.setattr(exploring, "KEPT", {"99": {1: {}}})
    monkeypatch.setattr(exploring, "FOLDER", tmp_path)
    execute.keep_explorers(page)
    assert ran[1:] == ["b = 2", "second(b)"]
    assert ran[0] == "--IPKernelApp.exec_lines=import exploring; exploring.watch('99', [1])"
    os.utime(tmp_path / "99-1.safetensors", (0, 0))
    with pytest.raises(RuntimeError, match=r"99-1.safetensors was not written"):
        execute.keep_explorers(page)


# ---- frames ------------------------------------------------------------------------------------------------


def pair():
    """An explorer that encodes, over twelve noisy pictures."""
    model, _, x = small()
    data = datasets.Images((255 * x[:12]).byte().numpy()).map(datasets.noisy(0.2))
    return explorers.reconstructions({"one": model}, data)


def frame(data, tmp_path, key):
    """What the viewer shows at a position, and all words."""
    (tmp_path / "frames").write_bytes(data)
    return kept_at(tmp_path / "frames", key), words(tmp_path / "frames")


def kept_at(file, key):
    """What the viewer shows at a position: for each panel its words and (H, W, 3), or None."""
    of, said = load_file(file), words(file)

    def opened(i):
        start, end, on = said["places"][i]
        top = np.asarray(Image.open(io.BytesIO(of["pictures"][start:end].tobytes())).convert("RGBA"))
        return top[..., :3] if on < 0 else np.where(top[..., 3:] > 0, top[..., :3], opened(on))

    panels = said["frames"][",".join(map(str, key))]
    return [panel and panel | {"picture": opened(panel["picture"])} for panel in panels]


def test_a_frame_is_what_python_shows(tmp_path):
    explorer = pair()
    before = [panel.image.value for panel in framing.parts(explorer, Panel)]
    data = framing.frames(explorer, {"image": range(0, 12, 3), "difference × 4": (False, True)})
    assert [panel.image.value for panel in framing.parts(explorer, Panel)] == before, "it is as it was"
    controls = {control.description: control for control in framing.parts(explorer, *framing.CONTROLS)}
    for i, box in ((0, 0), (2, 1), (3, 0)):
        controls["image"].value, controls["difference × 4"].value = 3 * i, bool(box)
        panels, said = frame(data, tmp_path, (i, box))
        for panel, kept in zip(framing.parts(explorer, Panel), panels, strict=True):
            shown = framing.picture(panel)  # enlarged by a whole factor
            zoom = kept["width"] // kept["picture"].shape[1]
            assert (kept["picture"].repeat(zoom, 0).repeat(zoom, 1) == shown).all()
            assert kept["title"] == panel.title.value and kept.get("text", "") == panel.text.value
    assert said["start"] == [0, 0] and said["rows"] == [3] and len(said["frames"]) == 8
    assert said["note"] == "8 positions (image: 4 of 12 values)"
    assert said["controls"] == [
        {"name": "image", "kind": "range", "says": ["0", "3", "6", "9"]},
        {"name": "difference × 4", "kind": "box", "says": ["off", "on"]},
    ]


def test_a_button_leads_where_it_does_if_that_is_kept(tmp_path):
    data = framing.frames(pair(), {"image": (0, 1, 2, 11)})
    _, said = frame(data, tmp_path, (0,))
    to = {button["name"]: button["to"] for button in said["buttons"]}
    assert to == {"previous": {"0": [3], "1": [0], "2": [1]}, "next": {"0": [1], "1": [2], "3": [0]}}


def test_a_picture_is_kept_once_and_of_a_chart_what_changes(tmp_path):
    rng = np.random.default_rng(0)
    chart = rng.integers(0, 256, (1, 3, 90, 120), np.uint8)  # of which a row is another from frame to frame
    slider = widgets.IntSlider(0, 0, 9, description="at")
    panel, same = Panel("", side=1), Panel("")
    hidden = Panel("not always")

    def draw():
        now = chart.copy()
        now[:, :, slider.value] = 0
        panel.show(now)
        same.show(chart[:, :, :8, :8])
        hidden.show(chart[:, :, :8, :8])
        hidden.layout.display = "none" if slider.value < 5 else None

    explorer = Explorer("moved", draw, slider)
    explorer.of(row(slider), row(panel), row(same, hidden))
    data = framing.frames(explorer, {"at": range(10)})
    panels, said = frame(data, tmp_path, (7,))
    expected = chart[0].transpose(1, 2, 0).copy()
    expected[7] = 0
    assert (panels[0]["picture"] == expected).all() and panels[0]["width"] == 120
    assert panels[2]["title"] == "not always" and frame(data, tmp_path, (4,))[0][2] is None
    assert len(said["places"]) == 10 + 1 + 1 and said["rows"] == [1, 2]
    sizes = [end - start for start, end, _ in said["places"]]
    assert sum(sizes[1:]) < sizes[0] / 2, "the chart is kept once, of the others what differs"


def test_what_a_slider_does_not_allow_is_left_out_and_a_seed_is_a_position(tmp_path):
    first, second = (widgets.IntSlider(0, 0, 3, description=name) for name in "ab")
    panel = Panel("x")

    def draw():
        second.max = 1 + first.value
        panel.show(np.full((1, 3, 4, 4), 10 * second.value + 100 * explorer.seed, np.uint8))

    explorer = Explorer("limited", lambda: None)
    explorer.draw = draw
    explorer.follow(first, second)
    explorer.of(row(first, second, explorer.button("again", "another", explorer.again)), row(panel))
    data = framing.frames(explorer, {"a": range(3), "b": range(4), "again": (0, 1)})
    panels, said = frame(data, tmp_path, (2, 3, 1))
    assert (panels[0]["picture"] == 130).all() and explorer.seed == 0
    assert {key for key in said["frames"] if key.endswith("0")} == {
        f"{a},{b},0" for a in range(3) for b in range(2 + a)
    }  # fmt: skip
    assert said["controls"][2] == {"name": "again", "kind": "button", "says": ["", ""]}


def test_frames_that_cannot_be_taken_are_refused():
    with pytest.raises(ValueError, match=r"reconstructions has .*'image'.*, and no \['imge'\]"):
        framing.frames(pair(), {"imge": range(3)})
    with pytest.raises(ValueError, match="at most 130"):
        framing.frames(pair(), {"image": range(12), "difference × 4": [False, True] * 6})
    with pytest.raises(ValueError, match="starts where no frame is kept"):
        framing.frames(pair(), {"image": range(1, 5)})
    slider = widgets.IntSlider(0, 0, 9, description="at")
    panel = Panel("x")
    fails = Explorer("fails", lambda: panel.show(np.zeros((1, 3, 4, 4 // (2 - slider.value)))), slider)
    panel.show(np.zeros((1, 3, 4, 4)))
    with pytest.raises(ValueError, match=r"fails at \(2,\): .*ZeroDivisionError"):
        framing.frames(fails.of(row(slider), row(panel)), {"at": (0, 2)})


# ---- what is kept ------------------------------------------------------------------------------------------

KEPT = sorted(exploring.FOLDER.glob("*.safetensors"))


def test_what_pages_are_to_keep_is_there():
    wanted = {f"{number}-{k}" for number, places in exploring.KEPT.items() for k in places}
    assert {file.stem for file in KEPT} == wanted


@pytest.mark.parametrize("file", KEPT, ids=lambda file: file.stem)
def test_a_kept_explorer_is_small_and_decodes_what_python_does(file):
    of, model = load_file(file), file.with_suffix(".onnx")
    assert file.stat().st_size <= exploring.LIMIT
    if words(file)["kind"] == "frames":
        assert len(words(file)["frames"]) > 20 and not model.exists()
    else:
        assert model.stat().st_size <= exploring.LIMIT
        assert apart(decoded(model, of["start"]), of["first"]) <= LEVELS
