"""What repairs a VAE: a learnt prior over a codebook's indices, and codes matched with a prior as a whole."""

import copy
import itertools
import math
from functools import partial

import check
import completing
import pytest
import torch
from torch import nn
from truth import Rows

from aelib import contexts, heads, losses, metrics, models, nets, priors, runs, training
from aelib.datasets import Batch
from aelib.priors import Autoregressive
from aelib.training import adam


def quantizer(codes, size):
    """Vectors far from each other, so that nothing is rounded to another by chance."""
    head = heads.VectorQuantizer(codes, size).eval()
    head.codebook.copy_(torch.arange(codes * size).view(codes, size).float())
    return head


def vq(shape=(1, 8, 8), codes=5, latent=4, net="fcn", hidden=(8, 8)):
    torch.manual_seed(0)
    model = models.autoencoder(shape, latent, net=net, posterior="deterministic", hidden=hidden)
    model.encoder[-1] = heads.VectorQuantizer(codes, 2)
    model(torch.rand(50, *shape))  # its codebook moves onto the codes
    code = model.eval().encode(torch.rand(1, *shape)).event_shape
    model.prior = Autoregressive(model.encoder[-1], *code, width=8, layers=1, heads=2)
    return model


@pytest.mark.parametrize("shape, size", [((6,), 2), ((2, 2, 1), 1), ((2, 1, 2), 2), ((3, 1, 1), 3)])
def test_probabilities_over_all_codes_sum_to_one(shape, size):
    torch.manual_seed(0)
    prior = Autoregressive(quantizer(3, size), *shape, width=8, layers=2, heads=2).eval()
    n = math.prod(prior.parts)
    every = torch.tensor(list(itertools.product(range(3), repeat=n)))
    p = prior()
    log_p = p.log_prob(prior.vectors(every))
    assert log_p.shape == (3**n,)
    torch.testing.assert_close(log_p.exp().sum(), torch.tensor(1.0))
    by_hand = sum(  # each index from those before it, one at a time
        prior.following(every[:, :k])[:, k].log_softmax(-1).gather(1, every[:, k : k + 1])[:, 0]
        for k in range(n)
    )
    torch.testing.assert_close(log_p, by_hand, rtol=1e-4, atol=1e-4)
    drawn = prior.indices(p.sample((4000,)))
    seen = (drawn * 3 ** torch.arange(n - 1, -1, -1)).sum(1).bincount(minlength=3**n) / 4000
    assert (seen - log_p.exp()).abs().max() < 5 * 0.5 / 4000**0.5


def test_no_index_is_predicted_from_itself_or_a_later_one():
    torch.manual_seed(0)
    prior = Autoregressive(quantizer(4, 1), 3, 2, 2, width=8, layers=2, heads=2)
    n = math.prod(prior.parts)
    kept = []
    hook = prior.embedding.register_forward_hook(lambda m, i, h: kept.append(h) or h.retain_grad())
    for k in range(n):
        logits = prior.following(torch.randint(4, (2, n - 1)))
        logits[:, k].square().sum().backward()
        felt = kept[-1].grad.abs().sum((0, 2)) > 0
        assert felt.tolist() == [i < k for i in range(n - 1)], f"index {k} sees {felt.tolist()}"
    hook.remove()


def test_indices_and_codes_are_each_other_s_inverse_in_the_encoder_s_own_order():
    model = vq()
    x = torch.rand(6, 1, 8, 8)
    q = model.encode(x)
    indices = model.prior.indices(q.mean)
    assert torch.equal(indices, q.indices.flatten(1))
    torch.testing.assert_close(model.prior.vectors(indices), q.mean.detach())
    vectors = model.encoder[-1].codebook[q.indices]  # (B, parts, h, w, size)
    for b, part, i, j in itertools.product(range(6), range(2), range(2), range(2)):
        torch.testing.assert_close(vectors[b, part, i, j], q.mean[b, 2 * part : 2 * part + 2, i, j].detach())


