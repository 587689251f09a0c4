"""Five ways to train one network, each for as long as the race goes on. A round is an epoch.

All take Adam with a learning rate of 10⁻³, the same batches in size and number, and float32. Ours is what the
library's user writes. The others get `Plain`, a network of the same layers.
"""

from __future__ import annotations

import gzip
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset

from aelib import datasets, training
from aelib.datasets import Images
from benchmarks.peers import ROOT
from benchmarks.race import Track

FOREVER = 10**6  # epochs
Loss = Callable[[nn.Module, Tensor], Tensor]
os.environ["TQDM_DISABLE"] = "1"  # nobody draws a bar


class Plain(nn.Module):
    """A VAE as it is written by hand: x → logits, mean and log σ² of the code."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_var = self.encoder(x).chunk(2, 1)
        z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
        return self.decoder(z), mean, log_var


def kl(mean: Tensor, log_var: Tensor) -> Tensor:
    """Nats, summed over the batch."""
    return -0.5 * torch.sum(1 + log_var - mean.pow(2) - log_var.exp())


def elbo(model: nn.Module, x: Tensor) -> Tensor:
    """Negative, in nats an image."""
    logits, mean, log_var = model(x)
    return (F.binary_cross_entropy_with_logits(logits, x, reduction="sum") + kl(mean, log_var)) / len(x)


def elbo_of_example(model: nn.Module, x: Tensor) -> Tensor:
    """The same, with the sigmoid in the model, as the example has it."""
    logits, mean, log_var = model(x)
    return (F.binary_cross_entropy(logits.sigmoid(), x, reduction="sum") + kl(mean, log_var)) / len(x)


def size(model: nn.Module) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in model.parameters())


def tensor(images: Images) -> Tensor:
    """(N, C, H, W) float32 in [0, 1], all in memory."""
    return torch.from_numpy(images.pixels).float() / 255


def fashion(n: int = 60_000) -> Images:
    """The first n of the 60,000 training images; no validation part is kept back."""
    return Images(datasets.load("fashion-mnist").train.store[:n])


def fashion_samples(n: int = 60_000) -> Dataset:
    """The same as a torchvision dataset, which makes a tensor of one sample at a time."""
    from torchvision.datasets import FashionMNIST
    from torchvision.transforms import ToTensor

    from aelib.datasets.mnist import _file

    root = ROOT / "build" / "peers-data"
    folder = root / "FashionMNIST" / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        name += "-ubyte"
        if not (folder / name).exists():
            packed = Path(_file("FashionMNIST", f"{name}.gz"))
            data = packed.read_bytes()
            part = folder / f"{name}.part"
            part.write_bytes(gzip.decompress(data) if packed.suffix == ".gz" else data)
            os.replace(part, folder / name)
    everything = FashionMNIST(root, train=True, transform=ToTensor())
    return everything if n == len(everything) else torch.utils.data.Subset(everything, range(n))


def ours(
    model: nn.Module, images: Images, objective: Any, batch_size: int, device: str, track: Track
) -> None:
    """The library's way."""
    records = training.train(
        model, images, objective, training.adam(model), epochs=FOREVER, batch_size=batch_size, device=device
    )
    for record in records:
        track(len(images), record["train/loss"], size(model))


def bare(model: nn.Module, x: Tensor, loss: Loss, batch_size: int, device: str, track: Track) -> None:
    """What no library can leave out: everything in memory as float32, and a loop."""
    model, x = model.to(device), x.to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0, fused=True)
    while True:
        total = torch.zeros((), device=device)
        for rows in torch.randperm(len(x), device=device).split(batch_size):
            now = loss(model, x.index_select(0, rows))
            optimizer.zero_grad()
            now.backward()
            optimizer.step()
            total += now.detach() * len(rows)
        track(len(x), total.item() / len(x), size(model))


def example(
    model: nn.Module, data: Any, loss: Loss, batch_size: int, device: str, track: Track, workers: int = 0
) -> None:
    """The way of PyTorch's own examples: each sample becomes a tensor, a DataLoader puts them together."""
    for total in example_epochs(model, data, loss, batch_size, device, workers):
        track(len(data), total, size(model))


def example_epochs(
    model: nn.Module, data: Any, loss: Loss, batch_size: int, device: str, workers: int = 0
) -> Iterator[float]:
    """One epoch after the other, and the mean loss of each.

    On CUDA it takes one worker and pinned memory, as they do, if it has none.
    """
    cuda = {"num_workers": workers or 1, "pin_memory": True}
    more = cuda if device == "cuda" else {"num_workers": workers}
    loader = DataLoader(data, batch_size=batch_size, shuffle=True, **more)
    model = model.to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    while True:
        model.train()
        total = 0.0
        for x, _ in loader:
            x = x.to(device)
            optimizer.zero_grad()
            now = loss(model, x)
            now.backward()
            total += now.item() * len(x)
            optimizer.step()
        yield total / len(data)


def lightning(model: nn.Module, x: Tensor, loss: Loss, batch_size: int, device: str, track: Track) -> None:
    """Lightning's Trainer, with neither logger nor checkpoints nor bar; the loss is logged once an epoch."""
    logging.disable(logging.WARNING)  # what it found, and hints
    warnings.simplefilter("ignore")
    import lightning as L

    class Module(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def training_step(self, batch: Any, index: int) -> Tensor:
            now = loss(self.model, batch[0])
            self.log("loss", now, on_step=False, on_epoch=True, batch_size=len(batch[0]))
            return now

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=1e-3)

    class Rounds(L.Callback):
        def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
            track(len(x), trainer.callback_metrics["loss"].item(), size(module))

    trainer = L.Trainer(
        max_epochs=FOREVER, accelerator="gpu" if device == "cuda" else "cpu", devices=1, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[Rounds()],
    )  # fmt: skip
    trainer.fit(Module(), DataLoader(TensorDataset(x), batch_size=batch_size, shuffle=True))


def pythae(model: Plain, x: Tensor, latent: int, batch_size: int, device: str, track: Track) -> None:
    """pythae's VAE and its trainer, which keeps a copy of the best model; no validation, nothing saved."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    logging.disable(logging.INFO)  # a line every epoch

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = model.encoder

        def forward(self, x: Tensor) -> ModelOutput:
            mean, log_var = self.net(x).chunk(2, 1)
            return ModelOutput(embedding=mean, log_covariance=log_var)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = model.decoder

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.net(z).sigmoid())

    class Rounds(TrainingCallback):
        def on_log(self, training_config: Any, logs: Any, **keywords: Any) -> None:
            track(len(x), logs["train_epoch_loss"], size(vae))

    config = VAEConfig(input_dim=tuple(x.shape[1:]), latent_dim=latent, reconstruction_loss="bce")
    vae = VAE(config, Encoder(), Decoder())
    with tempfile.TemporaryDirectory() as folder:
        how = BaseTrainerConfig(
            output_dir=folder, num_epochs=FOREVER, learning_rate=1e-3, no_cuda=device == "cpu",
            per_device_train_batch_size=batch_size,
        )  # fmt: skip
        data = BaseDataset(x, torch.zeros(len(x)))
        BaseTrainer(vae, data, training_config=how, callbacks=[Rounds()]).train()
