"""Each patient is ill in one way, or in none; the diagnosis must name that first, or nothing."""

import copy
import re
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from aelib import datasets, diagnose, diagnosis, heads, latent, losses, metrics, models, nets, priors
from aelib.datasets import Batch, conditioned, noisy
from aelib.diagnosis.evidence import CURES
from aelib.diagnosis.loss import loss_weights
from aelib.training import adam, train


class Channels(nn.Module):
    """The first so many channels."""

    def __init__(self, channels):
        super().__init__()
        self.channels = channels

    def forward(self, x):
        return x[:, : self.channels]


SHAPE, SIZE = (1, 8, 8), 6
build = partial(models.autoencoder, SHAPE, SIZE, net="mlp", hidden=(64,))


@cache
def digits():
    return datasets.load("digits")


def mapped(*transforms):
    parts = [digits().train, digits().valid]
    for f in transforms:
        parts = [part.map(f) for part in parts]
    return datasets.Split(*parts, digits().test)


def trained(model, data, objective, epochs=7, optimizers=None, lr=1e-2, **options):
    optimizers = optimizers or adam(model, lr)
    history = list(
        train(model, data.train, objective, optimizers, epochs=epochs, valid=data.valid, batch_size=128)
    )
    return {"objective": objective, "history": history, "optimizers": optimizers} | options


def gaussian(**options):
    return build(likelihood="gaussian", **options)


def standard(batch):
    return replace(batch, x=(x := (batch.x - 0.3) / 0.37), target=x)


def by_hand(encoder, decoder, prior=True):
    return models.Autoencoder(encoder, decoder, priors.StandardNormal(SIZE) if prior else None)


def parts(activation=nn.GELU, out=None):
    encoder = nn.Sequential(nets.MLP(64, 64, 2 * SIZE, activation=activation), heads.Gaussian())
    decoder = [nets.MLP(SIZE, 64, 64, activation=activation), *([out] if out else []), nets.Reshape(*SHAPE)]
    return encoder, nn.Sequential(*decoder, heads.Bernoulli())


# healthy


def plain_autoencoder():
    model, data = gaussian(posterior="deterministic"), digits()
    return model, data, trained(model, data, losses.reconstruction)


def linear_autoencoder():
    model = models.autoencoder(SHAPE, SIZE, net="linear", posterior="deterministic", likelihood="gaussian")
    return model, digits(), trained(model, digits(), losses.reconstruction)


def squared_error_objective():
    model, data = gaussian(posterior="deterministic"), digits()
    return (
        model,
        data,
        trained(model, data, partial(losses.reconstruction, error=losses.squared_error), epochs=4),
    )


def vae():
    model, data = build(), digits()
    return model, data, trained(model, data, losses.elbo)


def convolutional_vae_with_learnt_scale():
    model = models.autoencoder(SHAPE, SIZE, hidden=(4, 8), likelihood="gaussian-learnt")
    return model, digits(), trained(model, digits(), losses.elbo, epochs=25)


def beta_vae():
    model, data = build(), digits()
    return model, data, trained(model, data, partial(losses.elbo, beta=2.0), epochs=12)


def vae_with_free_bits():
    model, data = build(), digits()
    return model, data, trained(model, data, partial(losses.elbo, free_bits=0.5))


def importance_weighted():
    model, data = build(), digits()
    return model, data, trained(model, data, losses.iwae, epochs=4)


def conditional_vae():
    model, data = build(conditions=10), mapped(conditioned(10))
    return model, data, trained(model, data, losses.elbo)


def denoiser():
    model, data = gaussian(posterior="deterministic"), mapped(noisy(0.3))
    return model, data, trained(model, data, losses.reconstruction)


def denoiser_told_the_noise():
    model = gaussian(posterior="deterministic", conditions=1)
    data = mapped(noisy((0.05, 0.5), known=True))
    return model, data, trained(model, data, losses.reconstruction)


def sparse_autoencoder():
    encoder = nn.Sequential(nets.MLP(64, 64, 32), nn.ReLU(), heads.Deterministic())
    model = by_hand(
        encoder, nn.Sequential(nets.MLP(32, 64, 64), nets.Reshape(*SHAPE), heads.Gaussian(1.0)), None
    )
    return model, digits(), trained(model, digits(), partial(losses.sparse, weight=0.01))


def contractive_autoencoder():
    model, data = gaussian(posterior="deterministic"), digits()
    return model, data, trained(model, data, partial(losses.contractive, weight=0.01), epochs=4)


def batch_normalised():
    model, data = build(norm=nn.BatchNorm1d), digits()
    return model, data, trained(model, data, losses.elbo)


def standardised_pixels_under_a_gaussian():
    model, data = gaussian(posterior="deterministic"), mapped(standard)
    return model, data, trained(model, data, losses.reconstruction)