def test_a_fitted_prior_reaches_the_entropy_of_a_markov_chain_and_draws_like_it():
    torch.manual_seed(0)
    first = torch.tensor([0.7, 0.2, 0.1])
    step = torch.tensor([[0.8, 0.15, 0.05], [0.1, 0.1, 0.8], [0.45, 0.5, 0.05]])
    n, states = 6, [torch.multinomial(first, 4000, replacement=True)]
    for _ in range(n - 1):
        states.append(torch.multinomial(step[states[-1]], 1)[:, 0])
    prior = Autoregressive(quantizer(3, 1), n, width=16, layers=1, heads=2)
    z = prior.vectors(torch.stack(states, 1))
    optimizer = adam(prior, 1e-2)
    for _ in range(6):
        for rows in torch.randperm(len(z)).split(100):
            optimizer.zero_grad()
            (-prior().log_prob(z[rows])).mean().backward()
            optimizer.step()
    entropy, share = torch.special.entr(first).sum(), first
    for _ in range(n - 1):
        entropy = entropy + share @ torch.special.entr(step).sum(1)
        share = share @ step
    with torch.no_grad():
        log_p = prior().log_prob(z)
    assert abs(-log_p.mean() - entropy) < 4 * log_p.std() / len(z) ** 0.5 + 0.02
    drawn = prior.indices(prior().sample((4000,)))
    pairs = torch.zeros(3, 3).index_put_(
        (drawn[:, :-1].flatten(), drawn[:, 1:].flatten()), torch.ones(4000 * (n - 1)), accumulate=True
    )
    assert (pairs / pairs.sum(1, keepdim=True) - step).abs().max() < 0.06
    start = torch.full((50, 2), 2)
    assert (prior.complete(start)[:, :2] == 2).all() and prior.complete(start).shape == (50, n)


@pytest.mark.parametrize("net, shape", [("fcn", (1, 8, 8)), ("fcn", (3, 5, 9)), ("mlp", (1, 3, 3))])
def test_a_vq_vae_with_a_learnt_prior_is_a_model_like_any_other(net, shape):
    model = vq(shape, net=net)
    x = torch.rand(7, *shape)
    assert model.sample(3).shape == (3, *shape)
    terms = losses.elbo(model, Batch(x))
    q = model.encode(x)
    torch.testing.assert_close(terms["kl"], -model.prior().log_prob(q.mean))
    torch.testing.assert_close(terms["loss"], -model.decode(q.mean).log_prob(x) + terms["kl"])
    rd = metrics.rate_distortion(model, Rows(x))
    assert rd["rate"] + rd["distortion"] == pytest.approx(terms["loss"].mean().item(), rel=1e-5)
    each = metrics.log_likelihood(model, Rows(x), samples=3)  # every sample is the same code
    torch.testing.assert_close(each, -terms["loss"].detach(), rtol=1e-4, atol=1e-3)


def test_the_bound_of_a_vq_vae_is_below_log_p_x_summed_over_every_code():
    model = vq(codes=3, latent=2)
    x = torch.rand(5, 1, 8, 8).round()
    every = torch.tensor(list(itertools.product(range(3), repeat=4)))
    z = model.prior.vectors(every)
    joint = model.prior().log_prob(z)[:, None] + torch.stack(
        [model.decode(z).log_prob(one.expand(len(z), -1, -1, -1)) for one in x], 1
    )
    assert (-losses.elbo(model, Batch(x))["loss"] < joint.logsumexp(0)).all()


def test_a_density_is_no_prior_for_codes_of_a_codebook():
    model = vq()
    model.prior = priors.StandardNormal(4, 2, 2)
    with pytest.raises(TypeError, match="need a prior of probabilities"):
        losses.elbo(model, Batch(torch.rand(2, 1, 8, 8)))
    with pytest.raises(ValueError, match="a code of 5 is not made of vectors of 2"):
        Autoregressive(heads.VectorQuantizer(4, 2), 5)


def test_the_prior_follows_the_codes_and_nothing_else_moves():
    model = vq().train()
    others = copy.deepcopy({k: v for k, v in model.state_dict().items() if not k.startswith("prior.")})
    assert not any("quantizer" in name or "codebook" in name for name in model.prior.state_dict())
    before = losses.prior_likelihood(model, Batch(torch.rand(50, 1, 8, 8)))["loss"].mean()
    data = Rows(torch.rand(200, 1, 8, 8))
    history = runs.fit(model, data, losses.prior_likelihood, adam(model.prior, 1e-2), epochs=3)
    assert history[-1]["train/loss"] < before
    for name, value in others.items():
        assert torch.equal(model.state_dict()[name], value), name
    copied = copy.deepcopy(model)  # the copy's prior belongs to the copy's encoder
    assert copied.prior._quantizer[0] is copied.encoder[-1] is not model.encoder[-1]
    with pytest.raises(TypeError, match=r"set model\.prior"):
        losses.prior_likelihood(models.Autoencoder(model.encoder, model.decoder), next(data.batches(9)))


