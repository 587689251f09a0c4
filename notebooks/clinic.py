"""Patients of page 11: autoencoders with one fault each, and what their owners say.

Each is built by a function of (ward, ill): the same lines build the patient and the course's own repair, and
the fault is what differs. Who wants to be examined reads no further.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import course
import numpy as np
import torch
from aelib import explorers, fit, heads, latent, losses, models, nets, plots, priors
from aelib.datasets import Batch, Split, conditioned, noisy
from aelib.diagnosis import Report, diagnose
from aelib.models import Autoencoder
from aelib.training import adam, cosine
from restoring import Channels
from torch import Tensor, nn


@dataclass
class Case:
    """One patient: everything that its owner has.

    Args:
        model, data, objective, history, optimizers: as `diagnose` takes them.
        extra: what else its owner sent, by name.
    """

    model: Any
    data: Any
    objective: Any = losses.elbo
    history: Any = None
    optimizers: Any = None
    extra: dict[str, Any] = field(default_factory=dict)

    def diagnose(self) -> Report:
        """What `aelib.diagnose` finds."""
        return diagnose(
            self.model, self.data, self.objective, history=self.history, optimizers=self.optimizers
        )


class Ward:
    """Patients by name, each trained when it is first asked for: `ward["A"]`."""

    def __init__(self, faces: Split, digits: Split) -> None:
        self.faces, self.digits = faces, digits
        self._cases: dict[tuple[str, bool], Case] = {}

    def __getitem__(self, name: str) -> Case:
        return self._of(name, True)

    def repaired(self, name: str) -> Case:
        """The course's own repair."""
        return self._of(name, False)

    def both(self, name: str) -> dict[str, Case]:
        """The patient before and after the repair."""
        return {"ill": self[name], "well": self.repaired(name)}

    def _of(self, name: str, ill: bool) -> Case:
        if name not in PATIENTS:
            raise KeyError(f"there is no patient {name!r}; there are {', '.join(PATIENTS)}")
        if (name, ill) not in self._cases:
            self._cases[name, ill] = PATIENTS[name].build(self, ill)
        return self._cases[name, ill]


def mlp(data: Split, size: int, **options: Any) -> Autoencoder:
    """A small network, from one seed."""
    torch.manual_seed(0)
    return models.autoencoder(data.shape, size, net="mlp", hidden=(128,), **options)


def train(
    model: Autoencoder, data: Split, objective: Callable = losses.elbo, optimizers: Any = None,
    epochs: int | None = None, lr: float = 2e-3,
) -> Any:  # fmt: skip
    """A short training; its history."""
    return fit(
        model, data.train, objective, optimizers or adam(model, lr), valid=data.valid,
        epochs=epochs or course.pick(full=10, quick=60), batch_size=course.pick(full=128, quick=64),
        schedule={"lr": cosine()},
    )  # fmt: skip


def mapped(split: Split, f: Callable[[Batch], Batch]) -> Split:
    """All three parts through one function."""
    return Split(split.train.map(f), split.valid.map(f), split.test.map(f))


def look(data: Split, **cases: Autoencoder) -> Any:
    """Twelve images at most, no person and no digit twice, and what each model makes of them."""
    apart = np.sort(np.unique(data.valid.labels, return_index=True)[1])[:12]
    batch = data.valid[apart].batch()
    rows = {name: explorers.reconstructions_images(model, batch)[0] for name, model in cases.items()}
    return plots.show({"image": batch.target, **rows}, width=11)


def _case(model: Autoencoder, data: Split, objective: Callable = losses.elbo, **options: Any) -> Case:
    return Case(model, data, objective, train(model, data, objective, **options), options.get("optimizers"))


# ---- the patients ---------------------------------------------------------------------------------------


def mean_and_mean(model: Autoencoder, batch: Batch) -> dict[str, Tensor]:
    q, _, p = model(batch.x)
    error = (p.mean - batch.target).square().flatten(1).mean(1)
    return {"loss": error + losses.kl_per_dimension(q, model.prior()).mean(1)}


def same_face(ward: Ward, ill: bool) -> Case:
    model = mlp(ward.faces, 32, likelihood="gaussian-learnt")
    if ill:
        return _case(model, ward.faces, mean_and_mean)
    return _case(model, ward.faces, epochs=course.pick(full=10, quick=100))