def relus_of_which_most_are_dead():
    torch.manual_seed(0)
    encoder = nn.Sequential(nets.MLP(64, 1024, 2 * SIZE, activation=nn.ReLU), heads.Gaussian())
    model, data = by_hand(encoder, parts()[1]), digits()
    nn.init.constant_(encoder[0][1].bias[:940], -10.0)
    return model, data, trained(model, data, losses.elbo, lr=3e-3, epochs=25)


def blurred(v):
    return nn.functional.avg_pool2d(nn.functional.pad(v, (1, 1, 1, 1), "replicate"), 3, 1)


def sharpener():
    model, data = gaussian(posterior="deterministic"), mapped(lambda b: Batch(blurred(b.x), target=b.x))
    return model, data, trained(model, data, losses.reconstruction)


def denoiser_of_strong_noise():
    model, data = gaussian(posterior="deterministic"), mapped(noisy(0.8))
    return model, data, trained(model, data, losses.reconstruction, epochs=12)


HEALTHY = [
    plain_autoencoder, linear_autoencoder, squared_error_objective, vae, convolutional_vae_with_learnt_scale,
    beta_vae, vae_with_free_bits, importance_weighted, conditional_vae, denoiser, denoiser_told_the_noise,
    sparse_autoencoder, contractive_autoencoder, batch_normalised, standardised_pixels_under_a_gaussian,
    relus_of_which_most_are_dead, sharpener, denoiser_of_strong_noise,
]  # fmt: skip


# the clinic's patients


def pixels_to_255():
    def f(batch):
        return Batch(255 * batch.x)

    model, data = build(), mapped(f)
    return model, data, trained(model, data, losses.elbo, epochs=3)


def noise_times_zero():
    def f(batch):
        return replace(batch, x=batch.x + 0.0 * torch.randn_like(batch.x), target=batch.target)

    model, data = gaussian(posterior="deterministic"), mapped(f)
    return model, data, trained(model, data, losses.reconstruction, epochs=2)


def mean_and_mean():
    def objective(model, batch):
        q, _, p = model(batch.x)
        error = nn.functional.binary_cross_entropy(p.mean, batch.target, reduction="none").flatten(1).mean(1)
        kl = losses.kl_per_dimension(q, model.prior()).mean(1)
        return {"loss": error + kl}

    model, data = build(), digits()
    return model, data, trained(model, data, objective, epochs=4)


def kl_only_encoder():
    model, data = build(), digits()
    optimizers = {"kl": adam(model.encoder, 5e-3), "nll": adam(model.decoder, 5e-3)}
    return model, data, trained(model, data, losses.elbo, optimizers=optimizers, epochs=2)


def label_missing_in_the_encoder():
    model, data = build(conditions=10), mapped(conditioned(10))
    model.encoder = nn.Sequential(Channels(1), nets.Centre(), nets.MLP(64, 64, 2 * SIZE), heads.Gaussian())
    return model, data, trained(model, data, losses.elbo, epochs=2)


def sparsity_on_weights():
    def objective(model, batch):
        error = losses.reconstruction(model, batch)["loss"]
        penalty = sum(w.abs().sum() for w in model.encoder.parameters())
        return {"loss": error + 1e-3 * penalty}

    model, data = gaussian(posterior="deterministic"), digits()
    return model, data, trained(model, data, objective, epochs=2)


def steps_too_large():
    model, data = by_hand(*parts(nn.ReLU)), digits()
    return model, data, trained(model, data, losses.elbo, lr=1.0, epochs=4)


def steps_too_small():
    model, data = build(), digits()
    return model, data, trained(model, data, losses.elbo, lr=1e-6)


def dead_relus():
    model, data = by_hand(*parts(nn.ReLU)), digits()
    nn.init.constant_(model.decoder[0][1].bias, -10.0)
    return model, data, trained(model, data, losses.elbo, epochs=5)


def last_training_batch_as_validation():
    model, data = gaussian(posterior="deterministic"), digits()
    given = trained(model, data, losses.reconstruction)
    *_, batch = data.train.batches(64, seed=3)
    with torch.no_grad():
        given["history"][-1]["valid/loss"] = losses.reconstruction(model, batch)["loss"].mean().item()
    return model, data, given


def collapsed():
    model, data = gaussian(), digits()  # σ = 1: no error is worth a nat
    return model, data, trained(model, data, losses.elbo, epochs=5)


