"""Corruptions, the restorer, classical methods, the score, the explorer of noise."""

import math

import check
import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
import pytest
import restoring
import torch
from torch import nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from aelib import datasets, heads, losses, metrics, models, nets, training
from aelib import distributions as D
from aelib.contexts import seeded
from aelib.datasets import Batch, Images, flipped, masked, noisy, occluded, salt_and_pepper
from aelib.explorers.widgets import Panel

GREY = Batch(torch.full((60, 3, 40, 41), 0.5))
DIGITS = datasets.load("digits")
PHOTOS = Images(np.random.default_rng(0).integers(60, 190, (6, 3, 12, 9)).astype(np.uint8))

# corruptions


def test_each_image_has_its_own_level_and_the_condition_tells_it():
    batch = noisy((0.02, 0.1), known=True)(GREY)
    found = (batch.x - 0.5).flatten(1).std(1, keepdim=True)
    assert (
        batch.c.shape == (60, 1) and batch.c.min() >= 0.02 and batch.c.max() <= 0.1 and batch.c.std() > 0.015
    )
    torch.testing.assert_close(found, batch.c, rtol=0.06, atol=0)
    told = noisy(0.3, known=True)(Batch(GREY.x, c=torch.ones(60, 2)))
    assert torch.equal(told.c, torch.tensor([1, 1, 0.3]).expand(60, 3))
    assert noisy((0.02, 0.1))(GREY).c is None


def test_a_share_of_the_pixels_is_salt_or_pepper_in_all_channels():
    batch = salt_and_pepper(0.3)(GREY)
    hit = batch.x != 0.5
    assert torch.equal(hit.any(1), hit.all(1)) and set(batch.x[hit].tolist()) == {0.0, 1.0}
    assert hit.float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert batch.x[hit].mean().item() == pytest.approx(0.5, abs=0.02)
    shares = (salt_and_pepper((0.1, 0.9))(GREY).x != 0.5).float().flatten(1).mean(1)
    assert shares.min() > 0.05 and shares.max() < 0.95 and shares.std() > 0.15


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (8, 8), (31, 64), (64, 64)])
@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 1.0])
def test_a_rectangle_of_this_share_is_covered_and_known(shape, share):
    x = 0.6 + 0.4 * torch.rand(50, 3, *shape)
    batch = occluded(share, fill=0.25, known=True)(Batch(x))
    hole = batch.x[:, 3:]
    assert (
        batch.x.shape == (50, 4, *shape) and batch.target is x and set(hole.unique().tolist()) <= {0.0, 1.0}
    )
    assert torch.equal(batch.x[:, :3], torch.where(hole > 0, 0.25, x))
    rows, columns = hole[:, 0].amax(2), hole[:, 0].amax(1)
    assert torch.equal(hole[:, 0], rows[:, :, None] * columns[:, None, :]), "not a rectangle"
    for side in (rows, columns):
        assert (side.diff(dim=1).abs().sum(1) + side[:, 0] + side[:, -1] == 2).all(), "not in one piece"
    area, wanted = rows.sum(1) * columns.sum(1), share * math.prod(shape)
    # a side is rounded by half a pixel; a share below one pixel is one pixel
    assert ((area - wanted).abs() <= 0.5 * torch.maximum(rows.sum(1), columns.sum(1)) + 1).all()


def test_rectangles_lie_anywhere_and_have_any_proportions():
    x = torch.zeros(3000, 1, 12, 12)
    hole = occluded(0.1, fill=1.0)(Batch(x)).x
    often = hole.mean(0)[0]
    assert often.min() > 0.005, "the corners are reached too"
    torch.testing.assert_close(often, often.flip(0), atol=0.05, rtol=0)
    torch.testing.assert_close(often, often.T, atol=0.05, rtol=0)
    assert {(int(a.amax(1).sum()), int(a.amax(0).sum())) for a in hole[:, 0]} == {(3, 5), (4, 4), (5, 3)}
    noise = occluded(1.0, fill=None)(GREY).x
    assert noise.mean().item() == pytest.approx(0.5, abs=0.01) and noise.var().item() == pytest.approx(
        1 / 12, 0.02
    )


