import json
from dataclasses import replace

import pytest
import torch

from aelib import datasets, losses, metrics, models, pretrained


@pytest.mark.parametrize("name", pretrained.RECIPES)
def test_the_weights_are_here_and_say_what_made_them(name):
    model = pretrained.load(name)
    assert not model.training
    torch.manual_seed(0)
    images = model.sample(4)
    assert images.shape == (4, 1, 28, 28) and images.std() > 0.1
    record = json.loads((pretrained.FOLDER / f"{name}.json").read_text())
    assert record["command"] == f"python -m aelib.pretrained {name}"
    assert record["epoch"] == pretrained.RECIPES[name].epochs and record["cpu_seconds"] <= 2 * 3600


def test_the_weights_are_small():
    assert sum(p.stat().st_size for p in pretrained.FOLDER.iterdir()) < 40e6


@pytest.mark.data
def test_the_weights_know_the_digits():
    digits = datasets.load("mnist").test[:200].map(datasets.binarised)
    for name, least in (("vae-mnist", -90), ("iwae-mnist", -90), ("flow-vae-mnist", -90)):
        assert metrics.log_likelihood(pretrained.load(name), digits, samples=50).mean() > least


def test_making_them_writes_both_files_and_leaves_the_callers_randomness(tmp_path, monkeypatch):
    digits = datasets.load("digits").train[:64]
    recipe = pretrained.Recipe(
        lambda: models.autoencoder(digits.shape, 2, net="linear"), lambda: digits, losses.elbo, 1, 32
    )
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "new")
    monkeypatch.setitem(pretrained.RECIPES, "tiny", recipe)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    pretrained.make("tiny")
    assert torch.equal(torch.rand(1), expected)
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["tiny.json", "tiny.safetensors"]
    again, _ = recipe.train()
    x = digits[:3].batch().x
    torch.testing.assert_close(pretrained.load("tiny").reconstruct(x), again.cpu().reconstruct(x))

    monkeypatch.setattr(pretrained, "_test_digits", lambda: digits)
    monkeypatch.setitem(pretrained.RECIPES, "tiny", replace(recipe, judged=(20, 10)))
    pretrained.judge("tiny")
    record = pretrained.record("tiny")
    assert record["epoch"] == 1 and record["test"]["images"] == 20 and record["test"]["samples"] == 10
    # ten samples give a better bound than one, which is the ELBO
    bound = metrics.rate_distortion(pretrained.load("tiny"), digits[:20])
    assert record["test"]["log_likelihood"] > -sum(bound.values()) - 1

    monkeypatch.setitem(pretrained.RECIPES, "broken", replace(recipe, objective=lambda *_: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        pretrained.make("broken")
    assert len(list((tmp_path / "new").iterdir())) == 2


def test_what_is_not_there_is_named_with_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="vae-mnist"):
        pretrained.load("vae-mnits")
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    with pytest.raises(FileNotFoundError, match="pretrained vae-mnist"):
        pretrained.load("vae-mnist")