CLINIC = {
    pixels_to_255: "pixels outside the likelihood's range",
    noise_times_zero: "corruption that changes nothing",
    mean_and_mean: "hidden β",
    kl_only_encoder: "encoder trained on the KL alone",
    label_missing_in_the_encoder: "condition missing in the encoder",
    sparsity_on_weights: "penalty that sees no image",
    steps_too_large: "learning rate too large",
    steps_too_small: "hardly trained",
    dead_relus: "dead units",
    last_training_batch_as_validation: "validation scored on other images",
    collapsed: "posterior collapse",
}

# ill in ways that the clinic does not show


def untrained():
    return build(), digits(), {}


def label_missing_in_the_decoder():
    model, data = build(conditions=10), mapped(conditioned(10))
    first, rest = Channels(SIZE), model.decoder
    rest[0][0][1] = nn.Linear(SIZE, 64)
    model.decoder = nn.Sequential(first, rest)
    return model, data, trained(model, data, losses.elbo, epochs=2)


def labels_of_other_images():
    data = digits()
    parts = []
    for part in (data.train, data.valid):
        order = np.random.default_rng(0).permutation(len(part))
        parts.append(replace(part, labels=part.labels[order]).map(conditioned(10)))
    model, data = build(conditions=10), datasets.Split(*parts, data.test)
    return model, data, trained(model, data, losses.elbo, epochs=2)


def code_times_zero():
    class Zero(nn.Module):
        def forward(self, z):
            return 0 * z

    model, data = build(), digits()
    model.decoder = nn.Sequential(Zero(), model.decoder)
    return model, data, trained(model, data, losses.elbo, epochs=2)


def sigmoid_twice():
    model, data = by_hand(*parts(out=nn.Sigmoid())), digits()
    return model, data, trained(model, data, losses.elbo, epochs=2)


def standardised_under_bernoulli():
    model, data = build(), mapped(standard)
    return model, data, trained(model, data, losses.elbo, epochs=2)


def divided_by_255_twice():
    model, data = build(), mapped(lambda b: Batch(b.x / 255))
    return model, data, trained(model, data, losses.elbo, epochs=2)


def one_nan_weight():
    model, data, given = copy.deepcopy(ill(vae)[0]), *ill(vae)[1:]
    with torch.no_grad():
        model.encoder[1][1][1].weight[3, 5] = torch.nan
    return model, data, given


def nan_in_the_data():
    def f(batch):
        return Batch(batch.x / batch.x.std(0))

    return gaussian(posterior="deterministic"), mapped(f), {}


def the_same_image_again_and_again():
    data = digits()
    data = replace(data, train=data.train[np.arange(300) % 3])
    model = gaussian(posterior="deterministic")
    return model, data, trained(model, data, losses.reconstruction)


def kl_with_the_wrong_sign():
    def objective(model, batch):
        terms = losses.elbo(model, batch)
        return {"loss": terms["nll"] - 0.1 * terms["kl"]}

    model, data = build(), digits()
    return model, data, trained(model, data, objective, epochs=3)


def no_kl():
    model, data = build(), digits()
    return model, data, trained(model, data, losses.reconstruction, epochs=2)


def detached_code():
    def objective(model, batch):
        q = model.encode(batch.x)
        return {"loss": losses.nll(model.decode(q.sample()), batch.target)}

    model, data = build(), digits()
    return model, data, trained(model, data, objective, epochs=2)


def detached_code_beside_a_kl():
    def objective(model, batch):
        q = model.encode(batch.x)
        kl = losses.kl_term(q, model.prior(), q.mean)
        return {"loss": losses.nll(model.decode(q.sample()), batch.target) + kl}

    model, data = build(), digits()
    return model, data, trained(model, data, objective, epochs=2)


def only_the_decoder_in_the_optimizer():
    model, data = build(), digits()
    return model, data, trained(model, data, losses.elbo, optimizers=adam(model.decoder, 5e-3), epochs=2)


def learning_rate_zero():
    model, data = build(), digits()
    return model, data, trained(model, data, losses.elbo, optimizers=adam(model, 0.0), epochs=2)


def weight_decay_ten():
    model, data = gaussian(posterior="deterministic"), digits()
    optimizer = adam(model, 5e-3, weight_decay=10.0)
    return model, data, trained(model, data, losses.reconstruction, optimizers=optimizer)


def stale_batch_statistics():
    model, data = build(norm=nn.BatchNorm1d), digits()
    for m in model.modules():
        if isinstance(m, nn.BatchNorm1d):
            m.momentum = 1e-4
    return model, data, trained(model, data, losses.elbo, epochs=5)


def batch_statistics_in_evaluation():
    model, data = build(norm=partial(nn.BatchNorm1d, track_running_stats=False)), digits()
    return model, data, trained(model, data, losses.elbo, epochs=2)


