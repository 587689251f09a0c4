"""The diffusion of page 15, against what is known exactly: Gaussians, mixtures of them, and the schedule."""

import diffusing
import pytest
import torch
from diffusing import Diffusion
from torch import distributions as D
from torch import nn

from aelib import contexts, heads, losses, models, nets, priors
from aelib.datasets import Batch

T = torch.linspace(0.01, 0.98, 50, dtype=torch.double)


class Best(nn.Module):
    """v of the best denoiser of a mixture of Gaussians: weights (M,), means (M, K), covariances (M, K, K)."""

    def __init__(self, weights, means, covariances):
        super().__init__()
        self.w, self.m, self.s = weights, means, covariances

    def forward(self, z, t, c=None):
        alpha, sigma = (a[:, None, None, None] for a in diffusing.schedule(t))
        inside = alpha**2 * self.s + sigma**2 * torch.eye(z.shape[1], dtype=z.dtype)
        alpha, sigma = alpha[..., 0], sigma[..., 0]
        off = z[:, None] - alpha * self.m
        solved = torch.linalg.solve(inside, off[..., None])[..., 0]
        parts = D.MultivariateNormal(alpha * self.m, inside).log_prob(z[:, None]) + self.w.log()
        x = self.m + alpha * torch.einsum("mij,bmj->bmi", self.s, solved)
        share = parts.softmax(1)[..., None]
        x, e = (share * x).sum(1), (share * sigma * solved).sum(1)
        return alpha[:, 0] * e - sigma[:, 0] * x


def exactly(weights, means, covariances, **options):
    """The diffusion prior with the best denoiser there is, and the distribution that it is the best for."""
    w, m, s = (torch.tensor(v, dtype=torch.double) for v in (weights, means, covariances))
    prior = Diffusion(torch.randn(9, m.shape[1], dtype=torch.double), net=Best(w, m, s), **options)
    prior.mean.zero_(), prior.scale.fill_(1.0)
    return prior, D.MixtureSameFamily(D.Categorical(w), D.MultivariateNormal(m, s))


GAUSSIAN = ([1.0], [[0.5, -0.3]], [[[1.0, 0.8], [0.8, 1.2]]])
TWO = ([0.3, 0.7], [[1.5, 1.0], [-0.6, -0.4]], [[[0.1, 0.05], [0.05, 0.2]], [[0.1, 0.0], [0.0, 0.1]]])


def test_the_schedule_keeps_the_variance_and_log_snr_falls_and_is_inverted():
    alpha, sigma = diffusing.schedule(T)
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones_like(T))
    snr = diffusing.log_snr(T)
    torch.testing.assert_close(snr.exp(), alpha**2 / sigma**2)
    assert (snr.diff() < 0).all()
    torch.testing.assert_close(diffusing.time_of(snr), T)
    assert diffusing.times(4).tolist() == pytest.approx([0.99, 0.74375, 0.4975, 0.25125, 0.005])


def test_v_turns_code_and_noise_by_an_angle():
    x, e = torch.randn(2, 50, 3, dtype=torch.double)
    z, v, alpha, sigma = diffusing.noised(x, e, T)
    torch.testing.assert_close(alpha * z - sigma * v, x)
    torch.testing.assert_close(sigma * z + alpha * v, e)


@pytest.mark.parametrize("of", [GAUSSIAN, TWO], ids=["a Gaussian", "a mixture of two"])
def test_with_the_best_denoiser_the_bound_is_log_p(of):
    """On average over p; the ends of time cost a few thousandths of a nat."""
    prior, truth = exactly(*of)
    torch.manual_seed(0)
    x = truth.sample((4000,))
    apart = (truth.log_prob(x) - prior().log_prob(x, draws=64)).double()
    error = apart.std() / len(apart) ** 0.5
    assert error < 0.015 and -3 * error < apart.mean() < 0.01 + 3 * error


def test_a_worse_denoiser_has_a_lower_bound():
    (prior, truth), (other, _) = exactly(*GAUSSIAN), exactly([1.0], [[0.5, -0.3]], [[[1.0, 0.0], [0.0, 1.2]]])
    x = truth.sample((3000,))
    mean, alone = torch.tensor([0.5, -0.3]).double(), torch.tensor([1.0, 1.2]).double()
    independent = D.MultivariateNormal(mean, torch.diag(alone))
    lost = (prior().log_prob(x) - other().log_prob(x)).mean()
    exact = (truth.log_prob(x) - independent.log_prob(x)).mean()
    assert exact > 0.2 and lost.item() == pytest.approx(exact.item(), abs=0.05)


