"""TensorBoard's events of a run: curves, reconstructions, samples, histograms of codes, and the projector."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..contexts import evaluating, seeded
from ..datasets import Data, Images
from ..models import Autoencoder

PICTURES, CODES = 16, 1000  # so many images are shown, and so many codes


class Events:
    """Writes events into a run's folder, whose file is made with the first one.

    Curves for every model; pictures and codes of validation images for an `Autoencoder`.
    """

    def __init__(self, folder: Path, model: nn.Module, data: Data) -> None:
        self.folder = folder
        self.model: Any = model
        self.data: Any = data
        self.pictures = isinstance(model, Autoencoder) and isinstance(data, Images)
        self.writer: Any = None
        self.failed = False

    def close(self) -> None:
        """Write what is waiting."""
        if self.writer is not None:
            with self._trying():
                self.writer.close()

    def add(self, record: Mapping[str, float]) -> None:
        """The events of one epoch; those of later ones, of a training that went back, no longer count."""
        if self.failed:
            return
        epoch = int(record["epoch"])
        with self._trying():
            if self.writer is None:
                try:
                    from torch.utils.tensorboard import SummaryWriter
                except ImportError as e:
                    raise ImportError("a run's events need TensorBoard: pip install tensorboard") from e
                self.writer = SummaryWriter(str(self.folder / "tensorboard"), purge_step=epoch)
            for name, value in record.items():
                if name != "epoch":
                    self.writer.add_scalar(name, value, epoch)
            if self.pictures:
                x, x_hat, samples = self._shown()
                self.writer.add_image("reconstructions", _grid(torch.cat([x, x_hat]), len(x)), epoch)
                if samples is not None:
                    self.writer.add_image("samples", _grid(samples, len(x) // 2), epoch)
                self.writer.add_histogram("codes", self._codes()[0], epoch)

    @contextlib.contextmanager
    def _trying(self) -> Iterator[None]:
        """A disk that is full costs the events, not the training: what it needs is in its checkpoints."""
        try:
            yield
        except OSError as e:
            warnings.warn(
                f"no more events in {self.folder} ({e.strerror}); the training goes on", stacklevel=4
            )
            self.writer, self.failed = None, True

    def end(self, epoch: int) -> None:
        """The projector's: codes of validation images, with their thumbnails and classes."""
        if self.writer is None or not self.pictures:
            return
        codes, thumbnails = self._codes()
        names = self.data[: len(codes)].names
        classes = None if names is None else [str(n) for n in names]
        with self._trying():
            self.writer.add_embedding(codes, classes, _rgb(thumbnails), global_step=epoch, tag="codes")

    @torch.no_grad()
    def _shown(self) -> tuple[Tensor, Tensor, Tensor | None]:
        model = self.model
        with evaluating(model), seeded(0, model.device):
            batch = self.data[:PICTURES].batch(model.device)
            x_hat = model.reconstruct(batch.x, batch.c)
            samples = None if model.prior is None else model.sample(len(batch), batch.c)
        return batch.x, x_hat, samples

    @torch.no_grad()
    def _codes(self) -> tuple[Tensor, Tensor]:
        model = self.model
        with evaluating(model), seeded(0, model.device):
            batch = self.data[:CODES].batch(model.device)
            return model.encode(batch.x, batch.c).mean.flatten(1).float().cpu(), batch.target.cpu()


def _grid(x: Tensor, columns: int) -> Tensor:
    """(3, H', W') one picture of many, without a frame that the pixels would have to share."""
    from torchvision.utils import make_grid

    return make_grid(_rgb(x.clamp(0, 1).cpu()), nrow=max(columns, 1), padding=1, pad_value=1.0)


def _rgb(x: Tensor) -> Tensor:
    """(N, 3, H, W): the first three channels, or the first one three times."""
    return x[:, :3] if x.shape[1] >= 3 else x[:, :1].expand(-1, 3, -1, -1)
