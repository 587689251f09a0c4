import numpy as np
import pytest
import scipy.stats
import torch

from aelib import distributions as D
from aelib import heads, priors

torch.manual_seed(0)
H, X = torch.randn(5, 6, 3, 4, dtype=torch.double), torch.rand(5, 6, 3, 4, dtype=torch.double)


def total(values):
    return torch.as_tensor(np.asarray(values)).flatten(1).sum(1)


@pytest.mark.parametrize(
    "head, expected",
    [
        (heads.Gaussian(0.3), scipy.stats.norm.logpdf(X, H, 0.3)),
        (heads.Gaussian(0.7, learn=True), scipy.stats.norm.logpdf(X, H, 0.7)),
        (heads.Laplace(0.3), scipy.stats.laplace.logpdf(X, H, 0.3)),
        (heads.Bernoulli(), X * H.sigmoid().log() + (1 - X) * (1 - H.sigmoid()).log()),
    ],
    ids=["fixed", "learnt", "laplace", "bernoulli"],
)
def test_log_prob_is_the_closed_form_summed_over_each_example(head, expected):
    p = head.double()(H)
    assert p.log_prob(X).shape == (5,) and p.mean.shape == H.shape
    torch.testing.assert_close(p.log_prob(X), total(expected), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "head, family", [(heads.Gaussian(), scipy.stats.norm), (heads.Laplace(), scipy.stats.laplace)]
)
def test_predicted_scales(head, family):
    mean, log_scale = H.chunk(2, 1)
    expected = total(family.logpdf(X[:, :3], mean, log_scale.exp()))
    torch.testing.assert_close(head(H).log_prob(X[:, :3]), expected)
    assert torch.isfinite(head(1e6 * H).log_prob(X[:, :3])).all()


def test_the_optimal_gaussian_is_the_best_of_all_scales():
    p = heads.OptimalGaussian()(H)
    fixed = torch.stack(
        [heads.Gaussian(float(s)).double()(H).log_prob(X) for s in np.geomspace(0.05, 20, 3000)]
    )
    assert (p.log_prob(X) >= fixed.max(0).values - 1e-9).all()
    torch.testing.assert_close(p.log_prob(X), fixed.max(0).values, rtol=1e-4, atol=1e-3)
    assert torch.isfinite(heads.OptimalGaussian()(X).log_prob(X)).all(), "a perfect reconstruction overflows"


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 6), (5, 4, 3, 2)])
@pytest.mark.parametrize("head", [heads.Gaussian(0.3), heads.Gaussian(), heads.Laplace(0.7), heads.Laplace()])
def test_a_restored_head_is_the_transformed_distribution(head, shape):
    torch.manual_seed(0)
    mean, scale = torch.randn(4, dtype=torch.double), torch.rand(4, dtype=torch.double) + 0.1
    h = torch.randn(shape[0], head.factor * 4, *shape[2:], dtype=torch.double)
    p, u = heads.Restored(head, mean, scale)(h), head(h)
    m, s = (v.view(-1, *[1] * (len(shape) - 2)).expand(shape[1:]) for v in (mean, scale))
    affine = torch.distributions.AffineTransform(m, s, event_dim=len(shape) - 1)
    x = torch.randn(shape, dtype=torch.double)
    expected = torch.distributions.TransformedDistribution(u, affine).log_prob(x)
    torch.testing.assert_close(p.log_prob(x), expected)
    torch.testing.assert_close(p.mean, m + s * u.mean)
    torch.testing.assert_close(p.stddev, s * u.stddev)


def test_only_heads_with_units_are_restored():
    for head in (heads.Bernoulli(), heads.Deterministic()):
        with pytest.raises(ValueError, match=f"a {type(head).__name__} head has no units to restore"):
            heads.Restored(head, torch.zeros(2), torch.ones(2))


def test_a_point_returns_itself():
    p = heads.Deterministic()(H)
    for value in (p.mean, p.rsample(), p.sample((2,))[1]):
        assert torch.equal(value, H)
    assert p.event_shape == H.shape[1:]