def skip_connection():
    class Skipping(models.Autoencoder):
        def encode(self, x, c=None):
            self.kept = x
            return super().encode(x, c)

        def decode(self, z, c=None, size=None):
            p = super().decode(z, c, size)
            return heads.Bernoulli()(p.base_dist.logits + self.kept)

    plain = build()
    model, data = Skipping(plain.encoder, plain.decoder, plain.prior), digits()
    return model, data, trained(model, data, losses.elbo, epochs=2)


def ten_sigmoid_layers():
    encoder = nn.Sequential(nets.MLP(64, *[32] * 10, SIZE, activation=nn.Sigmoid), heads.Deterministic())
    model = by_hand(encoder, gaussian().decoder, None)
    return model, digits(), trained(model, digits(), losses.reconstruction)


def few_images_large_net():
    model = gaussian(posterior="deterministic", hidden=(256, 256))
    data = replace(digits(), train=digits().train[:40])
    return model, data, trained(model, data, losses.reconstruction, epochs=60)


def validation_is_training():
    data = replace(digits(), valid=digits().train[100:300])
    model = gaussian(posterior="deterministic")
    return model, data, trained(model, data, losses.reconstruction, epochs=2)


def validation_without_the_standardisation():
    data = mapped(standard)
    data = replace(data, valid=digits().valid)
    model = gaussian(posterior="deterministic")
    return model, data, trained(model, data, losses.reconstruction, epochs=2)


def hidden_beta_of_sum_and_mean():
    def objective(model, batch):
        terms = losses.elbo(model, batch, error=losses.squared_error)
        return {"loss": terms["nll"] / 64 + terms["kl"]}

    model, data = gaussian(), digits()
    return model, data, trained(model, data, objective, epochs=2)


def frozen_encoder():
    model, data = build(), digits()
    model.encoder.requires_grad_(False)
    return model, data, trained(model, data, losses.elbo, epochs=2)


def targets_of_other_images():
    def f(batch):
        return replace(noisy(0.2)(batch), target=batch.target.roll(1, 0))

    model, data = gaussian(posterior="deterministic"), mapped(f)
    return model, data, trained(model, data, losses.reconstruction, epochs=2)


def a_condition_that_is_always_the_same():
    model, data = build(conditions=10), mapped(lambda b: replace(b, c=torch.ones(len(b), 10)))
    return model, data, trained(model, data, losses.elbo, epochs=2)


def weights_of_zero():
    model, data = gaussian(posterior="deterministic"), digits()
    for w in model.parameters():
        nn.init.zeros_(w)
    return model, data, trained(model, data, losses.reconstruction, epochs=2)


def relu_before_the_posterior():
    model, data = build(), digits()
    model.encoder = nn.Sequential(nets.MLP(64, 64, 2 * SIZE), nn.ReLU(), heads.Gaussian())
    return model, data, trained(model, data, losses.elbo, epochs=2)


def relu_before_pixels_of_both_signs():
    encoder, _ = parts()
    decoder = nn.Sequential(nets.MLP(SIZE, 64, 64), nn.ReLU(), nets.Reshape(*SHAPE), heads.Gaussian(0.1))
    model, data = by_hand(encoder, decoder), mapped(lambda b: Batch(2 * b.x - 1))
    return model, data, trained(model, data, losses.elbo, epochs=2)


def means_over_the_batch_as_well():
    def objective(model, batch):
        terms = losses.elbo(model, batch)
        return {"loss": (terms["nll"].mean() / 64 + terms["kl"].mean()).expand(len(batch))}

    model, data = build(), digits()
    return model, data, trained(model, data, objective, epochs=2)


def kl_with_sigma_for_its_logarithm():
    def objective(model, batch):
        q, _, p = model(batch.x)
        log_var = q.base_dist.scale  # it is not
        kl = -0.5 * (1 + log_var - q.mean.square() - log_var.exp()).sum(1)
        nll = losses.nll(p, batch.target)
        return {"loss": nll + kl, "nll": nll, "kl": kl}

    model, data = build(), digits()
    return model, data, trained(model, data, objective, epochs=2)


def all_of_an_image_averaged_away():
    encoder = nn.Sequential(nn.AdaptiveAvgPool2d(1), nets.MLP(1, 64, SIZE), heads.Deterministic())
    model, data = by_hand(encoder, gaussian().decoder, None), digits()
    return model, data, trained(model, data, losses.reconstruction)


# numbers, targets, what passes, the batch, validation and conditions: nothing of these is on page 11


def plain(**options):
    return gaussian(posterior="deterministic", **options)


def on(f, model=None, objective=losses.reconstruction, epochs=2):
    """A patient whose batches are changed by f."""
    model, data = model or plain(), mapped(f)
    return model, data, trained(model, data, objective, epochs=epochs)


def with_loss(objective, model=None):
    model, data = model or build(), digits()
    return model, data, trained(model, data, objective, epochs=2)