def test_a_mask_is_a_hole_that_is_known_and_the_same_for_all():
    hole = torch.zeros(12, 9, dtype=torch.bool)
    hole[2:5, :3] = True
    clean = PHOTOS.batch().x
    batch = PHOTOS.map(masked(hole, fill=0.0)).map(noisy(0.1)).batch()
    assert torch.equal(batch.x[:, 3], hole.float().expand(6, -1, -1)), "noise fell on the mask"
    assert torch.equal(batch.target, clean)
    one = masked(hole, fill=0.0)(Batch(clean)).x
    assert (one[:, :3, hole] == 0).all() and torch.equal(one[:, :3, ~hole], clean[..., ~hole])
    torch.manual_seed(0)
    mirrored = PHOTOS.map(masked(hole)).map(flipped).batch()
    turned = (mirrored.target != clean).flatten(1).any(1)
    assert 0 < turned.sum() < 6 and torch.equal(mirrored.x[turned][0, 3], hole.float().flip(-1))
    assert torch.equal(mirrored.x[:, :3][..., 11, :], mirrored.target[..., 11, :])


@pytest.mark.parametrize(
    "corruption", [noisy((0.1, 0.3), known=True), salt_and_pepper(0.2), occluded((0.1, 0.3), fill=None)]
)
def test_corruptions_are_drawn_anew_unless_seeded_and_leave_the_target(corruption):
    data, clean = PHOTOS.map(corruption), PHOTOS.batch().x
    a, b = data.batch(), data.batch()
    assert torch.equal(a.target, clean) and torch.equal(PHOTOS.batch().x, clean)
    assert not torch.equal(a.x, b.x) and not torch.equal(a.x, clean)
    with seeded(3):
        a = data.batch()
    with seeded(3):
        b = data.batch()
    assert torch.equal(a.x, b.x) and a.x.min() >= 0 and a.x.max() <= 1


@pytest.mark.parametrize(
    "wrong, says",
    [
        (lambda: noisy(-0.1), "noise of standard deviation -0.1 makes no sense: give a number positive"),
        (lambda: noisy((0.5, 0.1)), r"\(0.5, 0.1\) makes no sense"),
        (lambda: noisy(float("nan")), "makes no sense"),
        (lambda: salt_and_pepper(0), "a share of 0 changes nothing: give a number above 0 and at most 1"),
        (lambda: salt_and_pepper(30), "at most 1"),
        (lambda: occluded((0.2, 1.2)), r"covering a share of \(0.2, 1.2\) makes no sense"),
        (lambda: occluded(0.2, fill=128), "a grey level from 0 to 1, or None for noise; got 128"),
        (lambda: masked(torch.zeros(3, 3)), "at least one true pixel"),
        (lambda: masked(torch.ones(1, 1, 3, 3)), r"\(H, W\)"),
        (lambda: PHOTOS.map(masked(torch.ones(1, 12, 9))).batch(), r"of \(1, 12, 9\) pixels.*\(12, 9\)"),
        (lambda: PHOTOS.map(masked(torch.ones(9, 12))).batch(), r"of \(9, 12\) pixels.*\(12, 9\)"),
        (lambda: restoring.restorer(3, seen=2), "3 channels are seen; got seen=2"),
        (lambda: restoring.median(4), "odd side; got 4"),
        (lambda: restoring.non_local_means(0), "a strength is positive"),
        (lambda: restoring.compare({}, PHOTOS[:1], [0.1]), "at least two images and one level"),
        (lambda: restoring.score(torch.zeros(3, 2), torch.zeros(1, 2), 0), "a positive σ; got 0"),
        (lambda: restoring.denoising({}, PHOTOS), "nothing to restore: 0 models"),
        (lambda: restoring.denoising({"a": restoring.restorer(3)}, PHOTOS, strength=(1, 0)), "the largest"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(wrong, says):
    with pytest.raises(ValueError, match=says):
        wrong()


# the restorer


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 7, 12), (2, 16, 16), (1, 33, 5)])
def test_a_restorer_starts_as_the_identity_for_any_size_and_all_of_it_learns(shape):
    torch.manual_seed(0)
    x = torch.rand(4, *shape)
    model = restoring.restorer(shape[0], shape[0] + 1, widths=(4, 6, 8))
    batch = Batch((x + 0.1).clamp(0, 1), x, torch.rand(4, 1))
    assert torch.equal(model.reconstruct(batch.x, batch.c), batch.x)
    optimizer = training.adam(model, 1e-2)
    for _ in range(6):  # the branches start at zero, so what lies before them waits its turn
        optimizer.zero_grad()
        losses.reconstruction(model, batch)["loss"].mean().backward()
        optimizer.step()
    assert model.reconstruct(batch.x, batch.c).shape == x.shape
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    if min(shape[1:]) > 1:
        assert not still
    if min(shape[1:]) > 4:
        assert not torch.equal(model.reconstruct(batch.x, batch.c), model.reconstruct(batch.x, batch.c + 1))


