"""Faces are found in photos, and cut out as the pretrained models know them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data as photos

from aelib import cli, datasets, faces, load
from aelib.datasets.lfw import _folder

WOMAN = Image.fromarray(
    photos.astronaut()
)  # her eyes are at (204, 105) and (246, 107), her mouth at (224, 145)
EYES = (225, 106)


def mse(images):
    model, x = load("pretrained/ae-lfw", device="cpu"), images.batch().x
    return (model.reconstruct(x) - x).square().mean((1, 2, 3))


def test_a_face_is_cut_out_as_the_model_knows_it(tmp_path):
    WOMAN.save(tmp_path / "woman.png")
    place = faces.find(WOMAN)
    assert abs(place.x - EYES[0]) < 6 and 0 < place.y - EYES[1] < 20 and 75 < place.side < 95
    found = faces.aligned([tmp_path / "woman.png"])
    assert found.shape == (3, 64, 64) and found.files[0].endswith("woman.png")
    whole = datasets.Images(np.asarray(WOMAN.resize((64, 64))).transpose(2, 0, 1)[None])
    assert mse(found)[0] < mse(whole)[0] / 5
    assert faces.likeness(found.batch().x)[0] > 1 and faces.likeness(whole.batch().x)[0] < 0.5


def test_the_place_goes_with_the_face_when_that_is_moved_made_smaller_and_turned():
    place, canvas = faces.find(WOMAN), Image.new("RGB", (500, 400), (90, 120, 60))
    canvas.paste(WOMAN.resize((256, 256)), (200, 100))
    moved = faces.find(canvas)
    assert np.hypot(moved.x - 200 - place.x / 2, moved.y - 100 - place.y / 2) < 2
    assert moved.side == pytest.approx(place.side / 2, rel=0.1)
    turned = faces.find(WOMAN.rotate(10, center=(place.x, place.y)))
    assert np.hypot(turned.x - place.x, turned.y - place.y) < 4
    assert turned.angle == pytest.approx(place.angle - 10, abs=4)
    again = faces.find(Image.fromarray(faces._cut(WOMAN, [place[:4]], 90)[0]))  # nothing but the face
    assert abs(again.x - 45) < 4 and abs(again.y - 45) < 4 and again.side == pytest.approx(90, rel=0.1)


def test_photos_without_a_face_are_named(tmp_path):
    Image.fromarray(photos.rocket()).resize((512, 512)).save(tmp_path / "rocket.png")
    WOMAN.save(tmp_path / "woman.png")
    with pytest.warns(UserWarning, match=r"1 of 2 photos show no face .*rocket\.png \(0\."):
        found = faces.aligned(tmp_path, size=40)
    assert found.shape == (3, 40, 40) and [Path(f).name for f in found.files] == ["rocket.png", "woman.png"]


def test_the_command_line_says_when_a_photo_is_not_aligned_and_aligns_it(tmp_path, capsys):
    WOMAN.save(tmp_path / "woman.png")
    words = ["reconstruct", "pretrained/ae-lfw", str(tmp_path / "woman.png"), f"--out={tmp_path / 'a.png'}"]
    cli.main(words)
    assert "woman.png. --align finds faces" in capsys.readouterr().out
    cli.main([*words, "--align"])
    assert "--align" not in capsys.readouterr().out
    shown = np.asarray(Image.open(tmp_path / "a.png")) / 255
    assert np.square(shown[:128] - shown[-128:]).mean() < 0.01
    with pytest.raises(SystemExit):
        cli.main(["reconstruct", "pretrained/vae-mnist", str(tmp_path / "woman.png"), "--align"])
    assert "squares in colour" in capsys.readouterr().err


@pytest.mark.data
def test_faces_of_lfw_are_found_where_they_are():
    valid = datasets.load("lfw", size=64).valid
    few = valid[np.linspace(0, len(valid) - 1, 12).astype(int)]
    places = [faces.find(Image.open(_folder() / name)) for name in few.files]
    away = [np.hypot(p.x - 125, p.y - 125) for p in places]
    assert np.median(away) < 4 and np.median([abs(np.log2(p.side / 90)) for p in places]) < 0.1
    assert torch.tensor([p.likeness for p in places]).median() > faces.LIKE