class Changed(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, h):
        return self.f(h)


def with_parts(encoder=None, decoder=None, head=None, base=None):
    model = base or build()
    if encoder:
        model.encoder = nn.Sequential(encoder, model.encoder)
    if head:
        model.encoder = nn.Sequential(model.encoder[:-1], head, model.encoder[-1])
    if decoder:
        model.decoder = nn.Sequential(decoder, model.decoder)
    return model, digits(), trained(model, digits(), losses.elbo, epochs=2)


def logarithm_of_pixels():
    model = plain()
    model.encoder = nn.Sequential(Changed(lambda x: x.log()), model.encoder)
    return model, digits(), {"objective": losses.reconstruction}


def root_of_an_error_of_zero():
    def objective(model, batch):
        gap = (model(batch.x).p.mean - batch.target).flatten(1)
        return {"loss": gap.clamp_min(0).square().sum(1).sqrt() + (0 * gap).square().sum(1).sqrt()}

    return plain(), digits(), {"objective": objective}


def a_mirrored_target():
    return on(lambda b: replace(b, target=b.target.flip(-1)))


def a_shifted_target_of_a_noisy_input():
    return on(lambda b: replace(noisy(0.3)(b), target=b.target.roll(1, -2)))


def channels_in_another_order():
    colour = datasets.drawn_faces(300, 16)
    data = replace(colour, train=colour.train.map(lambda b: replace(b, target=b.target.flip(1))))
    model = models.autoencoder(data.shape, SIZE, net="mlp", posterior="deterministic", likelihood="gaussian")
    return model, data, {"objective": losses.reconstruction}


def targets_of_other_images_for_a_tenth():
    def f(b):
        wrong = (torch.arange(len(b)) < len(b) / 10).view(-1, 1, 1, 1)
        return replace(b, target=torch.where(wrong, b.target.roll(1, 0), b.target))

    return on(f)


def the_same_noise_in_both():
    return on(lambda b: Batch(noisy(0.2)(b).x))


def compared_with_the_noisy_input():
    def objective(model, batch):
        return {"loss": losses.squared_error(model(batch.x).p, batch.x)}

    model, data = plain(), mapped(noisy(0.3))
    return model, data, trained(model, data, objective, epochs=2)


def half_of_the_picture_in_the_loss():
    def objective(model, batch):
        return {"loss": (model(batch.x).p.mean - batch.target)[..., :4].square().flatten(1).sum(1)}

    return with_loss(objective, plain())


def a_code_of_which_two_numbers_are_read():
    return with_parts(decoder=Changed(lambda z: torch.cat([z[:, :2], 0 * z[:, 2:]], 1)))


def a_code_of_which_two_numbers_are_written():
    mask = torch.tensor([1.0, 1, 0, 0, 0, 0]).repeat(2)
    return with_parts(head=Changed(lambda h: mask.to(h) * h))


def one_hidden_unit():
    return with_parts(decoder=nn.Sequential(nn.Linear(SIZE, 1), nn.Tanh(), nn.Linear(1, SIZE)))


def half_of_the_picture_for_the_encoder():
    return with_parts(encoder=Changed(lambda x: torch.cat([x[..., :4], 0 * x[..., 4:]], -1)))


def half_of_the_output_detached():
    model = plain()
    cut = Changed(lambda h: torch.cat([h[..., :4].detach(), h[..., 4:]], -1))
    model.decoder = nn.Sequential(*model.decoder[:-1], cut, model.decoder[-1])
    return model, digits(), {"objective": losses.reconstruction}


def dropout_in_evaluation():
    return with_parts(encoder=Changed(lambda x: nn.functional.dropout(x, 0.3)))


def one_frozen_layer():
    model, data = build(), digits()
    model.encoder[1][1][1].requires_grad_(False)
    return model, data, trained(model, data, losses.elbo, epochs=2)


def kl_of_one_image_for_all():
    def objective(model, batch):
        terms = losses.elbo(model, batch)
        return {"loss": terms["nll"] + terms["kl"][:1]}

    return with_loss(objective)


def kl_summed_over_the_batch():
    def objective(model, batch):
        terms = losses.elbo(model, batch)
        return {"loss": terms["nll"] + terms["kl"].sum()}

    return with_loss(objective)


def every_image_against_every_target():
    def objective(model, batch):
        gap = model(batch.x).p.mean - batch.target.flatten(2)[:, None]  # (B, B, 8, 8) by broadcasting
        return {"loss": gap.square().mean((1, 2, 3))}

    def flat(batch):
        return Batch(batch.x, target=batch.target.view(-1, 1, 64))

    model = plain()
    model.decoder = nn.Sequential(
        model.decoder[:-1], nn.Flatten(), nn.Unflatten(1, (1, 64)), model.decoder[-1]
    )
    data = mapped(flat)
    return model, data, {"objective": objective}