def test_half_precision_is_computed_in_float32():
    for head in (heads.Bernoulli(), heads.Gaussian(1.0), heads.OptimalGaussian(), heads.Laplace(1.0)):
        assert head(H.bfloat16()).log_prob(X.float()).dtype == torch.float32


def test_the_prior_is_standard_normal_and_not_saved():
    prior = priors.StandardNormal(2, 3)
    z = torch.randn(4, 2, 3)
    expected = torch.as_tensor(scipy.stats.norm.logpdf(z)).flatten(1).sum(1).float()
    torch.testing.assert_close(prior().log_prob(z), expected)
    assert prior().sample((7,)).shape == (7, 2, 3) and not prior.state_dict()


def test_bad_scales_are_refused():
    with pytest.raises(ValueError, match="positive"):
        heads.Gaussian(-1.0)
    with pytest.raises(ValueError, match=r"Gaussian\(0\.1, learn=True\)"):
        heads.Gaussian(learn=True)


@pytest.mark.parametrize("shape", [(5, 3), (5, 1), (5, 2, 3), (5, 3, 3, 3), (5, 1, 1, 1), (5, 3, 2, 3)])
def test_everything_but_the_first_dimension_is_one_event(shape):
    p = D.per_example(torch.distributions.Normal(torch.zeros(shape), 1.0))
    assert p.log_prob(torch.zeros(shape)).shape == (5,) and p.event_shape == shape[1:]


def test_bernoulli_is_torchs_for_every_logit_and_so_is_its_gradient():
    logits = torch.cat([torch.tensor([0.0, -0.0, 1e-8]), torch.linspace(-100, 100, 999), torch.randn(1000)])
    for x in (0.0, 0.3, 1.0):
        for dtype in (torch.float32, torch.float64):
            h = logits.to(dtype)[None].requires_grad_()
            value = torch.full_like(h, x)
            ours = heads.Bernoulli()(h).base_dist.log_prob(value)
            torchs = torch.distributions.Bernoulli(logits=h, validate_args=False).log_prob(value)
            torch.testing.assert_close(ours, torchs, rtol=1e-6, atol=1e-6)
            torch.testing.assert_close(
                *(torch.autograd.grad(d.sum(), h)[0] for d in (ours, torchs)), rtol=1e-5, atol=2e-7
            )


def test_bernoullis_gradient_by_logits_and_by_pixels_is_that_of_small_steps_twice_and_when_broadcast():
    torch.manual_seed(0)
    h = (4 * torch.randn(3, 1, 2, 2, dtype=torch.double)).requires_grad_()
    x = torch.rand(5, 3, 1, 2, 2, dtype=torch.double).requires_grad_()  # five targets for each of three

    def log_prob(h, x):
        return heads.Bernoulli()(h).log_prob(x)

    assert log_prob(h, x).shape == (5, 3)
    assert torch.autograd.gradcheck(log_prob, (h, x)) and torch.autograd.gradgradcheck(log_prob, (h, x))


def test_the_kl_to_the_standard_normal_is_torchs():
    torch.manual_seed(0)
    mean, log_scale = (torch.randn(5, 7, dtype=torch.double).requires_grad_() for _ in range(2))
    q = D.per_example(torch.distributions.Normal(mean, log_scale.exp()))
    plain = torch.distributions.Normal(torch.zeros(7).double(), torch.ones(7).double())
    expected = torch.distributions.kl_divergence(q, torch.distributions.Independent(plain, 1))
    ours = torch.distributions.kl_divergence(q, priors.StandardNormal(7).double()())
    torch.testing.assert_close(ours, expected)
    for a, b in zip(
        *(torch.autograd.grad(k.sum(), (mean, log_scale), retain_graph=True) for k in (ours, expected)),
        strict=True,
    ):
        torch.testing.assert_close(a, b)
