import json
import re
import runpy
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from benchmarks import recipes

from aelib import datasets, latent, load, losses, materials, metrics, models, pretrained
from aelib.runs import RunError


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_the_weights_are_here_and_say_what_made_them(name):
    model, recipe = load(f"pretrained/{name}"), recipes.RECIPES[name]
    assert not model.training
    torch.manual_seed(0)
    shape = (1, 28, 28) if name.endswith("mnist") else (3, 64, 64)
    if name == "ae-lfw":  # which has no prior
        images = model.decode(torch.randn(4, 128)).mean
    else:
        told = torch.ones(4, len(pretrained.CONDITIONS)) if name == "cvae-lfw" else None
        images = model.sample(4, told)
    assert images.shape == (4, *shape) and images.std() > 0.05
    record = json.loads((pretrained.FOLDER / f"{name}.json").read_text())
    assert record["command"] == f"python tests/benchmarks/recipes.py {name}"
    assert record["epoch"] == recipe.epochs and record["cpu_seconds"] <= 2 * 3600
    assert record["test"]["command"] == f"python tests/benchmarks/recipes.py --judge {name}"
    assert record["test"]["images"] >= 1000


@pytest.mark.parametrize("name", [n for n, r in recipes.RECIPES.items() if r.directions])
def test_directions_are_there_and_change_the_picture_both_ways(name):
    model, vectors = load(f"pretrained/{name}"), pretrained.directions(name)
    assert {"Smiling", "Male", "Eyeglasses"} <= vectors.keys() and len(vectors) == 73
    z = torch.zeros(1, len(vectors["Smiling"]))
    plus, same, minus = (model.decode(z + a * vectors["Smiling"]).mean for a in (1, 0, -1))
    assert (plus - same).abs().max() > 0.02 and ((plus - same) * (minus - same)).sum() < 0


