"""A perceptual error: what differs to the features of a network, instead of pixel by pixel."""

import copy

from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.functional import normalize

from .bounds import Error

EPS = 1e-6  # features that are all zero at a place stay zero


def perceptual(*stages: nn.Module) -> Error:
    """An `error=` for objectives: how far the mean of p and the target lie apart for a network's features.

    The stages run one after the other, and the output of each is compared. At every place the features are
    divided by their length, φ̂ = φ / |φ|, so no layer outweighs another by its scale:

        error = n · mean over stages and places of |φ̂(x̂) − φ̂(x)|² / 4,    n = C·H·W,

    from 0 (the same features everywhere) to n (opposite ones), a sum over an example like every other error
    (see `metrics.ssim_error`). What the features do not show has no effect on it: add `nll`, as in
    `lambda p, x: losses.nll(p, x) + judge(p, x)`.

    The stages are copied, and the copies frozen, in evaluation mode: they judge and are not trained.

    Args:
        stages: (B, C, H, W) → (B, D, h, w) or (B, D); each takes what the one before it made. For
            `judges.classifier` of the pages they are the parts of `judge[0]`; any network in stages will do.

    Returns (p, target) → (B,).
    Raises ValueError: there are no stages.

    Source: Dosovitskiy, Brox, 2016, https://arxiv.org/abs/1602.02644; for VAEs: Hou, Shen, Sun, Qiu, 2017,
    https://arxiv.org/abs/1610.00291; features of unit length: Zhang et al., 2018,
    https://arxiv.org/abs/1801.03924.

    >>> import torch
    >>> error = perceptual(nn.Conv2d(3, 8, 3), nn.Sequential(nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2)))
    >>> p = torch.distributions.Normal(torch.rand(5, 3, 16, 16), 1.0)
    >>> error(p, torch.rand(5, 3, 16, 16)).shape
    torch.Size([5])
    """
    if not stages:
        raise ValueError("a perceptual error needs a network to compare by: perceptual(stage, …)")
    net = copy.deepcopy(nn.ModuleList(stages)).eval().requires_grad_(False)

    def error(p: Distribution, target: Tensor) -> Tensor:
        net.to(target.device)
        a, b, total = p.mean, target, target.new_zeros(len(target))
        for stage in net:
            a, b = stage(a), stage(b)
            u, v = (normalize(f.reshape(*f.shape[:2], -1), eps=EPS) for f in (a, b))
            total = total + (u - v).square().sum(1).mean(1)
        return target[0].numel() * total / (4 * len(net))

    return error
