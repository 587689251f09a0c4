"""Faults of the wiring: what the loss and the encoder see, the code, gradients and optimizers."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from aelib import models, training
from benchmarks.patients.faults import (
    NO_USE,
    RANGE,
    WEAK,
    Layer,
    OnCode,
    at_code,
    at_head,
    before,
    colour,
    deep,
    fault,
    flat_code,
    linears,
    masked_error,
    relu_net,
    takes_error,
    unconditional,
    with_error,
)
from benchmarks.patients.settings import Setting

# which pixels the loss sees

UNSEEN = ("pixels that the loss does not see",)


@fault("pixels", UNSEEN, ("overfitting",), needs=takes_error)
def half_of_the_picture_in_the_loss(s: Setting) -> None:
    axis, low = int(s.rng.choice([-1, -2])), bool(s.rng.random() < 0.5)

    def mask(t: Tensor) -> Tensor:
        n = t.shape[axis]
        seen = (torch.arange(n) < n // 2) == low
        return seen if axis == -1 else seen[:, None]

    with_error(s, masked_error(mask, bool(s.rng.random() < 0.5)))


@fault("pixels", UNSEEN, needs=takes_error)
def a_fixed_mask_in_the_loss(s: Setting) -> None:
    seen = torch.from_numpy(s.rng.random(s.data.shape[1:]) < s.rng.uniform(0.3, 0.7))
    with_error(s, masked_error(lambda t: seen, bool(s.rng.random() < 0.5)))


@fault("pixels", UNSEEN, needs=lambda s: takes_error(s) and colour(s))
def one_channel_in_the_loss(s: Setting) -> None:
    seen = (torch.arange(3) == int(s.rng.integers(3))).view(3, 1, 1)
    with_error(s, masked_error(lambda t: seen, bool(s.rng.random() < 0.5)))


@fault("pixels", (*UNSEEN, "parameters without gradient"), needs=lambda s: s.net != "fcn")
def half_of_the_output_detached(s: Setting) -> None:
    def f(h: Tensor) -> Tensor:
        k = h.shape[-2] // 2
        return torch.cat([h[..., :k, :].detach(), h[..., k:, :]], -2)

    at_head(s, "decoder", Layer(f))


@fault("pixels", ("outputs cannot reach the pixels",), (*WEAK, "saturated"),
       needs=lambda s: s.kind in ("AE bernoulli", "VAE bernoulli", "conditional VAE"))  # fmt: skip
def sigmoid_twice(s: Setting) -> None:
    at_head(s, "decoder", nn.Sigmoid())


@fault("pixels", ("outputs cannot reach the pixels",), RANGE + WEAK,
       needs=lambda s: s.kind in ("AE squared", "AE laplace", "VAE σ learnt", "VAE σ fixed"))  # fmt: skip
def pixels_of_both_signs_behind_a_sigmoid_or_relu(s: Setting) -> None:
    s.map(lambda b: replace(b, x=(x := 2 * b.target - 1), target=x))
    at_head(s, "decoder", nn.Sigmoid() if s.rng.random() < 0.5 else nn.ReLU())


# what the encoder sees

BLIND = ("encoder does not see", "encoder sees")


@fault(
    "encoder's view",
    (*BLIND, "narrow layer in the encoder", "the same picture for every image"),
    NO_USE,
    needs=unconditional,
)
def a_picture_averaged_away(s: Setting) -> None:
    s.model.encoder = before(s.model.encoder, Layer(lambda x: x.mean((2, 3), keepdim=True).expand_as(x)))


@fault("encoder's view", BLIND, NO_USE, needs=unconditional)
def encoder_sees_a_part(s: Setting) -> None:
    axis, share = int(s.rng.choice([-1, -2])), float(s.rng.uniform(0.25, 0.6))

    def f(x: Tensor) -> Tensor:
        n = x.shape[axis]
        seen = torch.arange(n) < share * n
        return x * (seen if axis == -1 else seen[:, None])

    s.model.encoder = before(s.model.encoder, Layer(f))


# which numbers of the code are written and read

FEW = ("code numbers that are not", "narrow layer")


@fault("code", FEW, NO_USE, needs=lambda s: s.latent >= 6)
def decoder_reads_two_numbers(s: Setting) -> None:
    at_code(s, lambda z: torch.cat([z[:, :2], 0 * z[:, 2:]], 1))


@fault("code", FEW, NO_USE, needs=lambda s: s.latent >= 6)
def encoder_writes_two_numbers(s: Setting) -> None:
    k = s.latent

    def f(h: Tensor) -> Tensor:
        return torch.cat([part for v in h.split(k, 1) for part in (v[:, :2], 0 * v[:, 2:])], 1)

    at_head(s, "encoder", Layer(f))


@fault("code", (*FEW, "units all alike"), NO_USE, needs=lambda s: s.latent >= 6)
def all_numbers_of_the_code_the_same(s: Setting) -> None:
    at_head(
        s, "encoder", Layer(lambda h: torch.cat([v[:, :1].expand_as(v) for v in h.split(s.latent, 1)], 1))
    )


@fault("code", FEW, NO_USE, needs=lambda s: s.net == "mlp" and s.latent >= 6)
def a_hidden_layer_of_one_unit(s: Setting) -> None:
    out, part = (s.latent * (2 if s.is_vae else 1), "encoder") if s.rng.random() < 0.5 else (s.latent, "code")
    if part == "encoder":
        at_head(s, "encoder", nn.Sequential(nn.Linear(out, 1), nn.GELU(), nn.Linear(1, out)))
    else:
        squeeze = nn.Sequential(nn.Linear(out, 1), nn.Tanh(), nn.Linear(1, out))
        s.model.decoder = before(s.model.decoder, OnCode(squeeze, out))


@fault("code", ("code does not reach the decoder", "code numbers that are not read"), NO_USE)
def code_times_zero(s: Setting) -> None:
    at_code(s, lambda z: 0 * z)


@fault("code", ("units all alike",), (*NO_USE, "parameters without gradient", "vanishing gradient"),
       needs=lambda s: s.net in ("mlp", "by hand"))  # fmt: skip
def layers_that_start_alike(s: Setting) -> None:
    part = s.model.encoder if s.rng.random() < 0.5 else s.model.decoder
    layer: Any = linears(part)[0]
    nn.init.constant_(layer.weight, 0.01)
    nn.init.zeros_(layer.bias)
    following: Any = linears(part)[1]
    nn.init.constant_(following.weight, 0.01)


@fault(
    "code", ("dead units",), (*NO_USE, "parameters without gradient", "vanishing gradient"), needs=relu_net
)
def dead_relus(s: Setting) -> None:
    layers = linears(s.model.encoder)[:2] + linears(s.model.decoder)[:2]
    layer: Any = layers[s.rng.integers(len(layers))]
    nn.init.constant_(layer.bias, -30.0)


@fault("code", ("posterior cannot become a code",), NO_USE, needs=lambda s: s.is_vae and s.net != "linear")
def relu_before_the_posterior(s: Setting) -> None:
    at_head(s, "encoder", nn.ReLU())


@fault("code", ("parameters without gradient",), (*NO_USE, "encoder trained on the KL alone"))
def rounded_code(s: Setting) -> None:
    at_code(s, torch.round)


# gradients and optimizers

GRADIENT = ("parameters without gradient",)


@fault("gradient", GRADIENT, NO_USE)
def a_frozen_part(s: Setting) -> None:
    (s.model.encoder if s.rng.random() < 0.5 else s.model.decoder).requires_grad_(False)


@fault("gradient", GRADIENT, NO_USE, needs=deep)
def a_frozen_layer(s: Setting) -> None:
    layers = linears(s.model.encoder)[:-1] + linears(s.model.decoder)
    layers[s.rng.integers(len(layers))].requires_grad_(False)


@fault("gradient", (*GRADIENT, "encoder trained on the KL alone"), NO_USE)
def detached_code(s: Setting) -> None:
    at_code(s, lambda z: z.detach())


@fault("gradient", GRADIENT, NO_USE, needs=deep)
def detached_inside_the_encoder(s: Setting) -> None:
    at_head(s, "encoder", Layer(lambda h: h.detach()))
    size = s.latent * (2 if s.is_vae else 1)
    kind = nn.Linear(size, size) if flat_code(s) else nn.Conv2d(size, size, 1)
    at_head(s, "encoder", kind)


def only(s: Setting, pick: Any) -> None:
    s.optimizers = lambda m, lr: torch.optim.Adam(pick(m), lr)


@fault("gradient", ("parameters without an optimizer",), NO_USE)
def one_part_in_the_optimizer(s: Setting) -> None:
    part = str(s.rng.choice(["encoder", "decoder"]))
    only(s, lambda m: getattr(m, part).parameters())


@fault("gradient", ("parameters without an optimizer",), NO_USE, needs=deep)
def a_layer_forgotten_in_the_optimizer(s: Setting) -> None:
    part, k = str(s.rng.choice(["encoder", "decoder"])), int(s.rng.integers(2))

    def pick(m: models.Autoencoder) -> list[nn.Parameter]:
        left = {id(p) for p in linears(getattr(m, part))[k].parameters()}
        return [p for p in m.parameters() if id(p) not in left]

    only(s, pick)


@fault("gradient", ("encoder trained on the KL alone",), NO_USE, needs=lambda s: s.kind in (
    "VAE bernoulli", "VAE σ learnt", "β-VAE", "conditional VAE"))  # fmt: skip
def encoder_descends_the_kl_alone(s: Setting) -> None:
    s.optimizers = lambda m, lr: {
        "kl": training.adam(m.encoder, lr), "nll": training.adam(m.decoder, lr)}  # fmt: skip


# ways round the code


class Skipping(models.Autoencoder):
    """Keeps what the encoder saw, and adds a little of it to the output."""

    def encode(self, x: Tensor, c: Tensor | None = None) -> Distribution:
        """As always, and x is kept."""
        self.kept = x
        return super().encode(x, c)

    def decode(self, z: Tensor, c: Tensor | None = None, size: Any = None) -> Distribution:
        """As always, and more."""
        head = self.decoder[-1]
        with head.register_forward_pre_hook(lambda _, h: (h[0] + self.kept,)):
            return super().decode(z, c, size)


@fault(
    "skip", ("decoder sees more than the code",), needs=lambda s: s.kind != "denoising" and unconditional(s)
)
def a_skip_past_the_code(s: Setting) -> None:
    old = s.model
    s.model = Skipping(old.encoder, old.decoder, old.prior)
