"""plots, explorers, check and course: what a learner sees."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from aelib import check, course, datasets, explorers, latent, models, plots

FACES = datasets.load("drawn-faces", n=48, size=32)


def png(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_pixels_are_shown_as_they_are():
    x = torch.tensor([0.0, 0.5, 1.0, 2.0, -1.0, float("nan")]).view(1, 1, 2, 3)
    assert plots.pixels(x)[0, ..., 0].tolist() == [[0, 128, 255], [255, 0, 0]]
    np.testing.assert_array_equal(plots.pixels(FACES.train)[0].transpose(2, 0, 1), FACES.train.pixels[0])
    with pytest.raises(ValueError, match=r"\(N, C, H, W\)"):
        plots.pixels(torch.rand(5))


def test_a_tile_holds_every_image_at_its_place():
    a = FACES.train.pixels[:5]
    picture = plots.tile(a, 3, gap=2)
    assert picture.shape == (66, 100, 3)
    np.testing.assert_array_equal(picture[34:66, 34:66], a[4].transpose(1, 2, 0))
    assert (picture[34:, 68:] == 255).all()
    assert png(plots.png(a, 3, zoom=2)).shape == (132, 200, 3)


def test_no_images_are_an_empty_picture_and_no_crash():
    assert png(plots.show({"none": FACES.train[:0], "neither": FACES.train[:0]})._repr_png_()).size
    assert (plots.tile(FACES.train[:0], 3) == 255).all()


def test_figures_show_themselves_and_leave_nothing_open():
    import matplotlib.pyplot as plt

    x = FACES.train[:6]
    figures = [
        plots.show(x),
        plots.show({"photo": x, "again": x.batch().x[:4]}, titles=list("abcdef")),
        plots.curves([{"epoch": i, "train/loss": 1 / i, "valid/loss": 2 / i} for i in (1, 2)]),
    ]
    for figure in figures:
        assert png(figure._repr_png_()).std() > 10 and repr(figure) == "Picture"
    assert not plt.get_fignums()
    texts = {t.get_text() for t in figures[1].axes[0].texts}
    assert {"photo", "again", "a", "f"} <= texts
    with pytest.raises(ValueError, match="nothing was trained"):
        plots.curves([])


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return models.autoencoder(FACES.shape, 5, net="conv", posterior="deterministic", likelihood="gaussian")


def test_moving_the_slider_moves_the_picture_and_reset_brings_it_back(model):
    z = latent.encode(model, FACES.test)
    v = {"up": torch.full((5,), 3.0), "broken": torch.zeros(4)}
    widget = explorers.attributes(model, z, FACES.test.batch().x, v, strength=2.0)
    (face, name), (slider, reset) = (row.children for row in widget.children[:2])
    before, after = (box.children[1] for box in widget.children[2].children)
    start = after.value
    np.testing.assert_array_equal(png(before.value)[::8, ::8], FACES.test.pixels[0].transpose(1, 2, 0))
    slider.value = 1.0
    assert after.value != start
    expected = plots.pixels(explorers.edit(model, z[:1], v["up"], 2.0))[0]
    np.testing.assert_array_equal(png(after.value)[::8, ::8], expected)
    moved = after.value
    face.value = 1
    assert after.value != moved
    name.value = "broken"
    assert "Error" in widget.children[3].value
    name.value = "up"
    assert widget.children[3].value == ""
    face.value = 0
    reset.click()
    assert after.value == start


def test_the_strip_is_the_widgets_pictures(model):
    z, v = latent.encode(model, FACES.test[:2]), torch.ones(5)
    strip = explorers.attribute_strip(model, z, v, [-1.0, 0.0, 2.0])
    assert strip.shape == (6, *FACES.shape)
    torch.testing.assert_close(strip[5], explorers.edit(model, z[1:], v, 2.0)[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="no attributes"):
        explorers.attributes(model, z, FACES.test[:2].batch().x, {})


SQUARED = {
    "correct": lambda a, b: ((a - b) ** 2).sum((1, 2, 3)),
    "hidden": lambda a, b: ((a - b) ** 2).mean((1, 2, 3)),
    "absolute": lambda a, b: (a - b).abs().sum((1, 2, 3)),
    "nothing": lambda a, b: None,
    "shape": lambda a, b: ((a - b) ** 2).sum(),
    "raised ZeroDivisionError": lambda a, b: 1 / 0,
    "not yet": lambda a, b: ((a - b) ** 2).sum((1, 2, 3)) + 1,
}
DIRECTION = {
    "correct": lambda z, y: z[y == 1].mean(0) - z[y == 0].mean(0),
    "absolute": lambda z, y: (z[y == 1].mean(0) - z[y == 0].mean(0)).abs(),
    "turned round": lambda z, y: z[y == 0].mean(0) - z[y == 1].mean(0),
    "without the attribute": lambda z, y: z[y == 1].mean(0),
    "not all images": lambda z, y: z[y == 1].mean(0) - z.mean(0),
}
PROJECTION = {
    "correct": lambda x, m, v: m + ((x - m) @ v.T) @ v,
    "add the mean again": lambda x, m, v: ((x - m) @ v.T) @ v,
    "subtract the mean before you project": lambda x, m, v: (x @ v.T) @ v,
    "not only add it after": lambda x, m, v: m + (x @ v.T) @ v,
}


@pytest.mark.parametrize(
    "exercise, answers",
    [(check.squared_error, SQUARED), (check.direction, DIRECTION), (check.pca_reconstruction, PROJECTION)],
)
def test_exercises_answer_with_what_is_off(capsys, exercise, answers):
    for said, f in answers.items():
        exercise(f)
        out = capsys.readouterr().out
        assert said.replace("hidden", "mean over the pixels") in out
        assert out.startswith("correct") == (said == "correct")


def test_the_profile_is_checked_and_picks(monkeypatch):
    monkeypatch.setenv("AELIB_PROFILE", "quick")
    assert course.pick(full=1, quick=2) == 2
    monkeypatch.delenv("AELIB_PROFILE")
    assert course.pick(full=1, quick=2) == 1
    monkeypatch.setenv("AELIB_PROFILE", "quik")
    with pytest.raises(ValueError, match="Did you mean 'quick'"):
        course.profile()


def test_without_the_data_a_page_runs_on_an_embedded_set_and_says_so(no_data, capsys, monkeypatch):
    monkeypatch.setenv("AELIB_PROFILE", "quick")
    split = course.data("lfw", "drawn-faces", quick=100)
    out = capsys.readouterr().out
    assert split.name == "drawn-faces" and len(split.train) == 100 and len(split.test) == 25
    assert "lfw is not here, so this page runs on drawn-faces" in out and "profile quick" in out