def a_code_without_noise():
    def objective(model, batch):
        q = model.encode(batch.x)
        kl = losses.kl_term(q, model.prior(), q.mean)
        return {"loss": losses.nll(model.decode(q.mean), batch.target) + kl}

    return with_loss(objective)


def reversed_kl():
    def objective(model, batch):
        q, _, p = model(batch.x)
        kl = torch.distributions.kl_divergence(model.prior().base_dist, q.base_dist).sum(1)
        return {"loss": losses.nll(p, batch.target) + kl}

    return with_loss(objective)


def half_dropped_nine_times_of_ten():
    return with_parts(decoder=nn.Dropout(0.9))


def sparse_beyond_measure():
    encoder = nn.Sequential(nets.MLP(64, 64, 32), nn.ReLU(), heads.Deterministic())
    decoder = nn.Sequential(nets.MLP(32, 64, 64), nets.Reshape(*SHAPE), heads.Gaussian(1.0))
    return with_loss(partial(losses.sparse, weight=30.0), by_hand(encoder, decoder, None))


def codes_of_another_mean():
    model, data, _ = copy.deepcopy(ill(vae)[0]), *ill(vae)[1:]
    with torch.no_grad():
        model.encoder[1][1][-1].bias[:SIZE] += 2
        model.decoder[0][0][1].bias -= model.decoder[0][0][1].weight @ torch.full((SIZE,), 2.0)
    return model, data, {}


def validated(f):
    model, data = plain(), digits()
    return (
        model,
        replace(data, valid=f(data.valid)),
        trained(model, data, losses.reconstruction) | {"history": []},
    )


def a_noisy_validation():
    return validated(lambda v: v.map(lambda b: Batch(noisy(0.3)(b).x)))


def a_mirrored_validation():
    return validated(lambda v: v.map(lambda b: Batch(b.x.flip(-1))))


def other_classes_in_validation():
    model, data = plain(), digits()
    data = replace(data, train=data.train[data.train.labels < 5], valid=data.valid[data.valid.labels >= 5])
    return model, data, trained(model, data, losses.reconstruction) | {"history": []}


def a_darker_validation():
    return validated(lambda v: v.map(lambda b: Batch(b.x * 0.6)))


def a_condition_in_thousands():
    f = conditioned(10)
    return on(lambda b: replace(b, c=1000 * f(b).c), build(conditions=10), losses.elbo)


def a_condition_that_holds_the_picture():
    ways = torch.randn(64, 10, generator=torch.Generator().manual_seed(0)) / 8
    return on(lambda b: replace(b, c=b.target.flatten(1) @ ways), build(conditions=10), losses.elbo)


def a_blurred_target():
    return on(lambda b: Batch(b.x, target=blurred(b.x)))


def an_enlarged_target():
    def inner(v):
        return nn.functional.interpolate(v[..., 1:-1, 1:-1], size=8, mode="bilinear")

    return on(lambda b: Batch(b.x, target=inner(b.x)))


def a_target_of_black_and_white_colours():
    model = models.autoencoder((3, 8, 8), SIZE, net="mlp", posterior="deterministic", likelihood="gaussian")

    def f(batch):
        x = torch.cat([batch.x, batch.x.flip(-1), batch.x.flip(-2)], 1)
        return Batch(x, target=x.mean(1, keepdim=True).expand_as(x))

    return on(f, model)


def a_rounded_code_beside_a_kl():
    return with_parts(decoder=Changed(torch.round))


def an_encoder_whose_learning_rate_is_zero():
    model, data = build(norm=nn.BatchNorm1d), digits()
    parts = [{"params": model.encoder.parameters(), "lr": 0.0}, {"params": model.decoder.parameters()}]
    return model, data, trained(model, data, losses.elbo, optimizers=torch.optim.Adam(parts, 5e-3))


def dead_relus_beside_a_learnt_scale():
    torch.manual_seed(0)
    encoder, decoder = parts(nn.ReLU)
    nn.init.constant_(encoder[0][1].bias, -30.0)
    model, data = (
        by_hand(encoder, nn.Sequential(decoder[:-1], models.LIKELIHOODS["gaussian-learnt"]())),
        digits(),
    )
    return model, data, trained(model, data, losses.elbo)