def test_a_prior_fitted_to_a_vae_s_codes_is_fitted_to_draws_not_to_means():
    torch.manual_seed(0)
    model = models.autoencoder((1, 3, 3), 2, net="mlp", hidden=(8,))
    x, z = torch.rand(9, 1, 3, 3), []
    model.prior = Spy(z)
    losses.prior_likelihood(model, Batch(x))
    assert not z[0].requires_grad and not torch.allclose(z[0], model.encode(x).mean)


class Spy(priors.StandardNormal):
    """N(0, 1) over two numbers, which keeps what it is asked about."""

    def __init__(self, seen):
        super().__init__(2)
        self.seen = seen

    def forward(self, c=None):
        p = super().forward(c)
        ask = p.log_prob
        p.log_prob = lambda z: self.seen.append(z) or ask(z)
        return p


@pytest.mark.parametrize("n, m, k", [(2, 3, 1), (7, 5, 4)])
def test_mmd_is_the_double_loop_over_pairs(n, m, k):
    torch.manual_seed(0)
    a, b = torch.randn(n, k), torch.randn(m, k) + 1

    def kernel(u, v):
        return sum(
            2 * k * s / (2 * k * s + ((u - v) ** 2).sum()) for s in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
        )

    same = sum(kernel(a[i], a[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    same += sum(kernel(b[i], b[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    cross = sum(kernel(u, v) for u in a for v in b) / (n * m)
    torch.testing.assert_close(losses.mmd(a, b), same - 2 * cross)
    torch.testing.assert_close(losses.mmd(a, b), losses.mmd(b, a))
    with pytest.raises(ValueError, match="of two at least"):
        losses.mmd(a, b[:1])


def test_the_kernel_is_positive_definite_and_one_a_scale_at_no_distance():
    torch.manual_seed(0)
    z = torch.randn(30, 5)
    k = losses.inverse_multiquadric(z, z)
    torch.testing.assert_close(k.diagonal(), torch.full((30,), 7.0))
    assert torch.linalg.eigvalsh(k.double()).min() > 0


def test_mmd_is_unbiased_and_tells_distributions_apart():
    torch.manual_seed(0)
    draws = torch.stack([losses.mmd(torch.randn(20, 3), torch.randn(30, 3)) for _ in range(300)])
    assert abs(draws.mean()) < 4 * draws.std() / 300**0.5
    assert (draws < 0).float().mean() > 0.3  # the biased estimate is never below 0
    small = [losses.mmd(torch.randn(10, 2), torch.randn(10, 2) + 1) for _ in range(400)]
    large = losses.mmd(torch.randn(1000, 2), torch.randn(1000, 2) + 1)
    small = torch.stack(small)
    assert abs(small.mean() - large) < 4 * small.std() / 400**0.5 + 0.06
    same, narrow = (losses.mmd(torch.randn(500, 3) * s, torch.randn(500, 3)) for s in (1.0, 0.5))
    assert narrow > 20 * abs(same)


def test_every_example_of_a_batch_is_given_the_batch_s_mmd():
    torch.manual_seed(0)
    model = pointwise(4)
    x = torch.rand(9, 1, 3, 3)
    torch.manual_seed(1)
    terms = losses.wae(model, Batch(x), weight=7.0)
    torch.manual_seed(1)
    expected = losses.mmd(model.encode(x).mean, model.prior().sample((9,)))
    torch.testing.assert_close(terms["mmd"], expected.expand(9))
    torch.testing.assert_close(terms["loss"], terms["nll"] + 7 * expected)
    alone = losses.wae(model, Batch(x[:1]))
    assert alone["mmd"].tolist() == [0.0] and alone["loss"].isfinite().all()
    model.prior = None
    for objective in (losses.wae, partial(losses.adversarial, critic=nets.MLP(4, 1))):
        with pytest.raises(TypeError, match=r"this model has none; set model\.prior"):
            objective(model, Batch(x))


def pointwise(latent, **options):
    """A plain autoencoder of 3×3 pixels with N(0, 1) as prior."""
    options = {"net": "mlp", "hidden": (32,), "posterior": "deterministic"} | options
    model = models.autoencoder((1, 3, 3), latent, **options)
    model.prior = priors.StandardNormal(latent)
    return model


def test_draws_from_a_conditional_prior_follow_their_own_condition():
    class Shifted(nn.Module):
        def forward(self, c):
            return torch.distributions.Independent(torch.distributions.Normal(c, 1e-3), 1)

    model, c = pointwise(2, conditions=2), torch.randn(5, 2) * 10
    model.prior = Shifted()
    drawn = losses.from_prior(model, Batch(torch.rand(5, 1, 3, 3), c=c))
    torch.testing.assert_close(drawn, c, rtol=0, atol=0.1)


def test_the_critic_and_the_autoencoder_get_their_own_gradient_alone():
    torch.manual_seed(0)
    model, critic = pointwise(2), nets.MLP(2, 8, 1)
    objective = partial(losses.adversarial, critic=critic)
    data, before = Rows(torch.rand(16, 1, 3, 3)), copy.deepcopy((model, critic))
    optimizers = {"loss": sgd(model), "discriminator": sgd(critic)}
    runs.fit(model, data, objective, optimizers, epochs=1, batch_size=16)
    runs.fit(before[0], data, partial(losses.adversarial, critic=before[1]), {"loss": sgd(before[0])},
                 epochs=1, batch_size=16)  # fmt: skip
    for p, alone in zip(model.parameters(), before[0].parameters(), strict=True):
        torch.testing.assert_close(p, alone)  # the discriminator's loss reached no weight of the model
    fresh = copy.deepcopy(before[1])
    with contexts.seeded(training.loop._mix(0, 0)):
        terms = objective(copy.deepcopy(model), next(data.batches(16)))
    assert set(terms) == {"loss", "nll", "fooled", "discriminator"}
    assert all(p.grad is not None for p in critic.parameters())
    assert not any(torch.equal(p, q) for p, q in zip(critic.parameters(), fresh.parameters(), strict=True))


def sgd(module):
    return torch.optim.SGD(module.parameters(), lr=0.1)


def test_the_discriminator_s_term_lets_no_gradient_into_the_encoder_and_the_loss_does():
    torch.manual_seed(0)
    model, critic = pointwise(2), nets.MLP(2, 8, 1)
    for term, reached in (("discriminator", False), ("fooled", True)):
        terms = losses.adversarial(model, Batch(torch.rand(6, 1, 3, 3)), critic)
        weights = list(model.encoder.parameters())
        gradients = torch.autograd.grad(terms[term].sum(), weights, allow_unused=True)
        assert [g is not None for g in gradients] == [reached] * len(gradients), term


def test_the_best_critic_is_the_logarithm_of_the_densities_ratio():
    torch.manual_seed(0)
    model = pointwise(1)
    model.encoder = nn.Sequential(Shift(), heads.Deterministic())  # codes N(1, 1): log q / p = z − ½
    critic = nn.Linear(1, 1)
    optimizer = torch.optim.Adam(critic.parameters(), lr=0.02)
    x = torch.zeros(2000, 1, 3, 3)
    for _ in range(400):
        optimizer.zero_grad()
        losses.adversarial(model, Batch(x), critic)["discriminator"].mean().backward()
        optimizer.step()
    assert critic.weight.item() == pytest.approx(1.0, abs=0.15)
    assert critic.bias.item() == pytest.approx(-0.5, abs=0.15)


class Shift(nn.Module):
    def forward(self, x):
        return torch.randn(len(x), 1) + 1


def planes():
    """Pictures of 3×3 on a plane, evenly over a parallelogram: two numbers each, far from N(0, 1)."""
    torch.manual_seed(0)
    w = torch.rand(2, 9)
    return Rows((torch.rand(800, 2) @ (w / w.sum(0))).view(-1, 1, 3, 3))


@pytest.mark.parametrize("kind", ["wae", "adversarial"])
def test_the_codes_come_to_look_like_the_prior(kind):
    data = planes()
    torch.manual_seed(0)
    model, critic = pointwise(2, likelihood="gaussian", hidden=(64,)), nets.MLP(2, 64, 64, 1)
    objectives = {"wae": losses.wae, "adversarial": partial(losses.adversarial, critic=critic, weight=1.0)}
    both = {"loss": model, "discriminator": critic}
    lrs = {"loss": 2e-3, "discriminator": 2e-2}
    optimizers = {k: torch.optim.Adam(both[k].parameters(), lrs[k], betas=(0.0, 0.9)) for k in both}
    if kind == "wae":
        optimizers = optimizers["loss"]

    def codes():
        with torch.no_grad():
            return model.encode(data.x).mean

    before = losses.mmd(codes(), torch.randn(2000, 2))
    runs.fit(model, data, objectives[kind], optimizers, epochs=40, batch_size=100)
    z = codes()
    assert losses.mmd(z, torch.randn(2000, 2)) < 0.1 * before
    assert z.mean(0).abs().max() < 0.3 and (z.std(0) - 1).abs().max() < 0.3
    assert metrics.mse(model.reconstruct(data.x), data.x).mean() < 0.1 * data.x.var(0).mean()


def test_a_completed_code_keeps_its_beginning_and_draws_the_rest():
    model = vq()
    x = torch.rand(3, 1, 8, 8)
    n = len(model.prior.position)
    whole = completing.completion_images(model, x, n, draws=2)
    torch.testing.assert_close(whole, model.reconstruct(x).repeat_interleave(2, 0))
    seen = []
    model.prior.vectors = lambda indices: seen.append(indices) or Autoregressive.vectors(model.prior, indices)
    half = completing.completion_images(model, x, n // 2, draws=50)
    assert half.shape == (150, 1, 8, 8)
    given = model.prior.indices(model.encode(x).mean).repeat_interleave(50, 0)
    assert torch.equal(seen[-1][:, : n // 2], given[:, : n // 2])
    assert not torch.equal(seen[-1][:, n // 2 :], given[:, n // 2 :])
    assert torch.equal(half, completing.completion_images(model, x, n // 2, draws=50))
    assert not torch.equal(half, completing.completion_images(model, x, n // 2, draws=50, seed=1))


def test_the_completion_explorer_draws_anew_when_asked_and_refuses_another_prior():
    model = vq()
    widget = completing.completion(model, torch.rand(5, 1, 8, 8))
    controls, pictures = widget.children[0].children, widget.children[1].children
    number, kept, again = controls
    assert kept.max == 8 and number.max == 4 and widget.children[-1].value == ""
    before = [panel.image.value for panel in pictures]
    again.click()
    after = [panel.image.value for panel in pictures]
    assert after[0] == before[0] and after[1] != before[1]
    number.value = 3
    assert pictures[0].image.value != before[0]
    kept.value = 8
    settled = pictures[1].image.value
    again.click()
    assert pictures[1].image.value == settled
    model.prior = None
    for refused in (completing.completion, partial(completing.completion_images, kept=1)):
        with pytest.raises(TypeError, match=r"only priors\.Autoregressive completes a code"):
            refused(model, torch.rand(1, 1, 8, 8))


STRAIGHT = {
    "correct": lambda h, e: h + (e - h).detach(),
    "no gradient": lambda h, e: e.detach(),
    "goes to e": lambda h, e: h + (e - h),
    "nothing is rounded": lambda h, e: h,
    "the wrong way round": lambda h, e: e + (h - e).detach(),
    "returns nothing": lambda h, e: ...,
    "the numbers are not": lambda h, e: 2 * h,
    "raised": lambda h, e: h[9],
}
BITS = {
    "correct": lambda nats, shape: nats / (math.log(2) * math.prod(shape)),
    "nats for each number": lambda nats, shape: nats / math.prod(shape),
    "less": lambda nats, shape: nats * math.log(2) / math.prod(shape),
    "whole picture": lambda nats, shape: nats / math.log(2),
    "channels count": lambda nats, shape: nats / math.log(2) / (shape[1] * shape[2]),
}


@pytest.mark.parametrize(
    "exercise, answers", [(check.straight_through, STRAIGHT), (check.bits_per_dimension, BITS)]
)
def test_exercises_answer_with_what_is_off(capsys, exercise, answers):
    for said, f in answers.items():
        exercise(f)
        out = capsys.readouterr().out
        assert said in out and out.startswith("correct") == (said == "correct"), (said, out)
