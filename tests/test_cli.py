"""The command line: each verb against what it must have done, and every way to ask it wrongly."""

import base64
import functools
import io
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from verbs import call

from aelib import cli, datasets, export, latent, metrics, models, pretrained, retrieval, runs

SMALL = ["--latent", "3", "--net", "mlp", "--hidden", "[16]", "--epochs", "2"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A tiny run on the digits."""
    path = tmp_path_factory.mktemp("cli") / "digits"
    assert call("train", "digits", *SMALL, "--likelihood", "bernoulli", "--out", path) == 0
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of 40 photos that differ, in two classes, one with a name to trip over."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for i in range(40):
        file = folder / ("cats", "dogs")[i % 2] / f"{i:02d}{' ü&<' if i == 3 else ''}.png"
        file.parent.mkdir(exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (3, 4, 3), np.uint8))
        coarse.resize((48, 36), Image.Resampling.BICUBIC).save(file)
    return folder


@pytest.fixture(scope="module")
def mine(photos, tmp_path_factory):
    """A run on that folder, indexed."""
    path = tmp_path_factory.mktemp("cli") / "mine"
    assert call("train", photos, "--size", "16", *SMALL, "--posterior", "deterministic", "--out", path) == 0
    assert call("index", path) == 0
    return path


def test_help_answers_before_torch_is_imported():
    code = (
        "import sys\nfrom aelib.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit as e:\n"
        "    print([m for m in ('torch', 'numpy', 'pandas', 'matplotlib') if m in sys.modules], e.code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] 0"
    for verb in cli.VERBS:
        assert f"\n    {verb} " in done.stdout


def test_every_verb_and_option_is_explained(capsys):
    for verb in cli.VERBS:
        assert call(verb, "--help") == 0
        text = capsys.readouterr().out
        options = re.findall(r"^  (--\w[\w-]*).*?(?=^  --|\Z)", text, re.MULTILINE | re.DOTALL)
        explained = re.findall(r"^  --\w[\w-]*[^\n]*?(?:\n {4,}| {2,})[^\s(]", text, re.MULTILINE)
        assert len(explained) == len(options) >= 2, text


def test_python_m_aelib_is_the_same():
    done = subprocess.run([sys.executable, "-m", "aelib", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "train" in done.stdout


def test_a_configuration_file_is_read_and_options_win(tmp_path, run):
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["net"] == "mlp" and config["latent"] == 3
    assert call("train", "--config", run / "config.yaml", "--out", tmp_path / "b", "--latent", "2") == 0
    again = yaml.safe_load((tmp_path / "b" / "config.yaml").read_text())
    assert again == config | {"latent": 2}
    assert runs.load(tmp_path / "b").sample(1).shape == (1, 1, 8, 8)


@pytest.mark.parametrize(
    "words, code, says",
    [
        (["smaple", "x"], 2, "Did you mean 'sample'?"),
        (["sample"], 2, "RUN is missing"),
        (["reconstruct", "x"], 2, "PHOTOS is missing"),
        (["sample", "x", "--nn", "3"], 2, "Did you mean '--n'?"),
        (["interpolate", "x", "a", "b", "--kind", "spheric"], 2, "Did you mean 'spherical'?"),
        (["train", "digts"], 1, "Did you mean 'digits'?"),
        (["sample", "nowhere", "--out", "a.png"], 1, "nowhere does not exist"),
        *(([verb, "runs/typo", *photos], 1, "runs/typo does not exist") for verb, *photos
          in (["sample"], ["reconstruct", "a"], ["interpolate", "a", "b"], ["embed"], ["report"])),
        (["sample", "RUN", "--out", "a.jpg"], 1, "ends in .png"),
        (["sample", "RUN", "--n", "0"], 1, "at least 1"),
        (["sample", "RUN", "--zoom", "-1", "--out", "a.png"], 1, "--zoom"),
        (["sample", "RUN", "--which", "epoch-0009", "--out", "a.png"], 1, "it has best, last"),
        (["reconstruct", "RUN", "no.jpg", "--out", "a.png"], 1, "no photo no.jpg"),
        (["reconstruct", "RUN", "README", "--out", "a.png"], 1, "cannot be read as an image"),
        (["interpolate", "RUN", "README", "README", "--steps", "1", "--out", "a.png"], 1, "at least 2"),
        (["embed", "RUN", "--out", "codes.csv"], 1, ".npz or .parquet"),
        (["embed", "RUN", "faces-sample", "--out", "c.npz"], 1, "[1, 25, 25]: it was built for [1, 8, 8]"),
        (["search", "RUN", "README"], 1, "has no index yet: aelib index"),
        (["report", "RUN", "--out", "page.pdf"], 1, "ends in .html"),
        (["datasets", "--download", "mnits"], 1, "Did you mean 'mnist'?"),
        (["datasets", "--download", "folder"], 1, "name the folder itself, as my/photos"),
        (["evaluate", "RUN", "nothing"], 1, "dataset or folder of photos"),
        (["evaluate", "RUN", "two", "words"], 2, "arguments: words. Words without an option come first"),
        (["evaluate", "RUN", "--json", "digits"], 2, "come first, together: RUN DATA"),
        (["evaluate", "RUN", "--data", "digits"], 2, "come first, together: RUN DATA"),
        (["evaluate", "RUN", "--json=maybe"], 2, "--json"),
    ],
    ids=lambda v: " ".join(v)[:40] if isinstance(v, list) else "",
)  # fmt: skip
def test_a_mistake_gets_a_message_and_no_traceback(run, tmp_path, monkeypatch, capsys, words, code, says):
    monkeypatch.chdir(tmp_path)
    Path("README").write_text("no picture")
    assert call(*[str(run) if w == "RUN" else w for w in words]) == code
    error = capsys.readouterr().err
    assert says in error and "Traceback" not in error and error.startswith("aelib")
    assert [p.name for p in tmp_path.iterdir()] == ["README"]


def read(files, model):
    return torch.cat([retrieval.photo(file, model.recipe["shape"]) for file in files])


def pixels(file):
    return np.asarray(Image.open(file).convert("RGB"))


def numbers(capsys, *words):
    capsys.readouterr()
    assert call("evaluate", *words, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_other_data_are_judged_whole_and_the_runs_own_by_their_test_part(mine, photos, tmp_path, capsys):
    for i in range(7):
        (tmp_path / "other").mkdir(exist_ok=True)
        Image.new("RGB", (20, 20), (30 * i, 0, 200)).save(tmp_path / "other" / f"{i}.png")
    shutil.copytree(photos, tmp_path / "copy")
    own = numbers(capsys, mine)
    assert (own["part"], own["images"]) == ("test", 4)
    for same in (photos, tmp_path / "copy"):  # it is known by its pixels too
        assert numbers(capsys, mine, same)["mse"] == own["mse"]
    other = numbers(capsys, mine, tmp_path / "other")
    assert (other["part"], other["images"]) == ("all", 7)
    whole = datasets.load(tmp_path / "other", size=16).all
    truth = metrics.evaluate(runs.load(mine), whole)
    assert other["mse"] == pytest.approx(truth["mse"], abs=1e-6)


def test_datasets_of_which_nobody_knows_whether_they_were_trained_on_are_judged_by_their_test_part(
    tmp_path, capsys
):
    model = models.autoencoder((1, 8, 8), 2, net="linear", posterior="deterministic")
    runs.save(tmp_path / "run", model)
    assert numbers(capsys, tmp_path / "run", "digits")["images"] == 300


def test_a_run_keeps_its_labels_its_groups_and_its_grey(photos, tmp_path, monkeypatch, capsys):
    files = sorted(p.relative_to(photos).as_posix() for p in photos.rglob("*.png"))
    table = pd.DataFrame({"photo": files, "hue": np.arange(40) / 7, "tone": ["low", "high"] * 20})
    table.assign(who=np.arange(40) // 4).to_csv(tmp_path / "t.csv", index=False)
    asked = ["--labels", tmp_path / "t.csv", "--by", "who", "--channels", "1", "--size", "8"]
    assert call("train", photos, *asked, *SMALL, "--out", tmp_path / "run") == 0
    said = capsys.readouterr().out
    assert "each 1×8×8; t.csv, joined by photo: tone: 2 classes, hue: numbers; 10 groups by who)" in said
    assert (
        call("embed", tmp_path / "run")
        == call("embed", tmp_path / "run", "--out", tmp_path / "c.parquet")
        == 0
    )
    codes = np.load(tmp_path / "run" / "codes.npz")
    row = [files.index(f) for f in codes["files"]]
    assert codes["names"].tolist() == ["hue"] and codes["classes"].tolist() == ["high", "low"]
    np.testing.assert_allclose(codes["attributes"][:, 0], table["hue"][row])
    assert (codes["classes"][codes["labels"]] == table["tone"][row]).all()
    who = [set(np.array(row)[codes["part"] == part] // 4) for part in ("train", "valid", "test")]
    assert sum(map(len, who)) == 10
    written = pd.read_parquet(tmp_path / "c.parquet")
    np.testing.assert_allclose(written["hue"], codes["attributes"][:, 0])
    assert call("reconstruct", tmp_path / "run", photos / files[0]) == call("index", tmp_path / "run") == 0
    assert call("report", tmp_path / "run", photos, "--labels", tmp_path / "t.csv") == 0
    assert call("train", photos, *asked[2:], *SMALL, "--out", tmp_path / "b") == 1
    assert 'by is "folder", or a column of the labels' in capsys.readouterr().err


def test_samples_are_those_of_the_model_and_the_prior_is_named(run, tmp_path, capsys):
    assert call("sample", run, "--n", "9", "--seed", "4", "--zoom", "2", "--out", tmp_path / "s.png") == 0
    model, said = latent.sampler(runs.load(run, device="cpu"), datasets.load("digits").train)
    assert f"9 samples of {said}" in capsys.readouterr().out
    expected = (latent.sample(model, 9, seed=4) * 255).round().byte().numpy()
    seen = pixels(tmp_path / "s.png")
    assert seen.shape == (2 * (3 * 10 - 2), 2 * (3 * 10 - 2), 3)
    assert abs(seen[::2, ::2, 0][10:18, 20:28].astype(int) - expected[5, 0].astype(int)).max() <= 1
    assert call("sample", run, "--n", "9", "--out", tmp_path / "t.png") == 0
    assert (tmp_path / "t.png").read_bytes() != (tmp_path / "s.png").read_bytes()


def test_without_the_training_pictures_the_models_prior_is_sampled(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call("sample", "pretrained/vae-fashion-mnist", "--n", "2") == 0
    assert "the model's prior; with its training pictures" in capsys.readouterr().out
    assert call("sample", "pretrained/ae-lfw", "--n", "2") == 1
    assert "name the data" in capsys.readouterr().err


def test_a_plain_autoencoder_samples_from_what_stands_in_for_a_prior(mine, capsys):
    assert call("sample", mine, "--n", "4", "--zoom", "1") == 0
    assert "fitted to 32 training codes, since the model has no prior" in capsys.readouterr().out
    assert pixels(mine / "samples.png").shape == (34, 34, 3)


def test_reconstructions_stand_below_their_photos(mine, photos, tmp_path):
    files = sorted(photos.rglob("*.png"))[:3]
    assert call("reconstruct", mine, *files, "--out", tmp_path / "r.png", "--zoom", "1") == 0
    seen, model = pixels(tmp_path / "r.png"), runs.load(mine, device="cpu")
    assert seen.shape == (34, 52, 3)
    x = read([str(f) for f in files], model)
    for row, images in enumerate((x, model.reconstruct(x))):
        got = seen[18 * row : 18 * row + 16, 36:52].transpose(2, 0, 1) / 255
        assert np.abs(got - images[2].clamp(0, 1).numpy()).max() < 0.01
    assert call("reconstruct", mine, files[0], "--out", files[0]) == 1, "a photo is no place to write to"


def test_an_interpolation_begins_and_ends_with_the_photos(mine, photos, tmp_path):
    a, b = sorted(photos.rglob("*.png"))[:2]
    for kind in ("linear", "spherical"):
        out = tmp_path / f"{kind}.png"
        assert (
            call("interpolate", mine, a, b, "--steps", "5", "--kind", kind, "--out", out, "--zoom", "1") == 0
        )
        seen, model = pixels(out) / 255, runs.load(mine, device="cpu")
        ends = model.reconstruct(read([str(a), str(b)], model)).clamp(0, 1).permute(0, 2, 3, 1).numpy()
        assert seen.shape == (16, 5 * 18 - 2, 3)
        assert np.abs(seen[:, :16] - ends[0]).max() < 0.01 and np.abs(seen[:, -16:] - ends[1]).max() < 0.01


@pytest.mark.parametrize("net, posterior", [("fcn", "deterministic"), ("fcn", "gaussian")])
def test_codes_with_places_are_drawn_and_searched_too(net, posterior, photos, tmp_path):
    out = tmp_path / "run"
    assert call("train", photos, "--size", "16", "--net", net, "--posterior", posterior, "--hidden", "[4,4]",
                "--latent", "2", "--epochs", "1", "--out", out) == 0  # fmt: skip
    a, b, *_ = sorted(photos.rglob("*.png"))
    assert call("interpolate", out, a, b) == 0 and call("sample", out, "--n", "2") == 0
    assert call("index", out) == 0 and call("search", out, a, "--k", "2") == 0 and call("report", out) == 0


def test_embedded_codes_are_the_models(run, capsys):
    assert call("embed", run) == 0
    with np.load(run / "codes.npz") as file:
        found = dict(file)
    split, model = datasets.load("digits"), runs.load(run, device="cpu")
    assert found["codes"].shape == (1797, 3) and set(found) == {"codes", "part", "labels", "classes"}
    with torch.no_grad():
        x = torch.from_numpy(split.test.pixels).float() / 255
        expected = model.encode(x).mean.numpy()
    assert np.abs(found["codes"][found["part"] == "test"] - expected).max() < 1e-5
    assert (found["labels"][found["part"] == "valid"] == split.valid.labels).all()
    assert call("embed", run) == 0, "the run's own file is replaced"


def test_a_table_of_codes_names_the_photos(mine, photos, tmp_path):
    out = tmp_path / "deep" / "codes.parquet"
    assert call("embed", mine, "--out", out) == 0
    table = pd.read_parquet(out)
    assert list(table) == ["part", "file", "class", "z0", "z1", "z2"] and len(table) == 40
    assert {str(photos / f) for f in table["file"]} == {str(f) for f in photos.rglob("*.png")}
    assert (table["class"] == table["file"].str.split("/").str[0]).all()
    model, row = runs.load(mine, device="cpu"), table.iloc[7]
    with torch.no_grad():
        z = model.encode(read([str(photos / row["file"])], model)).mean[0].numpy()
    assert np.abs(z - row[["z0", "z1", "z2"]].to_numpy(float)).max() < 0.05, "the same photo, read by another"
    was = out.read_bytes()
    assert call("embed", mine, "--out", out) == 1 and out.read_bytes() == was


def test_what_onnx_needs_is_named_when_it_is_missing(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert call("export", run, "--out", tmp_path) == 1
    assert 'onnxscript is missing: pip install "aelib[export]"' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_pyarrow_is_named_when_it_is_missing(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert call("embed", run, "--out", tmp_path / "c.parquet") == 1
    assert "pip install pyarrow" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_search_finds_the_photo_itself_first(mine, photos, tmp_path, capsys):
    files = sorted(photos.rglob("*.png"))
    for query in (files[0], next(f for f in files if "ü" in f.name)):
        assert call("search", mine, query, "--k", "3", "--out", tmp_path / "f.png", "--json") == 0
        answer = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
        assert answer["found"][0]["file"] == str(query) and answer["found"][0]["closeness"] > 0.99
        assert len(answer["found"]) == 3
        one = pixels(tmp_path / "f.png")
        side = one.shape[0]
        assert (one[:, :side] == one[:, side * 18 // 16 : side * 34 // 16]).all(), "the query, then itself"
    assert call("search", mine, files[0]) == 0
    assert str(files[0]) in capsys.readouterr().out.splitlines()[0]


def test_a_run_is_used_from_another_folder(photos, tmp_path, monkeypatch, capsys):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(photos.parent)
    assert call("train", photos.name, "--size", "16", *SMALL, "--out", tmp_path / "run") == 0
    assert call("index", tmp_path / "run") == 0
    capsys.readouterr()
    query = sorted(photos.rglob("*.png"))[0]
    assert call("search", tmp_path / "run", query) == 0
    assert f"  {query.relative_to(photos.parent)}\n" in capsys.readouterr().out
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert call("search", tmp_path / "run", query, "--out", "f.png") == 0
    assert f"  {query}\n" in capsys.readouterr().out
    assert call("report", tmp_path / "run") == call("report", tmp_path / "run", photos) == 0


def test_search_among_pictures_that_are_no_files(run, tmp_path, capsys):
    assert call("index", run) == 0
    data, file = datasets.load("digits"), tmp_path / "seven.png"
    Image.fromarray(data.test.pixels[17, 0]).save(file)
    capsys.readouterr()
    assert call("search", run, file, "--k", "1", "--out", tmp_path / "f.png", "--zoom", "1") == 0
    assert "digits/test/17" in capsys.readouterr().out
    assert (pixels(tmp_path / "f.png")[:, 10:, 0] == data.test.pixels[17, 0]).all()


def test_an_index_of_other_weights_is_not_asked(run, tmp_path, capsys):
    other = tmp_path / "other"
    assert call("train", "digits", *SMALL, "--seed", "1", "--out", other) == 0 and call("index", other) == 0
    query = tmp_path / "q.png"
    Image.new("L", (8, 8)).save(query)
    assert call("resume", other, "--epochs", "9") == 0
    assert call("search", other, query) == 1 and "index the images again" in capsys.readouterr().err
    (other / "index.safetensors").write_bytes(b"half")
    assert call("search", other, query) == 1 and "aelib index" in capsys.readouterr().err


def test_datasets_are_listed_without_being_opened_and_without_a_cache(tmp_path, monkeypatch, capsys):
    def opened(**_):
        raise AssertionError("a dataset was loaded")

    sources = {k: replace(v, load=functools.wraps(v.load)(opened)) for k, v in datasets.DATASETS.items()}
    monkeypatch.setattr(datasets, "DATASETS", sources)
    monkeypatch.delenv("AELIB_DATA", raising=False)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AELIB_CACHE", str(tmp_path / "file" / "below"))  # cannot be made, by root either
    assert call("datasets", "--json") == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == set(datasets.DATASETS)
    assert rows["digits"]["here"] and not rows["lfw"]["here"] and rows["mnist"]["what"]
    monkeypatch.setenv("AELIB_CACHE", str(tmp_path / "cache"))
    assert call("datasets") == 0 and "not here yet" in capsys.readouterr().out
    assert not (tmp_path / "cache").exists()


def test_a_dataset_is_found_where_it_lies(no_data, monkeypatch, tmp_path, capsys):
    (tmp_path / "data" / "MNIST" / "raw").mkdir(parents=True)
    monkeypatch.setenv("AELIB_DATA", str(tmp_path / "data"))
    call("datasets", "--json")
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["mnist"]["found"] == str(tmp_path / "data" / "MNIST" / "raw")
    assert call("datasets", "--download", "digits") == 0 and "1,297 train" in capsys.readouterr().out


def test_exported_networks_compute_what_the_model_does(run, tmp_path, capsys):
    assert call("export", run, "--out", tmp_path / "x") == 0
    assert capsys.readouterr().out.count("differs from the model by") == 2
    model, parts = runs.load(run, device="cpu"), {}
    for name in ("encoder", "decoder"):
        file = tmp_path / "x" / f"{name}.onnx"
        assert not [w for w in (b"site-packages", b"export.py", bytes(tmp_path)) if w in file.read_bytes()]
        session = onnxruntime.InferenceSession(str(file))
        parts[name] = lambda h, s=session: torch.from_numpy(s.run(None, {"input": h.numpy()})[0])
    for n in (1, 2, 7):
        x, z = torch.rand(n, 1, 8, 8), torch.randn(n, 3)
        with torch.no_grad():
            assert torch.allclose(parts["encoder"](x), model.encode(x).mean, atol=1e-4)
            assert torch.allclose(parts["decoder"](z), model.decode(z).mean, atol=1e-4)
    assert call("export", run, "--out", tmp_path / "x") == 1, "nothing is replaced"


def test_an_export_that_differs_is_loud_and_leaves_nothing(run, tmp_path, monkeypatch, capsys):
    def wrong(part, example):
        return b"x", lambda h: part(h).mean + (2e-4 if h.ndim == 2 else 0)

    monkeypatch.setattr(export, "to_onnx", wrong)
    assert call("export", run, "--out", tmp_path / "x") == 1
    assert "decoder differs from the model" in capsys.readouterr().err and not (tmp_path / "x").exists()


class Page(HTMLParser):
    """What a page holds: tags, in balance, and where its pictures come from."""

    void = ("meta", "img", "br", "link")

    def __init__(self, text):
        super().__init__()
        self.open, self.sources, self.seen = [], [], []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.sources += [v for k, v in attrs if k in ("src", "href", "xlink:href") and tag != "use"]
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.void:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_report_is_one_page_that_holds_everything(mine, run, capsys):
    for path in (mine, run):
        assert call("report", path) == 0
        text = (path / "report.html").read_text()
        page = Page(text)
        images = [s for s in page.sources if s.startswith("data:image/png;base64,")]
        assert images and page.sources == images and page.seen.count("svg") == 2
        assert "script" not in page.seen and "@import" not in text and "url(http" not in text
        sides = {Image.open(io.BytesIO(base64.b64decode(s.split(",")[1]))).size for s in images}
        assert sides == {(16, 16)} or sides == {(8, 8)}
        numbers = json.loads(_printed(capsys, "evaluate", path, "--json"))
        assert f"{numbers['mse']:.4g}" in text and "active units" in text
        for word in ("Learning curves", "Reconstructions", "Samples", "Map of the codes", "Settings", "dark"):
            assert word in text
    assert "rate: KL" in text and ">cats<" in (mine / "report.html").read_text()


def test_a_page_escapes_what_it_was_given(photos, tmp_path):
    out = tmp_path / "<b>&run"
    assert call("train", photos, "--size", "8", *SMALL, "--out", out) == 0 and call("report", out) == 0
    assert (
        "<b>" not in (out / "report.html").read_text()
        and "&lt;b&gt;&amp;run" in (out / "report.html").read_text()
    )


def test_models_that_come_with_the_library_are_asked_about_data_that_are_named(
    photos, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    model = "pretrained/vae-mnist"
    for verb in ("evaluate", "report", "embed", "export"):
        assert call(verb, model) == 1 and "name the data (a dataset or a folder)" in capsys.readouterr().err
    for words in (["evaluate"], ["report"], ["embed"], ["export"]):
        assert call(words[0], model, photos, *words[1:]) == 0
    assert {p.name for p in tmp_path.iterdir()} == {
        "report.html",
        "codes.npz",
        "encoder.onnx",
        "decoder.onnx",
    }
    assert call("sample", "pretrained/ae-lfw", photos, "--n", "2") == 0 and Path("samples.png").exists()
    assert call("index", model, photos) == 1 and "no run's folder" in capsys.readouterr().err
    assert call("reconstruct", "pretrained/flow-vae-mnist", "a.png") == 1
    assert "use it in Python" in capsys.readouterr().err


def test_a_model_with_conditions_is_left_to_python(tmp_path, capsys):
    model = models.autoencoder((1, 8, 8), 2, net="mlp", conditions=3)
    runs.save(tmp_path / "c", model)
    assert call("sample", tmp_path / "c", "--out", tmp_path / "a.png") == 1
    assert "takes conditions" in capsys.readouterr().err


def test_what_cannot_be_written_leaves_no_half_file(run, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert call("sample", run, "--n", "1", "--out", tmp_path / "a.png") == 1
    assert "disk is full" in capsys.readouterr().err and not list(tmp_path.iterdir())


def _printed(capsys, *words):
    capsys.readouterr()
    assert call(*words) == 0
    return capsys.readouterr().out


# ---- which photos it was trained on ----------------------------------------------------------------------


def test_photos_it_was_trained_on_are_never_test_photos_whatever_is_renamed_or_removed(
    tmp_path, no_data, capsys
):
    rng, folder = np.random.default_rng(0), tmp_path / "photos"
    for i in range(60):
        (folder / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8)).save(folder / "ab"[i % 2] / f"{i}.png")
    assert call("train", folder, "--size", "8", *SMALL, "--out", tmp_path / "run") == 0
    trained = {Path(f).name for f in datasets.load("folder", path=folder, size=8).train.files}

    def tested():
        capsys.readouterr()
        assert call("evaluate", tmp_path / "run", *words, "--json") == 0
        return json.loads(capsys.readouterr().out)["images"]

    def parts():
        return pretrained.load_with_data(tmp_path / "run", *words, device="cpu")[1]

    def names(part):
        return {Path(f).name for f in part.files}

    words = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tested() == 6
    (folder / "a").rename(folder / "renamed")
    for file in sorted((folder / "b").iterdir())[:13]:
        file.unlink()
    with pytest.warns(UserWarning, match="they count as training photos"):
        split = parts()
    every = {p.name for p in folder.rglob("*.png")}
    assert not names(split.test) & trained and not names(split.valid) & trained
    assert names(split.all) == every and len(split.all) == len(every) == 47
    with pytest.warns(UserWarning, match="trained on"):
        assert tested() == len(split.test) > 0
    words = [str(folder)]  # named, it is other data, of which those it knows are left out
    with pytest.warns(UserWarning, match="trained on"):
        assert tested() == len(every - trained)
    run = tmp_path / "run" / "trained.bin"
    run.write_bytes(run.read_bytes()[:-1])
    assert call("evaluate", tmp_path / "run") == 1 and "trained.bin is damaged" in capsys.readouterr().err