OTHERS = {
    a_blurred_target: "target is a changed input",
    an_enlarged_target: "target is a changed input",
    a_target_of_black_and_white_colours: "target is a changed input",
    a_rounded_code_beside_a_kl: "parameters without gradient",
    an_encoder_whose_learning_rate_is_zero: "hardly trained",
    dead_relus_beside_a_learnt_scale: "dead units",
    logarithm_of_pixels: "NaN in the outputs",
    root_of_an_error_of_zero: "NaN in the loss",
    a_mirrored_target: "target is a changed input",
    a_shifted_target_of_a_noisy_input: "target is a changed input",
    channels_in_another_order: "target is a changed input",
    targets_of_other_images_for_a_tenth: "inputs and targets of different images",
    the_same_noise_in_both: "noise in the target",
    compared_with_the_noisy_input: "target not used",
    half_of_the_picture_in_the_loss: "pixels that the loss does not see",
    half_of_the_output_detached: "pixels that the loss does not see",
    a_code_of_which_two_numbers_are_read: "code numbers that are not read",
    a_code_of_which_two_numbers_are_written: "code numbers that are not written",
    one_hidden_unit: "narrow layer in the decoder",
    half_of_the_picture_for_the_encoder: "encoder does not see all of the picture",
    dropout_in_evaluation: "random in evaluation",
    one_frozen_layer: "parameters without gradient",
    kl_of_one_image_for_all: "loss mixes the images of a batch",
    kl_summed_over_the_batch: "loss mixes the images of a batch",
    every_image_against_every_target: "loss mixes the images of a batch",
    a_code_without_noise: "code without noise",
    reversed_kl: "KL miscalculated",
    half_dropped_nine_times_of_ten: "dropout too strong",
    sparse_beyond_measure: "penalty outweighs the error",
    codes_of_another_mean: "codes far from the prior",
    a_noisy_validation: "validation prepared differently",
    a_mirrored_validation: "validation prepared differently",
    other_classes_in_validation: "validation prepared differently",
    a_darker_validation: "validation prepared differently",
    a_condition_in_thousands: "condition on another scale",
    a_condition_that_holds_the_picture: "condition holds the picture",
    untrained: "hardly trained",
    label_missing_in_the_decoder: "condition missing in the decoder",
    labels_of_other_images: "condition unrelated to the images",
    code_times_zero: "code does not reach the decoder",
    sigmoid_twice: "outputs cannot reach the pixels",
    standardised_under_bernoulli: "pixels outside the likelihood's range",
    divided_by_255_twice: "pixels outside the likelihood's range",
    one_nan_weight: "NaN in the weights",
    nan_in_the_data: "NaN in the data",
    the_same_image_again_and_again: "images all alike",
    kl_with_the_wrong_sign: "KL with the wrong sign",
    no_kl: "no KL in the loss",
    detached_code: "parameters without gradient",
    detached_code_beside_a_kl: "encoder trained on the KL alone",
    only_the_decoder_in_the_optimizer: "parameters without an optimizer",
    learning_rate_zero: "hardly trained",
    weight_decay_ten: "weight decay too strong",
    stale_batch_statistics: "stale batch statistics",
    batch_statistics_in_evaluation: "neighbours change the result",
    skip_connection: "decoder sees more than the code",
    ten_sigmoid_layers: "vanishing gradient",
    few_images_large_net: "overfitting",
    validation_is_training: "validation images among the training images",
    validation_without_the_standardisation: "validation prepared differently",
    hidden_beta_of_sum_and_mean: "hidden β",
    frozen_encoder: "parameters without gradient",
    targets_of_other_images: "inputs and targets of different images",
    a_condition_that_is_always_the_same: "condition unrelated to the images",
    weights_of_zero: "units all alike",
    relu_before_the_posterior: "posterior cannot become a code",
    relu_before_pixels_of_both_signs: "outputs cannot reach the pixels",
    means_over_the_batch_as_well: "hidden β",
    kl_with_sigma_for_its_logarithm: "KL miscalculated",
    all_of_an_image_averaged_away: "encoder does not see all of the picture",
}


@cache
def ill(patient):
    torch.manual_seed(0)
    return patient()


@pytest.mark.parametrize("patient", HEALTHY, ids=lambda f: f.__name__)
def test_nothing_is_found_in_a_healthy_model(patient):
    model, data, given = ill(patient)
    report = diagnose(model, data, **given)
    assert report.names == [], report
    assert diagnose(model, data.train).names == []


@pytest.mark.parametrize(
    "patient, cause", [*CLINIC.items(), *OTHERS.items()], ids=lambda v: getattr(v, "__name__", "")
)
def test_the_right_cause_is_named_first(patient, cause):
    model, data, given = ill(patient)
    report = diagnose(model, data, **given)
    assert report.names[:1] == [cause], report


