"""plots, check and course: what a learner sees."""

import io
import math
import types

import check
import course
import numpy as np
import pytest
import showing
import torch
from PIL import Image
from torch import nn

from aelib import datasets, heads, nets, plots

FACES = datasets.load("drawn-faces", n=48, size=32)


def png(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_pixels_are_shown_as_they_are():
    x = torch.tensor([0.0, 0.5, 1.0, 2.0, -1.0, float("nan")]).view(1, 1, 2, 3)
    assert plots.pixels(x)[0, ..., 0].tolist() == [[0, 128, 255], [255, 0, 0]]
    np.testing.assert_array_equal(plots.pixels(FACES.train)[0].transpose(2, 0, 1), FACES.train.pixels[0])
    deep = datasets.Images(FACES.train.pixels.astype(np.uint16) * 257)
    np.testing.assert_array_equal(plots.pixels(deep), plots.pixels(FACES.train))
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
    assert png(plots.show({"none": FACES.train[:0], "neither": FACES.train[:0]})._repr_png_()[0]).size
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
        assert png(figure._repr_png_()[0]).std() > 10 and repr(figure) == "Picture"
    assert not plt.get_fignums()
    texts = {t.get_text() for t in figures[1].axes[0].texts}
    assert {"photo", "again", "a", "f"} <= texts


def test_a_notebook_stores_what_a_picture_shows_in_words():
    from IPython.core.interactiveshell import InteractiveShell

    figure = plots.show(FACES.train[:2]).described("Two drawn faces side by side.")
    data, words = InteractiveShell.instance().display_formatter.format(figure)
    assert data["image/png"] and words == {"image/png": {"alt": "Two drawn faces side by side."}}
    with pytest.raises(ValueError, match="nothing was trained"):
        plots.curves([])


SQUARED = {
    "correct": lambda a, b: ((a - b) ** 2).sum((1, 2, 3)),
    "hidden": lambda a, b: ((a - b) ** 2).mean((1, 2, 3)),
    "absolute": lambda a, b: (a - b).abs().sum((1, 2, 3)),
    "nothing": lambda a, b: None,
    "shape": lambda a, b: ((a - b) ** 2).sum(),
    "raised ZeroDivisionError": lambda a, b: 1 / 0,
    "not yet": lambda a, b: ((a - b) ** 2).sum((1, 2, 3)) + 1,
}


def unit(z, v):
    return v * ((z @ v).std() / (v @ v))


DIRECTION = {
    "correct": lambda z, y: unit(z, z[y == 1].mean(0) - z[y == 0].mean(0)),
    "absolute": lambda z, y: unit(z, (z[y == 1].mean(0) - z[y == 0].mean(0)).abs()),
    "turned round": lambda z, y: unit(z, z[y == 0].mean(0) - z[y == 1].mean(0)),
    "without the attribute": lambda z, y: unit(z, z[y == 1].mean(0)),
    "its length is to be": lambda z, y: z[y == 1].mean(0) - z[y == 0].mean(0),
}
PROJECTION = {
    "correct": lambda x, m, v: m + ((x - m) @ v.T) @ v,
    "add the mean again": lambda x, m, v: ((x - m) @ v.T) @ v,
    "subtract the mean before you project": lambda x, m, v: (x @ v.T) @ v,
    "not only add it after": lambda x, m, v: m + (x @ v.T) @ v,
}
KL = {
    "correct": lambda m, v: 0.5 * (m**2 + v.exp() - 1 - v).sum(1),
    "not their mean": lambda m, v: 0.5 * (m**2 + v.exp() - 1 - v).mean(1),
    "never negative": lambda m, v: -0.5 * (m**2 + v.exp() - 1 - v).sum(1),
    "factor ½": lambda m, v: (m**2 + v.exp() - 1 - v).sum(1),
    "*variance*": lambda m, v: 0.5 * (m**2 + (2 * v).exp() - 1 - 2 * v).sum(1),
    "nothing": lambda m, v: ...,
}
BETA = {
    "correct": lambda d: d / 2,
    "*half*": lambda d: d,
    "wrong way up": lambda d: 2 / d,
    "half, not twice": lambda d: 2 * d,
    "nothing": lambda d: ...,
    "raised ZeroDivisionError": lambda d: d / 0,
}
ONE_HOT = {
    "correct": lambda y, k: torch.nn.functional.one_hot(y, k),
    "exchanged": lambda y, k: 1 - torch.nn.functional.one_hot(y, k),
    "shape": lambda y, k: y,
}


def arc(a, b, t):
    w = torch.acos(a @ b / (a @ a))
    return (torch.sin((1 - t) * w) * a + torch.sin(t * w) * b) / torch.sin(w)


SLERP = {
    "correct": arc,
    "straight line": lambda a, b, t: (1 - t) * a + t * b,
    "exchanged": lambda a, b, t: arc(a, b, 1 - t),
    "sin ω": lambda a, b, t: arc(a, b, t) * torch.sin(torch.acos(a @ b / (a @ a))),
}


def largest(z, k, dim=1):
    return torch.where(z >= z.sort(dim, descending=True).values.narrow(dim, k - 1, 1), z, 0)


TOP_K = {
    "correct": largest,
    "smallest": lambda z, k: -largest(-z, k),
    "over the batch": lambda z, k: largest(z, k, dim=0),
    "keep their value": lambda z, k: (largest(z, k) != 0).float(),
    "shape": lambda z, k: z.topk(k + 1, 1).values,
}


def bernoulli(*layers):
    return lambda k, shape: nn.Sequential(
        nets.MLP(k, 100, math.prod(shape)), *layers, nets.Reshape(*shape), heads.Bernoulli()
    )


DECODER = {
    "correct": bernoulli(),
    "activation too many": bernoulli(nn.Sigmoid()),
    "nothing": lambda k, shape: ...,
    "expected": lambda k, shape: nn.Sequential(nn.Linear(k, 12), nets.Reshape(3, 2, 2), heads.Bernoulli()),
    "means run from": lambda k, shape: nn.Sequential(
        nn.Linear(k, math.prod(shape)), nets.Reshape(*shape), heads.Gaussian(1.0)
    ),
}


@pytest.mark.parametrize(
    "exercise, answers",
    [
        (check.squared_error, SQUARED), (check.direction, DIRECTION), (check.pca_reconstruction, PROJECTION),
        (check.kl, KL), (check.beta_of_mean_squared_error, BETA), (check.one_hot, ONE_HOT),
        (check.slerp, SLERP), (check.top_k, TOP_K), (check.decoder, DECODER),
    ],
)  # fmt: skip
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


def test_a_picture_keeps_its_words_where_pyplot_shows_all_figures(monkeypatch):
    import IPython
    from IPython.core.formatters import DisplayFormatter
    from matplotlib.figure import Figure

    shell = types.SimpleNamespace(display_formatter=DisplayFormatter())
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    shell.display_formatter.formatters["image/png"].for_type(Figure, lambda figure: b"pyplot's")
    data, words = shell.display_formatter.format(plots.show(FACES.train[:2]).described("Two faces."))
    assert data["image/png"] != b"pyplot's" and words["image/png"] == {"alt": "Two faces."}
    assert shell.display_formatter.format(Figure())[0]["image/png"] == b"pyplot's"


def test_nobody_is_in_a_figure_twice():
    pictures = np.zeros((6, 3, 2, 2), np.uint8)
    images = datasets.Images(pictures, labels=np.array([2, 2, 0, 2, 1, 0]))
    assert showing.people(images, 2).tolist() == [0, 2] and showing.people(images, 9).tolist() == [0, 2, 4]
    test = datasets.load("drawn-faces").head(600).test
    assert len(set(test.labels[showing.people(test, 8)].tolist())) == 8


def test_every_class_on_a_map_has_its_colour_and_its_number():
    xy, labels = np.random.default_rng(0).normal(size=(90, 2)), np.arange(90) % 3
    _, ((ax,),) = plots.axes()
    showing.classes(ax, xy, labels, ["a", "b", "c"], marks=30)
    dots, marks = ax.lines[::2], ax.lines[1::2]
    assert [m.get_marker() for m in marks] == ["$0$", "$1$", "$2$"]
    assert [len(d.get_xdata()) for d in dots] == [30] * 3 and [len(m.get_xdata()) for m in marks] == [10] * 3
    assert len({m.get_color() for m in marks}) == 3
    assert [m.get_color() for m in marks] == [d.get_color() for d in dots]
    np.testing.assert_array_equal(marks[1].get_xydata(), xy[:30][labels[:30] == 1])
    assert ax.get_legend_handles_labels()[1] == ["a", "b", "c"]
