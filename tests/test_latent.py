import numpy as np
import pytest
import torch

from aelib import datasets, latent, models

DIGITS = datasets.load("digits").test
MODEL = models.autoencoder(DIGITS.shape, 4, net="mlp", posterior="deterministic")


def test_codes_and_images_keep_their_order_whatever_the_batches():
    x = DIGITS.batch().x
    z = latent.encode(MODEL, DIGITS, batch_size=7)
    torch.testing.assert_close(z, MODEL.eval().encode(x).mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        latent.decode(MODEL, z, batch_size=11), MODEL.reconstruct(x), rtol=1e-4, atol=1e-5
    )


def test_a_direction_is_signed_and_leaves_out_what_is_not_known():
    z = torch.tensor([[1.0, 5.0], [3.0, 1.0], [0.0, 10.0], [100.0, 100.0]])
    v = latent.direction(z, np.array([1, 1, 0, np.nan]))
    assert v.tolist() == [2.0, -7.0]
    assert torch.equal(latent.direction(z, np.array([0, 0, 1, np.nan])), -v)
    for bad in (np.ones(4), np.zeros(4), np.full(4, np.nan)):
        with pytest.raises(ValueError, match="images with the attribute and images without"):
            latent.direction(z, bad)
    with pytest.raises(ValueError, match="need one per code"):
        latent.direction(z, np.ones(3))


def test_identity_kept_counts_who_is_still_nearest_to_themselves():
    before = np.eye(4)
    after = np.eye(4)[[0, 1, 3, 2]] + 0.1
    assert latent.identity_kept(before, before) == 1.0
    assert latent.identity_kept(before, after) == 0.5
    assert np.isnan(latent.identity_kept(before[:0], after[:0]))


@pytest.mark.parametrize("kind", list(latent.PRIORS))
def test_a_fitted_prior_has_the_moments_of_the_codes_and_a_density(kind):
    torch.manual_seed(0)
    codes = torch.randn(3000, 2) @ torch.tensor([[2.0, 0.5], [0.0, 0.5]]) + torch.tensor([3.0, -1.0])
    prior = latent.fit_prior(codes, kind, **({"epochs": 5} if kind == "flow" else {}))
    z = prior(None).sample((20_000,))
    assert z.shape == (20_000, 2) and prior().log_prob(codes).shape == (3000,)
    torch.testing.assert_close(z.mean(0), codes.mean(0), rtol=0.05, atol=0.1)
    torch.testing.assert_close(z.std(0), codes.std(0), rtol=0.1, atol=0.05)
    correlation = torch.corrcoef(z.T)[0, 1].item()
    assert correlation == pytest.approx(
        0 if kind == "diagonal" else torch.corrcoef(codes.T)[0, 1].item(), abs=0.06
    )


def test_richer_priors_fit_two_clusters_better():
    torch.manual_seed(0)
    codes = torch.randn(2000, 2) * 0.3 + torch.where(torch.rand(2000, 1) < 0.5, 2.0, -2.0)
    options = {"mixture": {"components": 2}, "flow": {"epochs": 15}}
    fitted = {k: latent.fit_prior(codes, k, **options.get(k, {})) for k in latent.PRIORS}
    nats = {k: p().log_prob(codes).mean().item() for k, p in fitted.items()}
    assert nats["diagonal"] < nats["full"] < nats["flow"] and nats["full"] < nats["mixture"] - 0.5


def test_a_plain_autoencoder_samples_with_a_fitted_prior():
    model = models.autoencoder(DIGITS.shape, 4, net="mlp", posterior="deterministic")
    model.prior = latent.fit_prior(latent.encode(model, DIGITS), "full")
    assert model.sample(5).shape == (5, 1, 8, 8)
    assert "prior.loc" in model.state_dict(), "a fitted prior must be saved with the model"


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="Did you mean 'mixture'"):
        latent.fit_prior(torch.randn(9, 2), "mixtur")
    with pytest.raises(ValueError, match=r"codes are \(N, K\)"):
        latent.fit_prior(torch.randn(9), "full")