def bright(ward: Ward, ill: bool) -> Case:
    data = mapped(ward.digits, lambda batch: Batch(255 * batch.x)) if ill else ward.digits
    return _case(mlp(ward.digits, 8), data)


def no_noise(ward: Ward, ill: bool) -> Case:
    def corrupted(batch: Batch, factor: float = 0.0) -> Batch:
        x = batch.x + factor * torch.randn_like(batch.x)
        return replace(batch, x=x.clamp(0, 1), target=batch.target)

    data = mapped(ward.digits, corrupted if ill else noisy(0.5))
    model = mlp(ward.digits, 16, posterior="deterministic", likelihood="gaussian")
    return _case(model, data, losses.reconstruction)


def two_losses(ward: Ward, ill: bool) -> Case:
    model = mlp(ward.digits, 8)
    encoder, decoder = adam(model.encoder, 2e-3), adam(model.decoder, 2e-3)
    optimizers = {"kl": encoder, "nll": decoder} if ill else {"loss": [encoder, decoder]}
    return _case(model, ward.digits, optimizers=optimizers)


def no_label(ward: Ward, ill: bool) -> Case:
    data, numbers = mapped(ward.digits, conditioned(10)), math.prod(ward.digits.shape)
    model = mlp(ward.digits, 8, conditions=10)
    if ill:
        model.encoder = nn.Sequential(
            Channels(ward.digits.shape[0]), nets.Centre(), nets.MLP(numbers, 128, 16), heads.Gaussian()
        )
    return _case(model, data)


def sparse_weights(model: Autoencoder, batch: Batch) -> dict[str, Tensor]:
    penalty = sum(w.abs().sum() for w in model.encoder.parameters())
    return {"loss": losses.reconstruction(model, batch)["loss"] + 1e-3 * penalty}


def rectified(ward: Ward, ill: bool) -> Case:
    model = mlp(ward.digits, 64, posterior="deterministic", likelihood="gaussian")
    model.encoder = nn.Sequential(model.encoder[:-1], nn.ReLU(), model.encoder[-1])
    return _case(model, ward.digits, sparse_weights if ill else losses.sparse)


def jumped(ward: Ward, ill: bool) -> Case:
    torch.manual_seed(0)
    shape, numbers = ward.digits.shape, math.prod(ward.digits.shape)
    encoder = nn.Sequential(nets.Centre(), nets.MLP(numbers, 128, 16, activation=nn.ReLU), heads.Gaussian())
    decoder = nn.Sequential(nets.MLP(8, 128, numbers, activation=nn.ReLU), nets.Reshape(*shape))
    model = models.Autoencoder(encoder, nn.Sequential(decoder, heads.Bernoulli()), priors.StandardNormal(8))
    return _case(model, ward.digits, lr=1.0 if ill else 5e-3)


def crept(ward: Ward, ill: bool) -> Case:
    return _case(mlp(ward.digits, 8), ward.digits, lr=1e-6 if ill else 2e-3)