def test_nothing_but_the_code_reaches_the_decoder():
    model, z = restoring.restorer(3, 5), torch.rand(2, 3, 6, 7)
    assert torch.equal(model.decode(z, torch.rand(2, 1)).mean, z) and not list(model.decoder.parameters())
    assert torch.equal(model.encode(torch.cat([z, z[:, :1]], 1), torch.zeros(2, 1)).mean, z)


def test_its_loss_is_the_psnr_in_nats():
    model, batch = restoring.restorer(3), noisy(0.2)(PHOTOS.batch())
    loss = losses.reconstruction(model, batch)["loss"]
    psnr, size = metrics.psnr(batch.x, batch.target), batch.x[0].numel()
    expected = size / 2 * (math.log(2 * math.pi) + 1 - psnr * math.log(10) / 10)
    torch.testing.assert_close(loss, expected)


def test_it_learns_to_restore_digits_blindly():
    torch.manual_seed(0)
    model = restoring.restorer(1, widths=(16, 32))
    data = DIGITS.train[:800].map(noisy((0.1, 0.5)))
    list(
        training.train(
            model, data, losses.reconstruction, training.adam(model, 4e-3), epochs=4, batch_size=16
        )
    )
    table = restoring.compare(
        {"model": restoring.by(model), "median": restoring.median(3)}, DIGITS.test, [0.2, 0.4]
    )
    for sigma in (0.2, 0.4):
        best = max(table.loc[("noisy input", sigma)].psnr, table.loc[("median", sigma)].psnr)
        assert table.loc[("model", sigma)].psnr > best + 2


# methods and their comparison


def test_median_is_the_middle_of_each_window_in_each_channel():
    x = PHOTOS.batch().x
    padded = nn.functional.pad(x, (2, 2, 2, 2), mode="replicate")
    windows = padded.unfold(2, 5, 1).unfold(3, 5, 1).flatten(4)
    assert torch.equal(restoring.median(5)(x, 0.1), windows.median(-1).values)


@pytest.mark.parametrize("channels", [1, 3])
def test_non_local_means_flattens_noise_image_by_image(channels):
    torch.manual_seed(0)
    x = torch.full((3, channels, 24, 20), 0.3)
    x[..., 10:] = 0.8
    batch = noisy(0.1)(Batch(x))
    out = restoring.non_local_means()(batch.x, 0.1)
    assert out.shape == x.shape and out.dtype == x.dtype
    assert (metrics.psnr(out, x) > metrics.psnr(batch.x, x) + 8).all()
    torch.testing.assert_close(restoring.non_local_means()(batch.x[1:2], 0.1), out[1:2])


