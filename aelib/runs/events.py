"""TensorBoard's events of a run: curves, reconstructions, samples, histograms of codes, and the projector."""

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import plots
from ..contexts import evaluating, seeded
from ..datasets import Data, Images
from ..errors import shown
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
                from torch.utils.tensorboard import SummaryWriter

                self.writer = SummaryWriter(str(self.folder / "tensorboard"), purge_step=epoch)
            for name, value in record.items():
                if name != "epoch":
                    self.writer.add_scalar(name, value, epoch)
            if self.pictures:
                for name, (images, columns) in self._shown().items():
                    picture = plots.tile(images, max(columns, 1), gap=1)
                    self.writer.add_image(name, picture, epoch, dataformats="HWC")
                self.writer.add_histogram("codes", self._codes()[0], epoch)

    @contextlib.contextmanager
    def _trying(self) -> Iterator[None]:
        """A disk that is full costs the events, not the training: what it needs is in its checkpoints."""
        try:
            yield
        except OSError as e:
            warnings.warn(f"no more events in {self.folder} ({e.strerror}); training goes on", stacklevel=4)
            self.writer, self.failed = None, True

    def end(self, epoch: int) -> None:
        """The projector's: codes of validation images, with their thumbnails and classes."""
        if self.writer is None or not self.pictures:
            return
        codes, thumbnails = self._codes()
        names = self.data[: len(codes)].names
        classes = None if names is None else [shown(n) for n in names]
        small = torch.from_numpy(plots.pixels(thumbnails)).permute(0, 3, 1, 2) / 255
        with self._trying():
            side = max(h := small.shape[2], w := small.shape[3])  # TensorBoard fails on tall ones
            small = nn.functional.pad(small, (0, side - w, 0, side - h), value=1.0)
            self.writer.add_embedding(codes, classes, small, global_step=epoch, tag="codes")

    @torch.no_grad()
    def _shown(self) -> dict[str, tuple[Tensor, int]]:
        """Grids of images by name, each with its number of columns."""
        model = self.model
        with evaluating(model), seeded(0, model.device):
            batch = self.data[:PICTURES].batch(model.device)
            n = len(batch)
            out = {"reconstructions": (torch.cat([batch.x, model.reconstruct(batch.x, batch.c)]), n)}
            return out if model.prior is None else out | {"samples": (model.sample(n, batch.c), n // 2)}

    @torch.no_grad()
    def _codes(self) -> tuple[Tensor, Tensor]:
        model = self.model
        with evaluating(model), seeded(0, model.device):
            batch = self.data[:CODES].batch(model.device)
            return model.encode(batch.x, batch.c).mean.flatten(1).float().cpu(), batch.target.cpu()
