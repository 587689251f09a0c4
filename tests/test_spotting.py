"""What page 13 alone has: its data are what they say, its explorer shows who is on which side."""

import numpy as np
import pytest
import spotting
import torch
from sklearn.metrics import roc_auc_score

from aelib import datasets
from aelib.datasets import Images

SCORES = torch.tensor([0.1, 0.9, 0.4, 0.6, 0.2, 0.8, 0.3])
STRANGE = np.array([False, False, False, True, True, True, False])


def test_each_side_of_a_threshold_has_its_worst_first():
    alarms, missed = spotting.sides(SCORES, STRANGE, 0.35)
    assert alarms.tolist() == [1, 2] and missed.tolist() == [4]
    assert spotting.sides(SCORES, STRANGE, 0.35, n=1)[0].tolist() == [1]
    alarms, missed = spotting.sides(SCORES, STRANGE, 1.0)
    assert not len(alarms) and missed.tolist() == [4, 3, 5]


def test_pictures_on_the_wrong_side_are_those_and_white_fills_the_rest():
    pictures = torch.arange(7.0).div(10).view(7, 1, 1, 1).expand(7, 1, 4, 4)
    shown = spotting.thresholds_images(SCORES, STRANGE, pictures, 0.35, n=3)
    assert {name: x[:, 0, 0, 0].tolist() for name, x in shown.items()} == {
        "false alarms": pytest.approx([0.1, 0.2, 1.0]), "missed": pytest.approx([0.4, 1.0, 1.0])
    }  # fmt: skip


def test_the_explorer_moves_and_says_what_does_not_fit():
    pictures = (np.arange(7, dtype=np.uint8) * 20)[:, None, None, None].repeat(8, 2).repeat(8, 3)
    widget = spotting.thresholds(SCORES, STRANGE, pictures, SCORES[~STRANGE])
    rate = widget.children[0].children[0]
    before = widget.children[2].children[0].image.value
    rate.value = 0.9
    assert widget.message.value == "" and widget.children[2].children[0].image.value != before
    with pytest.raises(ValueError, match="one picture per score"):
        spotting.thresholds(SCORES, STRANGE, pictures[:3], SCORES)


def test_beats_are_wrong_as_often_as_asked_and_where_they_say():
    data, kind = spotting.beats(4000, seed=0, wrong=0.5)
    x = data.values[:, 0]
    assert x.shape == (4000, 128) and (kind > 0).mean() == pytest.approx(0.5, abs=0.03)
    assert set(kind) == set(range(6)) and not spotting.beats(50, seed=0)[1].any()
    mean = np.stack([x[kind == k].mean(0) for k in range(6)])
    apart = np.abs(mean - mean[0]).argmax(1) / 127  # where each differs most from what is normal
    for k, where in ((1, 0.22), (2, 0.66), (4, 0.40), (5, 0.88)):
        assert apart[k] == pytest.approx(where, abs=0.13), spotting.WRONG[k - 1]
    assert (mean[3] > 0.3).sum() > 1.8 * (mean[0] > 0.3).sum()  # a wide R
    assert np.array_equal(data.values, spotting.beats(4000, seed=0, wrong=0.5)[0].values)


def test_a_share_of_one_class_is_replaced_by_others():
    data = datasets.load("digits").train
    unclean = spotting.contaminated(data, 8, 0.25)
    eights = (data.labels == 8).sum()
    assert len(unclean) == eights and (unclean.labels != 8).sum() == round(0.25 * eights)


def test_a_folder_has_the_faces_and_the_strangers(tmp_path):
    faces = datasets.load("drawn-faces", n=12, size=16).train
    split = datasets.load(str(spotting.folder_with_strangers(faces, tmp_path)), size=16)
    names = [str(f) for f in split.all.files]
    assert sum(name.startswith("face-") for name in names) == len(faces)
    assert sum(not name.startswith("face-") for name in names) == len(spotting.STRANGERS)


def test_what_is_beside_finds_what_is_far_away():
    rng = np.random.default_rng(0)
    near = Images(rng.integers(0, 60, (200, 1, 4, 4), dtype=np.uint8))
    far = Images(np.concatenate([near.pixels[:50], rng.integers(200, 255, (50, 1, 4, 4), dtype=np.uint8)]))
    for name, scores in spotting.beside(near[50:], far).items():
        assert scores.shape == (100,)
        if name != "PCA's residual":  # 16 components keep all of 16 pixels
            assert roc_auc_score(np.arange(100) >= 50, scores) == 1, name


def test_a_negative_and_black_and_white():
    data = Images(np.array([0, 127, 128, 255], np.uint8).reshape(1, 1, 2, 2))
    assert spotting.negative(data).pixels.ravel().tolist() == [255, 128, 127, 0]
    assert spotting.black_and_white(data).pixels.ravel().tolist() == [0, 0, 255, 255]