def test_a_model_is_a_method_that_is_cut_to_the_pixels_range_and_told_the_level():
    class Told(nn.Module):
        def forward(self, x):
            return D.Delta(x[:, :1] + x[:, 1:])

    class Seen(nn.Module):
        def forward(self, z):
            return D.Delta(z[:, :1])

    model = models.Autoencoder(Told(), Seen()).train()
    x = torch.rand(300, 1, 2, 3)
    assert torch.equal(restoring.by(model, known=True)(x, 0.5), (x + 0.5).clamp(max=1)) and model.training


def test_all_methods_are_measured_on_the_same_noisy_images():
    seen = []

    def same(x, sigma):
        seen.append((x, sigma))
        return x

    table = restoring.compare({"a": same, "b": same}, DIGITS.test[:50], [0.1, 0.4], seed=7)
    assert torch.equal(seen[0][0], seen[1][0]) and [s for _, s in seen] == [0.1, 0.1, 0.4, 0.4]
    assert list(table.index) == [(m, s) for s in (0.1, 0.4) for m in ("noisy input", "a", "b")]
    each = metrics.psnr(seen[2][0], DIGITS.test[:50].batch().x).numpy()
    for name in ("noisy input", "a", "b"):
        row = table.loc[(name, 0.4)]
        assert row.psnr == pytest.approx(each.mean(), rel=1e-5)
        assert row.psnr_error == pytest.approx(each.std(ddof=1) / 50**0.5, rel=1e-4)
    assert table.loc[("a", 0.1)].ssim > table.loc[("a", 0.4)].ssim > 0


def test_the_candidate_that_is_best_at_each_level_is_chosen():
    dark = Images(np.zeros((4, 1, 8, 8), np.uint8))
    candidates = {
        "small": lambda x, sigma: torch.full_like(x, 0.01 if sigma < 0.2 else 0.3),
        "large": lambda x, sigma: torch.full_like(x, 0.2 if sigma < 0.2 else 0.02),
    }
    best = restoring.chosen(candidates, dark, [0.1, 0.4])
    x = torch.zeros(1, 1, 1, 1)
    assert [best(x, s).item() for s in (0.05, 0.1, 0.4, 0.5)] == pytest.approx([0.01, 0.01, 0.02, 0.02])


# the score


def test_the_score_is_the_gradient_of_the_blurred_density():
    torch.manual_seed(0)
    points, x = torch.randn(30, 2).double(), torch.randn(8, 2).double().requires_grad_()
    for scale in (0.1, 1.0):
        each = Independent(Normal(points, torch.full_like(points, scale)), 1)
        mixture = MixtureSameFamily(Categorical(torch.ones(30).double()), each)
        (gradient,) = torch.autograd.grad(mixture.log_prob(x).sum(), x)
        torch.testing.assert_close(restoring.score(points, x.detach(), scale), gradient)


def test_a_trained_denoiser_is_the_score():
    torch.manual_seed(0)
    angle, scale = torch.rand(400) * 2 * math.pi, 0.3
    points = torch.stack([angle.cos(), angle.sin()], 1)
    net = nets.MLP(2, 64, 64, 2)
    optimizer = training.adam(net, 3e-3)
    for _ in range(500):
        x = points + scale * torch.randn_like(points)
        optimizer.zero_grad()
        (net(x) - points).square().sum(1).mean().backward()
        optimizer.step()
    x = points + scale * torch.randn_like(points)
    found, exact = (net(x) - x) / scale**2, restoring.score(points, x, scale)
    assert nn.functional.cosine_similarity(found, exact).median() > 0.97
    assert (found - exact).norm(dim=1).median() < 0.25 * exact.norm(dim=1).median()


def test_the_exercise_says_what_is_off(capsys):
    for said, f in {
        "correct": lambda x, r, s: (r - x) / s**2,
        "turned round": lambda x, r, s: (x - r) / s**2,
        "not by σ": lambda x, r, s: (r - x) / s,
        "length": lambda x, r, s: r - x,
        "do not multiply": lambda x, r, s: (r - x) * s**2,
        "nothing": lambda x, r, s: ...,
    }.items():
        check.score(f)
        out = capsys.readouterr().out
        assert said in out and out.startswith("correct") == (said == "correct")


