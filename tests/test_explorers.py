"""The explorers without a browser: their pure functions, and what the widgets show when something moves."""

import base64
import io

import ipywidgets as widgets
import mapping
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from aelib import contexts, datasets, explorers, heads, latent, metrics, models, plots, priors
from aelib import distributions as D
from aelib.explorers.widgets import Explorer, Panel

FACES = datasets.load("drawn-faces", n=48, size=32)


class Glass(nn.Module):
    """A decoder that one can see through: the picture's pixels are z and c. It breaks on demand."""

    broken = False

    def forward(self, h):
        if self.broken:
            raise RuntimeError("out of <order>")
        return D.Delta(h[:, None, None, :])


def glass(prior=None):
    return models.Autoencoder(nn.Sequential(nn.Flatten(), heads.Deterministic()), Glass(), prior)


torch.manual_seed(0)
CODES = torch.rand(40, 2) * torch.tensor([0.6, 0.2]) + torch.tensor([0.2, 0.4])
PHOTOS = CODES[:, None, None, :]  # a photo shows its code, so that one can see which it is
DATA = datasets.Images(plots.pixels(PHOTOS)[..., :1].transpose(0, 3, 1, 2).copy())
ATTRIBUTES = (torch.rand(40, 3) < 0.5).float()
EXPLORERS = {
    "attributes": lambda m: explorers.attributes(m, CODES, PHOTOS, {"up": 0.1 * torch.ones(2)}),
    "latent_space": lambda m: explorers.latent_space(m, CODES, PHOTOS, {"up": torch.tensor([0.0, 0.05])}),
    "interpolation": lambda m: explorers.interpolation(m, CODES, PHOTOS),
    "manifold": lambda m: mapping.manifold(m, CODES, ["a", "b"] * 20),
    "conditional": lambda m: explorers.conditional(m, CODES, PHOTOS, ATTRIBUTES, list("ABC")),
    "reconstructions": lambda m: explorers.reconstructions({"one": m, "two": m}, DATA),
}


def parts_of(widget, kind):
    """All widgets of a kind, in reading order, by description or title."""
    found = {}

    def visit(w):
        if isinstance(w, kind):
            found[w.title.value if kind is Panel else w.description] = w
        for child in getattr(w, "children", ()):
            visit(child)

    visit(widget)
    return found