@pytest.mark.parametrize("noise", [0.0, 1.0], ids=["DDIM", "ancestral"])
@pytest.mark.parametrize("of", [GAUSSIAN, TWO], ids=["a Gaussian", "a mixture of two"])
def test_samples_are_distributed_as_what_they_should_be(of, noise):
    prior, truth = exactly(*of, steps=200, noise=noise)
    torch.manual_seed(0)
    z, x = prior().sample((6000,)), truth.sample((200_000,))
    torch.testing.assert_close(z.mean(0), x.mean(0), atol=0.06, rtol=0)
    torch.testing.assert_close(z.T.cov(), x.T.cov(), atol=0.06, rtol=0)
    shares = [((y - torch.tensor(of[1][0])).norm(dim=1) < 1.2).double().mean().item() for y in (z, x)]
    assert shares[0] == pytest.approx(shares[1], abs=0.03)  # of the first part


def test_an_ancestral_step_has_the_posteriors_variance():
    """q(z'|z, x) of two times, from Bayes' rule: 1 / (a² / s² + 1 / σ'²), with z | z' ~ N(a z', s²)."""
    prior, _ = exactly([1.0], [[0.0, 0.0]], [[[1e-9, 0.0], [0.0, 1e-9]]], noise=1.0)  # x is 0: known
    now, then = torch.tensor(0.6).double(), torch.tensor(0.5).double()
    (alpha, sigma), (alpha_then, sigma_then) = diffusing.schedule(now), diffusing.schedule(then)
    a = alpha / alpha_then
    s2 = sigma**2 - a**2 * sigma_then**2
    torch.manual_seed(0)
    z, _ = prior.step(torch.full((100_000, 2), 0.7).double(), now, then)
    variance = 1 / (a**2 / s2 + 1 / sigma_then**2)
    torch.testing.assert_close(z.var(0), variance.expand(2), rtol=0.02, atol=0)
    torch.testing.assert_close(z.mean(0), (variance * a / s2 * 0.7).expand(2), rtol=0.02, atol=0)


def test_mean_and_scale_of_codes_come_back():
    codes = torch.tensor([3.0, -2.0]) + torch.tensor([0.5, 4.0]) * torch.randn(5000, 2)
    prior = Diffusion(codes, width=8)  # its network says v = 0: right for N(0, 1)
    z = prior().sample((5000,))
    torch.testing.assert_close(z.mean(0), codes.mean(0), atol=0.2, rtol=0)
    torch.testing.assert_close(z.std(0), codes.std(0), rtol=0.05, atol=0)
    truth = D.Independent(D.Normal(codes.mean(0), codes.std(0)), 1).log_prob(codes)
    torch.testing.assert_close(prior().log_prob(codes).mean(), truth.mean(), atol=0.05, rtol=0)


def test_it_is_a_prior_of_an_autoencoder_and_the_elbo_takes_it():
    """Where its network is right (codes of N(0, 1)), the ELBO is the one with the prior N(0, 1)."""
    with contexts.seeded(0):
        encoder = nn.Sequential(nets.MLP(5, 4), heads.Gaussian())
        decoder = nn.Sequential(nets.MLP(2, 10), heads.Laplace())
        batch, found = Batch(torch.randn(4000, 5)), []
        for prior in (priors.StandardNormal(2), Diffusion(torch.randn(100_000, 2), width=8)):
            model = models.Autoencoder(encoder, decoder, prior)
            assert model.sample(7).shape == (7, 5)
            with torch.no_grad(), contexts.seeded(1):
                found.append(losses.elbo(model, batch)["loss"].mean().item())
    assert found[0] == pytest.approx(found[1], abs=0.05)


def test_training_makes_the_bound_tight_and_gradients_reach_every_parameter():
    with contexts.seeded(0):
        codes = D.MixtureSameFamily(D.Categorical(torch.tensor([0.5, 0.5])), D.MultivariateNormal(
            torch.tensor([[2.0, 0.0], [-2.0, 0.0]]), torch.eye(2).expand(2, 2, 2) / 4)
        )  # fmt: skip
        z, held = codes.sample((8000,)), codes.sample((2000,))
        prior = diffusing.fitted(z, epochs=6, width=64, blocks=2)
        gaussian = priors.fit_prior(z, "full")
    truth = codes.log_prob(held).mean()
    assert prior().log_prob(held).mean().item() == pytest.approx(truth.item(), abs=0.15)
    assert gaussian(None).log_prob(held).mean() < truth - 0.3  # it is worth more than the best Gaussian
    fresh = Diffusion(z, conditions=2, width=16, blocks=2)
    nn.init.normal_(fresh.net.leave.weight)  # zero at first, and then nothing before it gets a gradient
    diffusing.v_error(fresh, Batch(z[:50], c=torch.randn(50, 2)))["loss"].sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in fresh.parameters())