def test_measures_are_those_of_the_metrics():
    model, data, given = ill(vae)
    few = data.train[:256]  # no more are looked at
    measures = diagnose(model, few, **given).measures
    assert measures["variance explained"] == pytest.approx(metrics.fraction_of_variance(model, few), rel=1e-4)
    assert measures["KL (nats)"] == pytest.approx(metrics.kl_per_dimension(model, few).sum().item(), rel=1e-4)
    assert measures["active units"] == metrics.active_units(model, few).sum()
    spread = latent.encode(model, few).std(0).mean().item()
    assert measures["spread of codes"] == pytest.approx(spread, rel=1e-4)


@pytest.mark.parametrize("error, kl", [(1.0, 1.0), (0.01, 0.5), (3.0, -2.0)])
@pytest.mark.parametrize("scalar", [False, True])
def test_the_weights_of_a_loss_are_found(error, kl, scalar):
    def objective(model, batch):
        terms = losses.elbo(model, batch)
        loss = error * terms["nll"] + kl * terms["kl"]
        return {"loss": loss.mean().expand(len(batch)) if scalar else loss}

    torch.manual_seed(0)
    model, other = build(), build()
    w = loss_weights(objective, model, other, digits().train[:256].batch())
    assert (w.error, w.kl) == pytest.approx((error, kl), rel=0.01)


@pytest.mark.parametrize("beta", [0.01, 50.0])
def test_the_effective_beta_is_in_the_evidence(beta):
    report = diagnose(build(), digits(), partial(losses.elbo, beta=beta))
    assert report.names[0] == "hidden β"
    assert float(report.causes[0].evidence.split("a β of ")[1]) == pytest.approx(beta, rel=0.01)


def test_a_diagnosis_leaves_everything_as_it_was():
    model, data, given = ill(batch_normalised)
    model.train()
    before = {name: v.clone() for name, v in model.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = diagnose(model, data, **given)
    assert torch.rand(3).equal(expected)
    assert model.training and all(v.equal(before[name]) for name, v in model.state_dict().items())
    assert repr(diagnose(model, data, **given)) == repr(first)


def test_a_report_shows_every_cause_with_evidence_and_cure():
    model, data, given = ill(mean_and_mean)
    report = diagnose(model, data, **given)
    for shown in (repr(report), report._repr_html_()):
        assert "hidden β" in shown and "posterior collapse" in shown and "sum both terms" in shown
        assert "a β of 10.67" in shown and "variance explained" in shown
    assert repr(diagnose(*ill(vae)[:2])).startswith("nothing found\n")


def test_every_name_has_a_cure():
    texts = [file.read_text("utf-8") for file in Path(diagnosis.__file__).parent.glob("*.py")]
    named = {name for text in texts for name in re.findall(r'finds\("([^"]+)"\)', text)}
    assert len(named) > 30
    assert named | set(CLINIC.values()) | set(OTHERS.values()) <= set(CURES)
    unused = {name for name in CURES if not any(f'"{name}"' in text for text in texts)}
    parts = ("code numbers that are not ", "narrow layer in the ", "condition missing in the ")
    assert all(name.startswith(parts) for name in unused), unused  # these names end with what was found


def test_what_is_no_patient_is_refused():
    with pytest.raises(TypeError, match=r"takes an Autoencoder.*Linear"):
        diagnose(nn.Linear(2, 2), digits())
    with pytest.raises(TypeError, match=r"takes Images or other Examples, or a Split; got Tensor"):
        diagnose(build(), torch.zeros(5, 1, 8, 8))
    with pytest.raises(ValueError, match=r"two images at least.*got 1"):
        diagnose(build(), digits().train[:1])


@pytest.mark.parametrize("n", [2, 9])
def test_few_images_are_enough_to_look_at(n):
    for patient in (vae, conditional_vae, denoiser):
        model, data, given = ill(patient)
        diagnose(model, data.train[:n], given["objective"], valid=data.valid[:n], history=given["history"])


def test_a_learning_rate_that_a_schedule_brought_to_its_end_is_not_zero():
    model, data, _ = ill(vae)
    optimizer = adam(model, 1e-2)
    optimizer.param_groups[0] |= {"initial_lr": 1e-2, "lr": 1e-9}
    assert diagnose(model, data, losses.elbo, optimizers=optimizer).names == []


def test_numbers_in_units_of_their_own_are_healthy_where_the_model_knows_their_scale():
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(600, 2))
    rows = hidden @ rng.normal(size=(2, 6)) * [1, 10, 100, 1, 1, 1] + 5 * rng.normal(size=6)
    data = datasets.Examples(rows.astype(np.float32))
    keywords = {"net": "linear", "posterior": "deterministic", "likelihood": "gaussian"}
    for standardise, found in ((data, False), (False, True)):
        model = models.autoencoder(data.shape, 2, standardise=standardise, **keywords)
        assert ("pixels outside the likelihood's range" in diagnose(model, data).names) == found