@pytest.mark.parametrize("name", ["vae-lfw", "cvae-lfw"])
def test_an_edit_goes_as_far_as_it_should(name):
    faces = datasets.load("drawn-faces", n=60).test[:3]
    told = torch.tensor([[1.0, -1, 0, 1, -1, 0, 1, -1], [-1.0, 1, 1, 0, 0, 1, -1, 1], [0.0] * 8])
    known = pd.DataFrame((told.numpy() + 1) / 2, columns=list(pretrained.CONDITIONS)).replace(0.5, np.nan)
    decoded, edit = recipes.edits(name, replace(faces, attributes=known), {"Male": 3.0})
    model, x, to = load(f"pretrained/{name}"), faces.batch().x, torch.tensor([1.0, -1.0, 1.0])
    if name == "vae-lfw":
        z, v = model.encode(x).mean, pretrained.directions(name)["Male"]
        own, after = model.decode(z).mean, model.decode(z + torch.tensor([[3.0], [-3.0], [3.0]]) * v).mean
    else:
        z, turned = model.encode(x, told).mean, told.clone()
        turned[:, 1] = torch.tensor([3.0, -3.0, 3.0])
        own, after = model.decode(z, told).mean, model.decode(z, turned).mean
    torch.testing.assert_close(decoded, own, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(edit(1, to), after, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["ae-lfw", "vae-lfw", "cvae-lfw"])
def test_the_record_has_what_the_judges_said_of_every_attribute(name):
    said = pretrained.record(name)["judges"]
    assert tuple(said["strength"]) == pretrained.CONDITIONS
    ends = set(said["strength"].values())
    assert ends <= set(recipes.STRENGTHS) if name == "cvae-lfw" else ends == {recipes.END}
    assert tuple(said["judge"]) == tuple(said["edited"]) == pretrained.CONDITIONS
    assert all(row["accuracy"] > row["commoner"] for row in said["judge"].values())
    assert said["photos"]["nearest"] == 1 and said["photos"]["verification"] > said["decoded"]["verification"]
    shares = pretrained.drawn(name)
    assert shares["Smiling"] > 0.9 and all(0 <= share <= 1 for share in shares.values())


def test_a_model_without_directions_says_which_have_them():
    with pytest.raises(ValueError, match="'vae-mnist'; they are for ae-lfw, vae-lfw"):
        pretrained.directions("vae-mnist")


def test_the_weights_are_small():
    assert sum(p.stat().st_size for p in pretrained.FOLDER.iterdir()) < 40e6


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_the_page_of_results_says_what_the_records_say(name):
    page = (materials.FOLDER / "results.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
    record = pretrained.record(name)
    expected = {"epoch": record["epoch"], "minutes": round(record["cpu_seconds"] / 60)}
    found = re.fullmatch(r"\| `.*` \| (\d+) \| (.*) \| (\d+) min \|", row)
    assert {"epoch": int(found[1]), "minutes": int(found[3])} == expected
    said = dict(re.findall(r"(log p\(x\)|MSE|SSIM|rate) ([−\d.]+)", found[2]))
    keys = {"log p(x)": "log_likelihood", "MSE": "mse", "SSIM": "ssim", "rate": "rate"}
    assert said
    for word, number in said.items():
        digits = len(number.partition(".")[2])
        assert f"{record['test'][keys[word]]:.{digits}f}".replace("-", "−") == number


@pytest.mark.data
def test_the_face_models_are_as_good_as_their_records_say():
    faces = datasets.load("lfw", size=64).test
    for name in ("ae-lfw", "vae-lfw"):
        mse = metrics.evaluate(load(f"pretrained/{name}"), faces)["mse"]
        assert mse == pytest.approx(pretrained.record(name)["test"]["mse"], rel=1e-3)


@pytest.mark.data
def test_the_weights_know_the_digits():
    digits = datasets.load("mnist").test[:200].map(datasets.binarised)
    for name, least in (("vae-mnist", -90), ("iwae-mnist", -90), ("flow-vae-mnist", -90)):
        assert metrics.log_likelihood(load(f"pretrained/{name}"), digits, samples=50).mean() > least


def test_making_them_writes_both_files_and_leaves_the_callers_randomness(tmp_path, monkeypatch):
    digits = datasets.load("digits").train[:64]
    drawn = datasets.load("drawn-faces", n=80)
    recipe = recipes.Recipe(
        lambda: models.autoencoder(digits.shape, 2, net="linear"), lambda: digits, losses.elbo, 1, 32
    )
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "new")
    monkeypatch.setitem(recipes.RECIPES, "tiny", recipe)
    monkeypatch.setitem(pretrained.MODELS, "tiny", recipe.build)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    recipes.make("tiny")
    assert torch.equal(torch.rand(1), expected)
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["tiny.json", "tiny.safetensors"]
    again, _ = recipe.train()
    x = digits[:3].batch().x
    torch.testing.assert_close(load("pretrained/tiny").reconstruct(x), again.cpu().reconstruct(x))

    monkeypatch.setattr(recipes, "_test_digits", lambda: digits)
    judged = partial(recipes._likelihood, images=20, samples=10)
    monkeypatch.setitem(recipes.RECIPES, "tiny", replace(recipe, judged=judged))
    recipes.judge("tiny")
    record = pretrained.record("tiny")
    assert record["epoch"] == 1 and record["test"]["images"] == 20 and record["test"]["samples"] == 10
    # ten samples give a better bound than one, which is the ELBO
    bound = metrics.rate_distortion(load("pretrained/tiny"), digits[:20])
    assert record["test"]["log_likelihood"] > -sum(bound.values()) - 1

    again = replace(
        recipe, build=lambda: models.autoencoder(drawn.shape, 2, net="linear"), data=lambda: drawn.train,
        valid=lambda: drawn.valid, directions=True,
    )  # fmt: skip
    monkeypatch.setitem(recipes.RECIPES, "faces", again)
    monkeypatch.setitem(pretrained.MODELS, "faces", again.build)
    recipes.make("faces")
    assert len(pretrained.record("faces")["valid/loss by epoch"]) == 1
    codes = latent.encode(load("pretrained/faces"), drawn.train)
    smiling = latent.in_deviations(latent.direction(codes, drawn.train.attribute("Smiling")), codes)
    torch.testing.assert_close(pretrained.directions("faces")["Smiling"], smiling)

    monkeypatch.setitem(recipes.RECIPES, "broken", replace(recipe, objective=lambda *_: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        recipes.make("broken")
    assert len(list((tmp_path / "new").iterdir())) == 5


def test_what_is_not_there_is_named_with_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="Did you mean 'vae-mnist'"):
        load("pretrained/vae-mnits")
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    with pytest.raises(RunError, match=r"recipes\.py vae-mnist"):
        load("pretrained/vae-mnist")


@pytest.mark.parametrize("work", [recipes.make, recipes.judge])
def test_a_folder_that_cannot_be_written_is_reported_before_the_training(work, monkeypatch):
    """As in an installed library that belongs to somebody else. (An administrator may write everywhere.)"""
    never = replace(recipes.RECIPES["vae-mnist"], build=lambda: 1 / 0, data=lambda: 1 / 0)
    monkeypatch.setitem(recipes.RECIPES, "vae-mnist", never)
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(PermissionError, match=r"weights cannot be written.*in a clone of the project"):
        work("vae-mnist")


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize(
    "words, said", [(["vae-lwf"], "Did you mean 'vae-lfw'?"), (["--help"], "usage"), ([], "usage")]
)
def test_the_command_answers_a_wrong_word_without_a_traceback(words, said, monkeypatch):
    monkeypatch.setattr("sys.argv", ["recipes", *words])
    with pytest.raises(SystemExit) as e:
        runpy.run_module("benchmarks.recipes", run_name="__main__")
    assert said in str(e.value) and "vae-mnist" in str(e.value)