def last_batch(ward: Ward, ill: bool) -> Case:
    data = ward.digits
    if ill:
        data = Split(data.train[:: len(data.train) // 100], data.valid, data.test)
    model = mlp(data, 32, posterior="deterministic", likelihood="gaussian")
    if not ill:
        return _case(model, data, losses.reconstruction)
    optimizer, history = adam(model, 2e-3), []
    for epoch in range(100):
        for batch in data.train.batches(32, seed=epoch):
            loss = losses.reconstruction(model, batch)["loss"].mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        valid = losses.reconstruction(model, batch)["loss"].mean()  # which batch is this?
        history.append({"epoch": epoch + 1, "train/loss": loss.item(), "valid/loss": valid.item()})
    return Case(model, data, losses.reconstruction, history)


def no_bug(ward: Ward, ill: bool) -> Case:
    return _case(mlp(ward.digits, 64, likelihood="gaussian" if ill else "gaussian-learnt"), ward.digits)


def smile(ward: Ward, ill: bool) -> Case:
    model = mlp(ward.faces, 32, posterior="deterministic", likelihood="gaussian")
    case = _case(model, ward.faces, losses.reconstruction)
    direction = latent.direction(
        latent.encode(model, ward.faces.train), ward.faces.train.attribute("Smiling")
    )
    case.extra["step"] = direction.abs() if ill else direction
    return case


def chance_graph(ward: Ward, ill: bool) -> Case:
    n, g = 400, torch.Generator().manual_seed(0)
    edges = torch.triu(torch.rand(n, n, generator=g) < 0.02, 1)
    hidden = edges & (torch.rand(n, n, generator=g) < 0.1)
    facts = {"edges": edges, "hidden": hidden, "features": torch.randn(n, 64, generator=g)}
    return Case(None, None, extra={**facts, "seen": edges if ill else edges & ~hidden})


def grey(ward: Ward, ill: bool) -> Case:
    model, shape = mlp(ward.digits, 8), ward.digits.shape
    torch.manual_seed(0)
    squashed = [nn.Sigmoid()] if ill else []
    model.decoder = nn.Sequential(
        nets.MLP(8, 128, math.prod(shape)), *squashed, nets.Reshape(*shape), heads.Bernoulli()
    )
    return _case(model, ward.digits)


def mixed_up(ward: Ward, ill: bool) -> Case:
    def corrupted(batch: Batch) -> Batch:
        x = (batch.x + 0.2 * torch.randn_like(batch.x)).clamp(0, 1)
        order = torch.randperm(len(x)) if ill else torch.arange(len(x))
        return replace(batch, x=x[order], target=batch.x)

    model = mlp(ward.digits, 16, posterior="deterministic", likelihood="gaussian")
    return _case(model, mapped(ward.digits, corrupted), losses.reconstruction)


class Detached(nn.Module):
    """Passes on what it gets, and no gradient."""

    def forward(self, h: Tensor) -> Tensor:
        return h.detach()


def cut_off(ward: Ward, ill: bool) -> Case:
    model = mlp(ward.digits, 8)
    if ill:
        model.encoder = nn.Sequential(model.encoder[:-1], Detached(), model.encoder[-1])
    return _case(model, ward.digits)


def together(ward: Ward, ill: bool) -> Case:
    torch.manual_seed(0)
    shape, numbers = ward.digits.shape, math.prod(ward.digits.shape)
    norm = nn.BatchNorm1d(128, track_running_stats=False) if ill else nn.LayerNorm(128)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(numbers, 128), norm, nn.GELU(), nn.Linear(128, 16))
    decoder = nn.Sequential(nets.MLP(8, 128, numbers), nets.Reshape(*shape), heads.Bernoulli())
    model = models.Autoencoder(nn.Sequential(encoder, heads.Gaussian()), decoder, priors.StandardNormal(8))
    return _case(model, ward.digits)


@dataclass(frozen=True)
class Patient:
    """What its owner says, and how it came to be; its cause stands with the checks of page 11."""

    complaint: str
    build: Callable[[Ward, bool], Case]


_SAID = """
A crept        It trains. The loss falls. The picture is grey.
B no_noise     My denoiser has the smallest error in our table. On my own noisy photos others are far better.
C same_face    The loss falls, then stands still. Whatever I put in, the same blurred face comes out.
D chance_graph My graph autoencoder finds nearly all hidden edges.
E no_bug       I checked every line. A VAE with the squared error, β = 1, and no digit comes out.
F rectified    I added an L1 penalty. The codes are hardly sparser than before.
G bright       My cross-entropy is a huge negative number, and still falling.
H jumped       In the first epoch something happened. Since then: nothing.
I two_losses   Encoder and decoder have each an optimizer and a loss of its own. The KL is perfect: 0.
J smile        I add the smile vector, and the faces change. Few begin to smile.
K last_batch   Training and validation agree to the last digit. On the test set it falls apart.
L no_label     My conditional VAE works, more or less. I am not sure that it is one.
M cut_off      It learns, and stops early. A larger encoder makes no difference.
N grey         My digits are grey, and they have no black and no white.
O together     The code of a photo is another one every time I encode it with other photos.
P mixed_up     I shuffle well and add some noise. All its outputs are one blurred digit.
"""
PATIENTS = {
    name: Patient(complaint, globals()[build])
    for name, build, complaint in (line.split(maxsplit=2) for line in _SAID.strip().splitlines())
}
FIRST, SECOND = "ABCDEFGHIJKL", "MNOP"