# the explorer


class Half(nn.Module):
    """A denoiser that halves what it sees, and breaks where it sees much."""

    def forward(self, x):
        if x.max() > 0.99:
            raise RuntimeError("too <bright>")
        return D.Delta(x[:, :3] / 2)


def found(widget, kind):
    own = [widget] if isinstance(widget, kind) else []
    return own + [w for child in getattr(widget, "children", ()) for w in found(child, kind)]


def explorer():
    model = models.Autoencoder(Half(), heads.Deterministic()).train()
    strengths = {
        "darker": lambda s: lambda b: Batch(b.x * (1 - s), b.target),
        "noise": noisy,
        "hole": occluded,
    }
    widget = restoring.denoising({"half": model}, PHOTOS, strengths, (0.0, 1.0))
    image, amount = found(widget, widgets.IntSlider)[0], found(widget, widgets.FloatSlider)[0]
    return model, widget, image, amount, found(widget, widgets.Dropdown)[0]


def test_it_shows_input_output_and_truth_with_their_psnr():
    model, widget, image, amount, kind = explorer()
    assert repr(widget) == "explorers.denoising: run this cell to move it"
    assert model.training and not plt.get_fignums()
    panels = found(widget, Panel)
    assert [p.title.value for p in panels] == ["input", "half", "truth"]
    image.value, amount.value = 4, 0.25
    truth = PHOTOS[4:5].batch().x
    for panel, x in zip(panels, (0.75 * truth, 0.375 * truth), strict=False):
        assert panel.children[-1].value == f"{metrics.psnr(x, truth).item():.1f} dB"
    assert panels[2].children[-1].value == ""
    before = [p.image.value for p in panels]
    kind.value = "hole"
    assert panels[0].image.value != before[0] and panels[2].image.value == before[2]


def test_the_same_noise_until_it_is_drawn_anew():
    _, widget, image, amount, kind = explorer()
    kind.value, amount.value = "noise", 0.1
    seen = found(widget, Panel)[0].image
    before = seen.value
    image.value = 1
    image.value = 0
    assert seen.value == before
    found(widget, widgets.Button)[0].click()
    assert seen.value != before


def test_an_error_is_shown_and_it_goes_on():
    model, widget, _, amount, kind = explorer()
    kind.value, amount.value = "noise", 0.9
    assert "<b>RuntimeError</b>: too &lt;bright&gt;" in widget.children[-1].value and model.training
    kind.value = "hole"
    assert widget.children[-1].value == ""
    amount.value = 0.0  # a share of nothing
    assert "changes nothing" in widget.children[-1].value
    amount.value = 0.3
    assert widget.children[-1].value == ""


def test_a_strip_has_a_row_of_inputs_of_outputs_and_of_the_truth():
    hole = torch.zeros(12, 9)
    hole[3:6, 3:6] = 1
    model = restoring.restorer(3, 4, widths=(4, 4))
    cases = {"small": occluded(0.1, known=True), "large": occluded(0.5, known=True), "own": masked(hole)}
    strip = restoring.denoising_strip(model, PHOTOS[2:3], cases, seed=1)
    assert list(strip) == ["input", "output", "truth"] and all(
        v.shape == (3, 3, 12, 9) for v in strip.values()
    )
    assert torch.equal(strip["truth"], PHOTOS[[2, 2, 2]].batch().x)
    assert torch.equal(strip["input"], strip["output"]), "untrained, it is the identity"
    assert (strip["input"][2] != strip["truth"][2]).any(0).equal(hole.bool())
    again = restoring.denoising_strip(model, PHOTOS[2:3], cases, seed=1)
    assert torch.equal(again["input"], strip["input"])
