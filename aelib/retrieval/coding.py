"""From images to the codes that are compared: an encoder, and what is done to its codes."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, normalize

from ..datasets import Data, Images, decoder
from ..evaluation import device_of, each
from ..models import Autoencoder

SAMPLE = 4000  # images that a whitening is fitted to, at most


class Places(nn.Module):
    """(B, C, H, W) → (B, C·G·G): what is there at each of G × G places of the image, and not how much of it.

    The mean over each place, its root (with its sign), and all C numbers of a place together scaled to length
    one: so a shadow over half of a face changes little. `grid` is G.
    """

    def __init__(self, grid: int) -> None:
        super().__init__()
        self.grid = grid

    def forward(self, h: Tensor) -> Tensor:
        """Feature maps → vectors."""
        if h.ndim != 4:
            raise ValueError(f"places are taken of feature maps (B, C, H, W); got {tuple(h.shape)}")
        h = adaptive_avg_pool2d(h, self.grid)
        return normalize(h.sign() * h.abs().sqrt(), dim=1, eps=1e-3).flatten(1)


class Whitening(nn.Module):
    """(B, D) → (B, K): the first K principal coordinates, each divided by its standard deviation to a power.

        z = Λ^(−power/2) Vᵀ (h − mean).

    `size_in` is D and `size` is K; `Coder.whitened` fits it. Where the codes do not differ z is 0.
    """

    def __init__(self, size_in: int, size: int) -> None:
        super().__init__()
        self.size_in, self.size = size_in, size
        self.mean, self.map = nn.Buffer(torch.zeros(size_in)), nn.Buffer(torch.zeros(size_in, size))

    def forward(self, h: Tensor) -> Tensor:
        """Vectors → vectors."""
        return (h - self.mean) @ self.map


class Coder(nn.Module):
    """(B, C, H, W) → (B, K), what is compared: encode, then the steps; perhaps with the mirror image.

    Args:
        model: an `Autoencoder`, of which the posterior's mean is taken, or any module, as `nn.Flatten()`.
        steps: modules, in order, as `Places(8)`.
        mirror: the mean of the codes of the image and its mirror image: looking left or right counts little.
    """

    def __init__(self, model: nn.Module, *steps: nn.Module, mirror: bool = False) -> None:
        super().__init__()
        self.model, self.steps, self.mirror = model, nn.Sequential(*steps), mirror

    def forward(self, x: Tensor) -> Tensor:
        """Images → codes."""
        model, views = self.model, [x, x.flip(-1)] if self.mirror else [x]
        encoded = [model.encode(v).mean if isinstance(model, Autoencoder) else model(v) for v in views]
        return torch.stack([self.steps(h).flatten(1) for h in encoded]).mean(0)

    def whitened(self, data: Images, size: int, power: float = 1.0) -> "Coder":
        """The same coder with a whitening as its last step, fitted to these images (4,000 of them at most).

        Args:
            size: K, of the new code.
            power: 1 whitens; 0 only turns and cuts (PCA); between them weak directions are amplified less.

        Raises ValueError: fewer images, or numbers in a code, than K.
        """
        from sklearn.decomposition import PCA

        sample = data[np.sort(np.random.default_rng(0).permutation(len(data))[:SAMPLE])]
        one_sided = Coder(self.model, *self.steps)
        h = codes(one_sided, sample)
        if self.mirror:
            h = torch.cat([h, codes(one_sided, sample, flip=True)])
        if not 1 <= size <= min(h.shape):
            raise ValueError(f"a whitening to {size} numbers needs as many images and as many numbers in a "
                             f"code; there are {len(h)} images and {h.shape[1]} numbers")  # fmt: skip
        fitted = PCA(size, n_oversamples=50, random_state=0).fit(h.numpy())
        step = Whitening(h.shape[1], size)
        variance = np.nan_to_num(fitted.explained_variance_)  # of one image there is none
        differ = variance > 1e-12 * h.square().sum(1).mean().item()  # what is less is rounding
        scale = np.where(differ, np.maximum(variance, 1e-12) ** (-power / 2), 0.0)
        step.mean.copy_(torch.as_tensor(fitted.mean_))
        step.map.copy_(torch.as_tensor((fitted.components_ * scale[:, None]).T.copy()))
        return Coder(self.model, *self.steps, step.to(device_of(self)), mirror=self.mirror)


def codes(coder: nn.Module, data: Data, flip: bool = False, batch_size: int = 250) -> Tensor:
    """(N, K) codes of all images, or of their mirror images, on the CPU."""
    return each(lambda b: coder(b.x.flip(-1) if flip else b.x).flatten(1), coder, data, batch_size, seed=None)


def photo(file: str | Path, shape: Sequence[int], box: tuple[int, int, int, int] | None = None) -> Tensor:
    """(1, C, H, W) an image file as a query, in [0, 1]: decoded as a dataset's photos are, to the last bit.

    Args:
        file: of any format that the datasets read.
        shape: (C, H, W) of the images that the coder was trained on.
        box: (left, top, right, bottom) in pixels of what is kept: cut as tightly as those images are.
            None: the largest square in the middle.

    FileNotFoundError if there is no such file; ValueError if it is no image, or the box is empty or reaches
    outside.
    """
    channels, height, width = shape
    try:
        with open(file, "rb"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as where a dataset is decoded
            pixels = decoder.decode(file, (channels, height, width), box=box)
    except FileNotFoundError as e:
        raise FileNotFoundError(f"there is no photo {file}") from e
    except decoder.BoxError:
        raise
    except Exception as e:
        why = decoder.reason(e, file)
        raise ValueError(f"{file} cannot be read as an image ({why}): give a JPEG or PNG") from e
    return torch.frombuffer(bytearray(pixels), dtype=torch.uint8).view(1, *shape) / 255
