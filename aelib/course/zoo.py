"""The zoo: one code size, one network and one budget in many variants, so that a table can compare them.

`python -m aelib.course.zoo` trains every variant from several seeds on Fashion-MNIST, judges it on the test
images and writes materials/results/zoo.json again after each run; with a name behind it, as `vanilla`, it
does so for one.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from .. import datasets, heads, latent, losses, materials, metrics, models, nets, runs, training
from ..contexts import seeded
from ..datasets import Images, Split
from ..datasets.batch import Transform
from ..errors import unknown
from ..losses import Objective
from ..models import Autoencoder

FILE = materials.RESULTS / "zoo.json"
CODE, EPOCHS, BATCH_SIZE, SEEDS = 64, 8, 256, (0, 1, 2)
NOISE = datasets.noisy(0.2)
Layers = Callable[[int], Sequence[nn.Module]]


def build(
    shape: Sequence[int],
    size: int = CODE,
    *,
    net: str = "mlp",
    posterior: str = "deterministic",
    end: Layers | None = None,
) -> Autoencoder:
    """One of the zoo, untrained. Its likelihood is a Gaussian with σ = 0.1 around a mean in [0, 1].

    So −log p(x) is 50 times the squared error, and a constant, in nats.

    Args:
        shape: (C, H, W).
        size: of the code.
        net: "linear" (one layer), "mlp" (one hidden layer of 128) or "conv" (16, 32, 64 channels).
        posterior: "deterministic" or "gaussian".
        end: size → the layers that end the encoder, in place of the posterior's head.
    """
    hidden = {"linear": None, "mlp": (128,), "conv": (16, 32, 64)}[net]
    # the Bernoulli head is taken off again; with it, the factory leaves the last bias at 0, which is grey
    options: Any = {"net": net, "posterior": posterior, "likelihood": "bernoulli", "hidden": hidden}
    model = models.autoencoder(shape, size, **options)
    model.decoder = nn.Sequential(*_headless(model.decoder), nn.Sigmoid(), heads.Gaussian(0.1))
    if end is not None:
        model.encoder = nn.Sequential(*_headless(model.encoder), *end(size))
    return model


def _headless(part: nn.Module) -> list[nn.Module]:
    return list(cast(nn.Sequential, part))[:-1]


def optimizer(model: Autoencoder) -> training.Optimizers:
    """Muon for the matrices, Adam for the rest, that is for convolutions and biases."""
    optimizers = training.muon(model)
    for group in optimizers["loss"][-1].param_groups:
        group["lr"] = 3e-3
    return optimizers


@dataclass(frozen=True)
class Member:
    """How one of the zoo is built and trained.

    Args:
        build: shape, size → the model, untrained.
        objective: what descends.
        seen: what happens to the images that it trains on.
    """

    build: Callable[..., Autoencoder] = build
    objective: Objective = losses.reconstruction
    seen: Transform | None = None

    def train(self, data: Images, size: int = CODE, *, epochs: int = EPOCHS, seed: int = 0) -> Autoencoder:
        """The trained model."""
        with seeded(seed):
            model = self.build(data.shape, size)
        data = data if self.seen is None else data.map(self.seen)
        runs.fit(
            model, data, self.objective, optimizer(model), epochs=epochs, batch_size=BATCH_SIZE, seed=seed,
            schedule={"lr": training.cosine()},
        )  # fmt: skip
        return model


# Optimizer, learning rates and weights were tried on validation images only. The sparse weights are such that
# the reconstruction stays below PCA's error.
MEMBERS = {
    "vanilla": Member(partial(build, net="linear")),
    "multilayer": Member(),
    "convolutional": Member(partial(build, net="conv")),
    "sparse, L1": Member(
        partial(build, end=lambda size: [nn.ReLU(), heads.Deterministic()]),
        partial(losses.sparse, weight=6.0),
    ),
    "sparse, KL": Member(
        partial(build, end=lambda size: [nn.Sigmoid(), heads.Deterministic()]),
        partial(losses.sparse, weight=70.0, penalty=losses.to_rate(0.03)),
    ),
    "top-k": Member(partial(build, end=lambda size: [heads.TopK(size // 4), heads.Deterministic()])),
    "contractive": Member(objective=partial(losses.contractive, weight=5.0)),
    "denoising": Member(seen=NOISE),
    "VAE": Member(partial(build, posterior="gaussian"), losses.elbo),
    "convolutional VAE": Member(partial(build, net="conv", posterior="gaussian"), losses.elbo),
    "VQ": Member(
        partial(build, end=lambda size: [heads.VectorQuantizer(256, 4)]),
        partial(losses.vector_quantized, beta=12.5),
    ),
}


def pca(data: Images, size: int = CODE) -> Autoencoder:
    """The line to beat: the projection on as many principal components, whitened, as an autoencoder."""
    from sklearn.decomposition import PCA

    x = data.pixels.reshape(len(data), -1) / np.float32(255)
    there, back = nets.pca_layers(PCA(size, random_state=0).fit(x), size, data.shape)
    return Autoencoder(nn.Sequential(there, heads.Deterministic()), nn.Sequential(back, heads.Gaussian(0.1)))


def judge(model: Autoencoder, train: Images, test: Images) -> dict[str, float]:
    """What a model does on images that it was not trained on.

    Args:
        train: a linear classifier learns from the codes and labels of the first 5,000.

    Returns:
        {"mse"}: of the reconstructions; {"restored"}: the same, when the model sees them noisy (σ = 0.2);
        {"hoyer", "zeros"}: sparsity of the codes; {"moved"}: Σ|z(noisy) − z|² / Σ|z − mean z|², how far the
        noise moves a code, against how far codes are spread; {"probe"}: the linear classifier's accuracy.
    """
    with seeded(0, model.device):
        z, noisy = (latent.encode(model, data) for data in (test, test.map(NOISE)))
    fitted, labels = latent.encode(model, train[:5000]), np.asarray(train.labels)[:5000]
    quality = metrics.embedding_quality(fitted, labels, z, np.asarray(test.labels))
    return {
        "mse": metrics.evaluate(model, test, {"mse": metrics.mse})["mse"],
        "restored": metrics.evaluate(model, test.map(NOISE), {"mse": metrics.mse})["mse"],
        **metrics.sparsity(z),
        "moved": ((noisy - z).square().sum() / (z - z.mean(0)).square().sum()).item(),
        "probe": quality["linear"],
    }


def results() -> dict[str, Any]:
    """What the command measured: name → {"mean", "sd"} over seeds of what `judge` returns, and the "runs".

    "one epoch" is the MSE of a model that was trained for one epoch only. PCA has one run, and no sd.

    Raises:
        FileNotFoundError: nothing was measured yet; the message says how to.
    """
    if not FILE.is_file():
        raise FileNotFoundError(f"{FILE} is not there; make it with: python -m aelib.course.zoo")
    return json.loads(FILE.read_text("utf-8"))["members"]


def make(name: str, split: Split) -> None:
    """Train and judge one member from every seed, or PCA, and write what is known after each run.

    Raises:
        ValueError: there is no member of this name (the nearest is suggested).
    """
    if name != "PCA" and name not in MEMBERS:
        raise ValueError(unknown("member of the zoo", name, ["PCA", *MEMBERS]))
    runs: list[dict[str, float]] = []
    for seed in SEEDS[:1] if name == "PCA" else SEEDS:
        runs.append(run(name, split, seed))
        _write(name, runs)


def run(name: str, split: Split, seed: int) -> dict[str, float]:
    """One training and what `judge` says of it, with its seconds of CPU and the MSE after one epoch."""
    start = time.process_time()  # of all threads, so a busy machine tells no lie
    model = pca(split.train) if name == "PCA" else MEMBERS[name].train(split.train, seed=seed)
    seconds = round(time.process_time() - start)
    measured = {"seed": seed, "cpu_seconds": seconds, **judge(model, split.train, split.test)}
    if name != "PCA":
        model = MEMBERS[name].train(split.train, seed=seed, epochs=1)
        measured["one epoch"] = metrics.evaluate(model, split.test, {"mse": metrics.mse})["mse"]
    return measured


def _write(name: str, runs: list[dict[str, float]]) -> None:
    columns = {k: [run[k] for run in runs] for k in runs[0] if k != "seed"}
    entry: dict[str, Any] = {"mean": {k: statistics.fmean(v) for k, v in columns.items()}}
    if len(runs) > 1:
        entry["sd"] = {k: statistics.stdev(v) for k, v in columns.items()}
    known = {
        "command": "python -m aelib.course.zoo",
        "data": "fashion-mnist: trained on 55,000 images, judged on the 10,000 test images",
        "settings": {"code": CODE, "epochs": EPOCHS, "batch_size": BATCH_SIZE},
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "members": (results() if FILE.is_file() else {}) | {name: entry | {"runs": runs}},
    }
    materials.write(FILE, known)


if __name__ == "__main__":
    images = datasets.load("fashion-mnist")
    for each in sys.argv[1:] or ["PCA", *MEMBERS]:
        make(each, images)