def shown(panel, n=2):
    """(rows, n) of what a panel of glass shows: images of one row of n pixels, one below the other."""
    image = Image.open(io.BytesIO(panel.image.value)).convert("L")
    assert panel.image.layout.width == f"{image.width}px" and panel.side <= image.width < panel.side + n
    zoom = image.width // n
    return torch.from_numpy(np.asarray(image)[zoom // 2 :: 3 * zoom, zoom // 2 :: zoom] / 255).float()


def near(a, b, digits=1 / 255):
    torch.testing.assert_close(a, b.expand_as(a), rtol=0, atol=digits)


def message(widget):
    return widget.children[-1].value


# what all of them have in common


@pytest.mark.parametrize("name", EXPLORERS)
def test_an_error_is_shown_and_it_goes_on(name):
    model = glass().train()
    widget = EXPLORERS[name](model)
    assert message(widget) == ""
    slider = next(iter(parts_of(widget, (widgets.FloatSlider, widgets.IntSlider)).values()))
    before = [p.image.value for p in parts_of(widget, Panel).values()]
    model.decoder.broken = True
    slider.value = slider.max
    assert message(widget).startswith("<b>RuntimeError</b>: out of &lt;order&gt;")
    assert model.training, "an error must not leave the model in another mode"
    model.decoder.broken = False
    slider.value = 1 if slider.max > 1 else 0.25
    assert message(widget) == ""
    assert [p.image.value for p in parts_of(widget, Panel).values()] != before


@pytest.mark.parametrize("name", EXPLORERS)
def test_its_text_is_the_same_on_every_machine_and_nothing_stays_open(name):
    model = glass().train()
    widget = EXPLORERS[name](model)
    assert model.training, "looking must not change the model's mode"
    assert repr(widget) == f"explorers.{name}: run this cell to move it"
    assert not plt.get_fignums()


@pytest.mark.parametrize("name", EXPLORERS)
def test_beside_the_widget_lies_a_picture_for_where_there_is_no_kernel(name):
    widget = EXPLORERS[name](glass())
    data, about = widget._repr_mimebundle_()
    assert data["text/plain"] == repr(widget) and "application/vnd.jupyter.widget-view+json" in data
    panels = [p for p in parts_of(widget, Panel).values() if p.layout.display != "none"]
    still = png(base64.b64decode(data["image/png"]))
    at = 0
    for panel in panels:  # side by side, as they are
        image = png(panel.image.value)
        np.testing.assert_array_equal(still[: len(image), at : at + image.shape[1]], image)
        assert panel.title.value in about["image/png"]["alt"]
        at += image.shape[1] + 8
    assert len(panels) >= 2 and still.shape[1] == at
    assert widget.described("one face") is widget
    assert widget._repr_mimebundle_()[1]["image/png"]["alt"] == "one face"
    for control in parts_of(widget, (widgets.FloatSlider, widgets.IntSlider, widgets.Dropdown)).values():
        assert control.tooltip == control.description, "a screen reader has no name for it"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs two devices")
@pytest.mark.parametrize("name", EXPLORERS)
def test_the_model_may_live_on_another_device(name):
    model = glass(priors.StandardNormal(2))
    model.register_parameter("here", nn.Parameter(torch.zeros(1)))
    widget = EXPLORERS[name](model.cuda())
    for button in parts_of(widget, widgets.Button).values():
        button.click()
        assert message(widget) == ""


# along an attribute


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return models.autoencoder(FACES.shape, 5, net="conv", posterior="deterministic", likelihood="gaussian")


def png(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_moving_the_slider_moves_the_picture_and_reset_brings_it_back(model):
    z = latent.encode(model, FACES.test)
    v = {"up": torch.full((5,), 3.0), "broken": torch.zeros(4)}
    widget = explorers.attributes(model, z, FACES.test.batch().x, v)
    (face, name), (slider, reset) = (row.children for row in widget.children[:2])
    before, after = (box.children[1] for box in widget.children[2].children)
    start = after.value
    np.testing.assert_array_equal(png(before.value)[::8, ::8], FACES.test.pixels[0].transpose(1, 2, 0))
    slider.value = 2.0
    assert after.value != start
    expected = plots.pixels(explorers.attributes_strip(model, z[:1], v["up"], [2.0]))[0]
    np.testing.assert_array_equal(png(after.value)[::8, ::8], expected)
    moved = after.value
    face.value = 1
    assert after.value != moved
    name.value = "broken"
    assert "Error" in widget.message.value
    name.value = "up"
    assert widget.message.value == ""
    face.value = 0
    reset.click()
    assert after.value == start


def test_what_a_model_hardly_draws_is_offered_on_request_with_its_share(model):
    z, v = latent.encode(model, FACES.test), {n: torch.ones(5) for n in ("well", "hardly", "not judged")}
    for shares, few in (({"well": 0.95, "hardly": 0.12}, ["well", "not judged"]), ({}, list(v))):
        widget = explorers.attributes(model, z, FACES.test.batch().x, v, shares)
        _, name, *others = widget.children[0].children
        assert [value for _, value in name._options_full] == few and len(others) == (len(few) < 3)
    widget = explorers.attributes(model, z, FACES.test.batch().x, v, {"hardly": 0.12})
    _, name, others = widget.children[0].children
    others.value = True
    assert [text for text, _ in name._options_full] == ["well", "hardly (12%)", "not judged"]
    name.value = "hardly"
    others.value = False
    assert name.value == "well" and widget.message.value == ""
    none = explorers.attributes(model, z, FACES.test.batch().x, {"hardly": v["hardly"]}, {"hardly": 0.12})
    assert none.children[0].children[1].value == "hardly"


def test_a_strip_moves_each_code_by_each_strength(model):
    z, v = latent.encode(model, FACES.test[:2]), torch.ones(5)
    strip = explorers.attributes_strip(model, z, v, [-1.0, 0.0, 2.0])
    assert strip.shape == (6, *FACES.shape)
    torch.testing.assert_close(strip[5], latent.decode(model, z[1:] + 2 * v)[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="no attributes"):
        explorers.attributes(model, z, FACES.test[:2].batch().x, {})


# the space of codes


def test_a_traversal_goes_one_axis_at_a_time():
    axes = torch.tensor([[1.0, 0.0], [0.0, 10.0], [1.0, 1.0]])
    rows = explorers.latent_space_strip(glass(), CODES[0], axes, [-1.0, 2.0])[:, 0, 0] - CODES[0]
    expected = torch.tensor([[-1.0, 0], [2, 0], [0, -10], [0, 20], [-1, -1], [2, 2]])
    torch.testing.assert_close(rows, expected)


def test_a_random_code_comes_from_a_prior_that_codes_match_or_else_has_the_codes_moments():
    model, state = glass(priors.fit_prior(CODES, "full")), torch.get_rng_state()
    with contexts.seeded(7):
        expected = model.prior().sample()
    assert torch.equal(explorers.latent_space_random(model, CODES, 7), expected)
    for model in (glass(), glass(priors.fit_prior(torch.randn(500, 2) * 0.1 + 100, "diagonal"))):
        drawn = torch.stack([explorers.latent_space_random(model, CODES, seed) for seed in range(300)])
        assert len(drawn.unique(dim=0)) == 300
        torch.testing.assert_close(drawn.mean(0), CODES.mean(0), rtol=0, atol=0.05)
        torch.testing.assert_close(drawn.T.cov(), CODES.T.cov(), rtol=0.3, atol=5e-3)
    torch.set_rng_state(state)
    explorers.latent_space_random(model, CODES, 7)
    assert torch.equal(torch.get_rng_state(), state), "a click must not change the numbers of the next cell"


def test_latent_space_shows_the_code_that_its_sliders_say_and_the_nearest_photo():
    up = torch.tensor([0.0, 0.05])
    widget = explorers.latent_space(glass(), CODES, PHOTOS, {"up": up}, components=8)
    one, two, attribute = parts_of(widget, widgets.FloatSlider).values()
    decoded, photo = parts_of(widget, Panel).values()
    mean, v = CODES.mean(0), latent.principal_directions(CODES, 2)
    near(shown(decoded)[0], mean)
    for amounts in ((1.0, 0.0, 0.0), (-1.5, 2.0, 0.0), (0.0, 0.5, -2.0)):
        one.value, two.value, attribute.value = amounts
        z = mean + amounts[0] * v[0] + amounts[1] * v[1] + amounts[2] * up
        near(shown(decoded)[0], z)
        nearest = int(((CODES - z) ** 2).sum(1).argmin())
        near(shown(photo)[0], CODES[nearest])
        assert photo.title.value == f"nearest photo: {nearest}"
    parts_of(widget, widgets.Button)["reset"].click()
    near(shown(decoded)[0], mean)
    assert one.value == two.value == attribute.value == 0
    shares = [float(d.split("(")[1].rstrip("%)")) for d in (one.description, two.description)]
    assert sum(shares) == pytest.approx(100, abs=1) and shares[0] > shares[1]


@pytest.mark.parametrize("components", [1, 2])
def test_random_goes_to_another_code_and_its_sliders_to_where_that_is(components):
    model = glass(priors.fit_prior(CODES, "full"))
    widget = explorers.latent_space(model, CODES, PHOTOS, {"up": torch.ones(2)}, components)
    *principal, attribute = parts_of(widget, widgets.FloatSlider).values()
    decoded, _ = parts_of(widget, Panel).values()
    buttons = parts_of(widget, widgets.Button)
    for seed in range(3):
        attribute.value = 0.1
        buttons["random"].click()
        z = explorers.latent_space_random(model, CODES, seed)
        near(shown(decoded)[0], z)
        assert attribute.value == 0
        v = latent.principal_directions(CODES, 2)
        for slider, axis in zip(principal, v, strict=False):
            assert slider.value == pytest.approx(
                float((z - CODES.mean(0)) @ axis / axis.norm() ** 2), abs=0.051
            )
    buttons["reset"].click()
    near(shown(decoded)[0], CODES.mean(0))
    assert all(slider.value == 0 for slider in principal)


def test_a_button_draws_once_however_many_sliders_it_moves():
    drawn = []
    sliders = [widgets.FloatSlider() for _ in range(5)]
    explorer = Explorer("test", lambda: drawn.append([s.value for s in sliders]), *sliders)

    def move():
        for slider in sliders:
            slider.value += 1

    explorer.button("go", "", move).click()
    assert drawn == [[1.0] * 5]
    sliders[0].value = 7
    assert len(drawn) == 2


# from one photo to another


def test_the_way_leads_from_a_to_b():
    widget = explorers.interpolation(glass(), CODES, PHOTOS)
    first, second = parts_of(widget, widgets.IntSlider).values()
    t, kind = (next(iter(parts_of(widget, k).values())) for k in (widgets.FloatSlider, widgets.Dropdown))
    a, between, b = parts_of(widget, Panel).values()
    assert kind.options == ("linear", "spherical")
    for i, j in ((0, 1), (3, 20), (39, 3)):
        first.value, second.value = i, j
        near(shown(a)[0], CODES[i])
        near(shown(b)[0], CODES[j])
        for position in (0.0, 0.3, 1.0):
            t.value = position
            kind.value = "linear"
            near(shown(between)[0], (1 - position) * CODES[i] + position * CODES[j])
            kind.value = "spherical"
            near(shown(between)[0], latent.interpolate(CODES[i], CODES[j], [position], "spherical")[0])


# the plane


def test_the_grid_goes_right_and_up_through_the_quantiles():
    z = mapping.manifold_images(glass(), 4, CODES)[:, 0, 0].view(4, 4, 2)
    q = np.quantile(CODES.numpy(), [0.125, 0.375, 0.625, 0.875], axis=0)
    for row in range(4):
        np.testing.assert_allclose(z[row, :, 0], q[:, 0], rtol=1e-5)
        np.testing.assert_allclose(z[:, row, 1], q[::-1, 1], rtol=1e-5)
    z = mapping.manifold_images(glass(), 2)[:, 0, 0]
    quartile = 0.6745
    expected = quartile * torch.tensor([[-1.0, 1], [1, 1], [-1, -1], [1, -1]])
    torch.testing.assert_close(z, expected, rtol=1e-3, atol=0)


def test_the_plane_is_walked_by_two_sliders_over_the_middle_98_percent():
    widget = mapping.manifold(glass(), CODES)
    x, y = parts_of(widget, widgets.FloatSlider).values()
    chart, decoded = parts_of(widget, Panel).values()
    for k, slider in enumerate((x, y)):
        low, high = np.percentile(CODES[:, k].numpy(), (1, 99))
        assert low - slider.step <= slider.min <= low and high <= slider.max <= high + slider.step
        assert 20 <= (high - low) / slider.step <= 200
        assert slider.value == pytest.approx(CODES[:, k].mean().item(), abs=slider.step)
    start = x.value, y.value
    maps_seen = {chart.image.value}
    for z in ((0.5, 0.5), (0.3, 0.5), (0.3, 0.45)):
        x.value, y.value = z
        near(shown(decoded)[0], torch.tensor(z))
        maps_seen.add(chart.image.value)
    assert len(maps_seen) == 4
    parts_of(widget, widgets.Button)["reset"].click()
    assert (x.value, y.value) == start and chart.image.value in maps_seen


def test_the_ring_stands_where_the_code_is():
    codes = np.array([[0.0, 0.0], [10.0, 2.0], [3.0, 1.9]])
    chart = mapping.Map(codes, np.array(["red", "green", "blue"]))
    plain = np.asarray(chart.picture).astype(int)
    for code in codes:
        picture = chart.marked(*code)[0].transpose(1, 2, 0)
        rows, columns = np.nonzero((picture != plain).any(2))
        v, u = round(rows.mean()), round(columns.mean())
        assert np.ptp(plain[v, u]) > 50, "the dot of the code is in the middle of the ring"
    assert mapping.Map(np.zeros((5, 2)), np.arange(5)).marked(0, 0).shape[1] == 3
    with pytest.raises(ValueError, match=r"two numbers, \(N, 2\); got \(40, 3\)"):
        mapping.manifold(glass(), torch.zeros(40, 3))
    with pytest.raises(ValueError, match="two numbers"):
        mapping.manifold_images(glass(), 3, torch.zeros(40, 1))
    with pytest.raises(ValueError, match="40 codes, but 3 labels"):
        mapping.manifold(glass(), CODES, [1, 2, 3])


def test_a_collapsed_code_has_a_map_too():
    widget = mapping.manifold(glass(), torch.full((9, 2), 0.25))
    for slider in parts_of(widget, widgets.FloatSlider).values():
        slider.value = slider.max
    assert message(widget) == ""


# conditions


def test_a_condition_changes_the_condition_alone():
    c = torch.eye(3)
    strip = explorers.conditional_strip(glass(), CODES[:2], c)[:, 0, 0]
    torch.testing.assert_close(strip[:, :2], CODES[[0, 0, 0, 1, 1, 1]])
    torch.testing.assert_close(strip[:, 2:], c[[0, 1, 2, 0, 1, 2]])


def test_classes_are_chosen_from_a_list():
    own = nn.functional.one_hot(torch.arange(40) % 3, 3)
    widget = explorers.conditional(glass(), CODES, PHOTOS, own, ["zero", "one", "two"])
    assert not parts_of(widget, widgets.Checkbox)
    kind, number = parts_of(widget, widgets.Dropdown)["class"], parts_of(widget, widgets.IntSlider)["photo"]
    photo, decoded = parts_of(widget, Panel).values()
    assert kind.label == "zero"
    near(shown(decoded, 5)[0], torch.tensor([*CODES[0], 1, 0, 0]))
    kind.value = 2
    near(shown(decoded, 5)[0], torch.tensor([*CODES[0], 0, 0, 1]))
    number.value = 4
    assert kind.label == "one", "another photo comes with its own class"
    near(shown(decoded, 5)[0], torch.tensor([*CODES[4], 0, 1, 0]))
    near(shown(photo)[0], CODES[4])
    kind.value = 0
    parts_of(widget, widgets.Button)["reset"].click()
    near(shown(decoded, 5)[0], torch.tensor([*CODES[4], 0, 1, 0]))
    assert kind.label == "one"


def test_attributes_that_are_hardly_drawn_are_offered_on_request():
    own, drawn = 2.0 * ATTRIBUTES - 1, {"smiling": 0.97, "hat": 0.154}
    widget = explorers.conditional(glass(), CODES, PHOTOS, own, ["smiling", "bald", "hat"], drawn)
    boxes = parts_of(widget, widgets.Checkbox)
    shown = lambda: [name for name, box in boxes.items() if box.layout.display != "none"]  # noqa: E731
    others = boxes.pop("hardly drawn too")
    assert shown() == ["smiling", "bald"]
    others.value = True
    assert shown() == ["smiling", "bald", "hat (15%)"]
    decoded = parts_of(widget, Panel)["decoded"]
    before = decoded.image.value
    boxes["hat (15%)"].value ^= True
    assert decoded.image.value != before
    others.value = False
    assert shown() == ["smiling", "bald"]
    none = explorers.conditional(glass(), CODES, PHOTOS, own, ["a", "b", "c"], dict.fromkeys("abc", 0.1))
    assert parts_of(none, widgets.Checkbox)["hardly drawn too"].value, "else there would be nothing to tick"


@pytest.mark.parametrize("absent", [0, -1])
def test_attributes_are_ticked(absent):
    # −1 shows as black, as 0 does: the model is asked, not the picture
    seen = []
    model = glass()
    model.decoder.register_forward_pre_hook(lambda _, h: seen.append(h[0][0].tolist()))
    own = torch.where(ATTRIBUTES == 1, 1.0, float(absent))
    own[0] = torch.tensor([1.0, absent, 0.0])
    own[1] = torch.tensor([absent, 1.0, 1.0])
    widget = explorers.conditional(model, CODES, PHOTOS, own, ["smiling", "bald", "hat"])
    boxes = parts_of(widget, widgets.Checkbox)
    number, reset = parts_of(widget, widgets.IntSlider)["photo"], parts_of(widget, widgets.Button)["reset"]
    assert not parts_of(widget, widgets.Dropdown)
    hat = "hat ?" if absent else "hat"
    assert [(d, b.value) for d, b in boxes.items()] == [("smiling", True), ("bald", False), (hat, False)]
    smiling, bald, hat = boxes.values()
    strength = parts_of(widget, widgets.FloatSlider)["strength"]

    def asked(i, *c):
        assert seen[-1] == pytest.approx([*CODES[i].tolist(), *c])

    asked(0, 1, absent, 0)
    bald.value = True
    asked(0, 1, 1, 0)
    smiling.value = False
    asked(0, absent, 1, 0)
    hat.value = True
    asked(0, absent, 1, 1)
    hat.value = False
    asked(0, absent, 1, absent)
    assert hat.description == "hat", "said to be absent, and no longer unknown"
    strength.value = 2.5  # what is the photo's own stays
    asked(0, 2.5 * absent, 2.5, absent if absent == 0 else -2.5)
    smiling.value = True
    asked(0, 1, 2.5, absent if absent == 0 else -2.5)
    strength.value = 1.0
    reset.click()
    asked(0, 1, absent, 0)
    number.value = 1
    asked(1, absent, 1, 1)
    assert [b.value for b in boxes.values()] == [False, True, True]


# model beside model


class Half(nn.Module):
    """A decoder that halves every number."""

    def forward(self, h):
        return D.Delta(h[:, None, None, :] / 2)


def test_reconstructions_stand_beside_the_photo_with_their_error():
    half = models.Autoencoder(nn.Sequential(nn.Flatten(), heads.Deterministic()), Half())
    widget = explorers.reconstructions({"perfect": glass(), "half": half}, DATA)
    photo, seen, perfect, other = parts_of(widget, Panel).values()
    number = parts_of(widget, widgets.IntSlider)["image"]
    buttons, box = parts_of(widget, widgets.Button), parts_of(widget, widgets.Checkbox)["difference × 4"]
    assert seen.layout.display == "none", "the input is the photo"

    def at(i):
        assert number.value == i
        x = torch.from_numpy(DATA.pixels[i, 0, 0] / 255).float()
        near(shown(photo)[0], x)
        near(shown(perfect)[0], x)
        near(shown(other)[0], x / 2)
        assert perfect.children[-1].value == "MSE 0.0000"
        assert other.children[-1].value == f"MSE {(x**2).mean() / 4:.4f}"
        return x

    at(0)
    buttons["next"].click()
    at(1)
    buttons["previous"].click()
    buttons["previous"].click()
    x = at(39)
    box.value = True
    assert shown(photo).shape == (1, 2) and shown(perfect).shape == (2, 2)
    near(shown(other), torch.stack([x / 2, (2 * x).clamp(0, 1)]))
    near(shown(perfect)[1], torch.zeros(2))
    box.value = False
    at(39)


def test_what_the_data_change_is_shown_and_the_error_is_to_the_target():
    torch.manual_seed(5)
    noisy = DATA.map(datasets.noisy(0.1))
    widget = explorers.reconstructions({"perfect": glass()}, noisy)
    photo, seen, perfect = parts_of(widget, Panel).values()
    assert seen.layout.display is None and seen.title.value == "input"
    near(shown(photo)[0], torch.from_numpy(DATA.pixels[0, 0, 0] / 255).float())
    near(shown(perfect), shown(seen))
    error = (shown(seen) - shown(photo)).square().mean()
    assert error > 0 and float(perfect.children[-1].value.split()[1]) == pytest.approx(float(error), abs=3e-3)
    before = seen.image.value
    parts_of(widget, widgets.Button)["next"].click()
    assert seen.image.value != before
    parts_of(widget, widgets.Button)["previous"].click()
    assert seen.image.value == before, "an image's noise is always the same"


def test_a_conditional_model_is_compared_with_its_conditions(model):
    digits = datasets.load("digits").test[:5].map(datasets.conditioned(10))
    cvae = models.autoencoder(digits.shape, 3, net="mlp", conditions=10).train()
    batch = digits.batch()
    x_hat, difference, mse = explorers.reconstructions_images(cvae, batch)
    assert cvae.training
    torch.testing.assert_close(x_hat, cvae.reconstruct(batch.x, batch.c))
    torch.testing.assert_close(difference, (4 * (x_hat - batch.x).abs()).clamp(max=1))
    torch.testing.assert_close(mse, metrics.mse(x_hat, batch.x))
    assert message(explorers.reconstructions({"cvae": cvae}, digits)) == ""
    said = message(explorers.reconstructions({"unconditional": model}, digits))
    assert "ValueError" in said and "built for (B, C, 32, 32); got (1, 11, 8, 8)" in said


# what is typed wrong


@pytest.mark.parametrize(
    "build, says",
    [
        (lambda m: explorers.attributes(m, CODES, PHOTOS[:3], {"a": CODES[0]}), "40 codes, but 3 photos"),
        (lambda m: explorers.latent_space(m, CODES[:3], PHOTOS), "3 codes, but 40 photos"),
        (lambda m: explorers.latent_space(m, CODES[0], PHOTOS), r"codes are \(N, K\).*got \(2,\)"),
        (lambda m: explorers.latent_space(m, CODES[:0], PHOTOS[:0]), "at least one image"),
        (lambda m: explorers.latent_space(m, CODES[:1], PHOTOS[:1]), "at least two"),
        (lambda m: explorers.latent_space(m, CODES, PHOTOS, {"up": CODES[:, 0]}), r"'up' is \(40,\).*\(2,\)"),
        (lambda m: explorers.interpolation(m, CODES, PHOTOS[:9]), "40 codes, but 9 photos"),
        (lambda m: explorers.interpolation(m, CODES[:1], PHOTOS[:1]), "two photos"),
        (lambda m: explorers.conditional(m, CODES, PHOTOS, ATTRIBUTES[:3], list("ABC")), "need a row"),
        (lambda m: explorers.conditional(m, CODES, PHOTOS, ATTRIBUTES, ["A"]), "size 3, but 1 names"),
        (lambda m: explorers.conditional(m, CODES, PHOTOS, ATTRIBUTES[:, :0], []), "size 0, but 0 names"),
        (lambda m: explorers.conditional(m, CODES, PHOTOS, ATTRIBUTES / 2, list("ABC")), "−1, 0 and 1 alone"),
        (lambda m: explorers.conditional(m, CODES, PHOTOS, ATTRIBUTES / 0, list("ABC")), "−1, 0 and 1 alone"),
        (lambda m: explorers.reconstructions({}, DATA), "0 models and 40 images"),
        (lambda m: explorers.reconstructions({"a": m}, DATA[:0]), "1 models and 0 images"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(build, says):
    with pytest.raises(ValueError, match=says):
        build(glass())