def test_a_condition_is_obeyed_and_guidance_exaggerates_it():
    with contexts.seeded(0):
        which = torch.arange(6000) % 2
        z = torch.randn(6000, 2) * 0.8 + (2.0 * which - 1)[:, None] * torch.tensor([1.0, 0.0])
        c = nn.functional.one_hot(which, 2).float()
        prior = diffusing.fitted(z, c, epochs=8, width=64, blocks=2)
        mean = {}
        for prior.guidance in (1.0, 3.0):
            mean[prior.guidance] = prior(torch.eye(2)).sample((2000,)).mean(0)[:, 0].tolist()
        free = prior().sample((4000,))
    assert mean[1.0] == pytest.approx([-1, 1], abs=0.15)
    assert mean[3.0][0] < mean[1.0][0] - 0.2 and mean[3.0][1] > mean[1.0][1] + 0.2
    assert free.mean(0).tolist() == pytest.approx([0, 0], abs=0.1)
    assert free.std(0)[0] > 0.95  # of both; one has 0.8


def test_guidance_leads_away_from_the_guess_without_a_condition():
    def net(z, t, c):
        return z + 10 * c[:, :1]

    prior = Diffusion(torch.randn(9, 3), 2, net=Wrapped(net), guidance=2.5)
    z, c = torch.randn(4, 3), torch.randn(4, 2)
    torch.testing.assert_close(prior.v(z, torch.tensor(0.5), c), z + 25 * c[:, :1])
    torch.testing.assert_close(prior.v(z, torch.tensor(0.5)), z)


class Wrapped(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, *args):
        return self.f(*args)


def test_conditions_are_dropped_in_training_alone():
    seen = []
    prior = Diffusion(torch.randn(9, 3), 2, net=Wrapped(lambda z, t, c: seen.append(c) or z))
    batch = Batch(torch.randn(2000, 3), c=torch.ones(2000, 2))
    diffusing.v_error(prior.train(), batch)
    diffusing.v_error(prior.eval(), batch)
    assert seen[0].mean().item() == pytest.approx(0.85, abs=0.03) and set(seen[0].sum(1).tolist()) == {0, 2}
    assert seen[1].mean() == 1


def test_the_explorer_shows_noise_first_and_samples_last():
    prior = Diffusion(torch.randn(100, 4), steps=5, width=8)
    model = models.Autoencoder(
        nn.Sequential(nets.MLP(16, 8), heads.Gaussian()),
        nn.Sequential(nets.MLP(4, 16), nets.Reshape(1, 4, 4), heads.Bernoulli()), prior,
    ).eval()  # fmt: skip
    first, last = (diffusing.steps_images(model, at, n=6, seed=3) for at in (0, 5))
    with contexts.seeded(3):
        z = torch.randn(6, 4)
    torch.testing.assert_close(first["noisy"], model.decode(prior.mean + prior.scale * z).mean)
    with contexts.seeded(3):
        sampled = model.decode(prior().sample((6,))).mean
    torch.testing.assert_close(last["guess"], sampled)
    widget = diffusing.steps(model)
    number, panel = widget.children[0].children[0], widget.children[1].children[0]
    before = panel.image.value
    number.value = 0
    assert widget.message.value == "" and panel.image.value != before
    with pytest.raises(ValueError, match="from 0 to 5"):
        diffusing.steps_images(model, 6)
    model.prior = priors.StandardNormal(4)
    with pytest.raises(TypeError, match="only a Diffusion"):
        diffusing.steps(model)


def test_what_does_not_fit_is_said():
    with pytest.raises(ValueError, match=r"at least two; got \(1, 4\)"):
        Diffusion(torch.randn(1, 4))
    with pytest.raises(ValueError, match=r"\(B, 3\); got \(2, 4\)"):
        Diffusion(torch.randn(9, 4), 3)(torch.randn(2, 4))
