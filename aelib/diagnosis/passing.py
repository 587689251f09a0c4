"""What gets through an encoder or a decoder, whatever its weights: pixels, code numbers, directions."""

import copy
from typing import NamedTuple

import torch
from torch import Tensor

from .evidence import Evidence, Finding, reinitialise

PROBES = 32  # images, numbers of the code, and directions that are looked at


class Passing(NamedTuple):
    """What passes.

    Args:
        live: of `numbers` of the code, how many any image moves ("encoder") or any pixel shows ("decoder").
        rank: of the Jacobian at one image; `possible` is the most that it can be.
        blind: the share of the pixels that do not move the code, or that pass no gradient to it.
    """

    live: int
    numbers: int
    rank: int
    possible: int
    blind: float


@torch.enable_grad()
def passing(p: Evidence, part: str, seed: int) -> Passing:
    """Of a part whose weights are a start, in double precision: what passes at all is far above rounding."""
    model = copy.deepcopy(p.model).double()
    reinitialise(model, seed)
    x, c = p.batch.x[:PROBES].double(), None if p.batch.c is None else p.batch.c[:PROBES].double()

    def f(h: Tensor, rows: int | None = None) -> Tensor:
        its = (
            c
            if c is None
            else c.repeat(-(-len(h) // len(c)), 1)[: len(h)]
            if rows is None
            else c[:1].expand(rows, -1)
        )
        out = model.encode(h, its) if part == "encoder" else model.decode(h, its, model.sized(x))
        return out.mean.flatten(1)

    h = (
        torch.cat([x, x + 3 * torch.randn_like(x)])
        if part == "encoder"
        else torch.randn_like(model.encode(x, c).mean)
    )
    h = h.detach().requires_grad_()
    out = f(h)
    v = torch.randn_like(out).requires_grad_()
    (g,) = torch.autograd.grad(out, h, v, create_graph=True)
    varies = out.std(0) > 1e-9 * out.std()
    if part == "encoder":
        live, first = varies, p.batch.target.shape[1]
        g = g.detach()[:, :first].flatten(2) if g.ndim > 2 else g.detach()[:, None]
        least = 1e-9 * g.abs().max()
        blind = (g.abs().amax(0) < least) | (g.std(2).max() < least)  # an average is no look
    else:
        numbers = torch.linspace(0, h[0].numel() - 1, min(h[0].numel(), PROBES)).long()
        z = h[:1].detach().flatten(1).repeat(len(numbers) + 1, 1)
        z[range(len(numbers)), numbers] += 3  # more than a rounding to whole numbers takes away
        changed = f(z.view(-1, *h.shape[1:]), len(z)).detach()
        live = (changed[:-1] - changed[-1]).abs().amax(1) > 1e-9 * changed.abs().max()
        (moved,) = torch.autograd.grad((g * torch.randn_like(g)).sum(), v)  # how pixels move with the code
        blind = varies & (moved.abs().amax(0) == 0) & moved.any()  # all of them: another matter
    one = h[:1].detach().expand(PROBES, *h.shape[1:]).clone().requires_grad_()
    out = f(one, PROBES)
    v = torch.randn_like(out).requires_grad_()
    (g,) = torch.autograd.grad(out, one, v, create_graph=True)
    (moved,) = torch.autograd.grad((g * torch.randn_like(g)).sum(), v)
    sizes = torch.linalg.svdvals(g.detach().flatten(1))
    # a sparse code has few numbers at a time
    possible = min(int(live.sum()), PROBES, int((moved != 0).any(0).sum()), g[0].numel())
    rank = int((sizes > 1e-11 * sizes[0]).sum()) if sizes[0] > 0 else possible  # no gradient: another matter
    return Passing(int(live.sum()), len(live), rank, possible, blind.double().mean().item())


def narrow(p: Evidence) -> Finding | None:
    """What does not get through, at any of three starts."""
    for part, verb in (("encoder", "written"), ("decoder", "read")):
        try:
            some = [passing(p, part, seed) for seed in range(3)]
        except (RuntimeError, TypeError, NotImplementedError):  # code that knows float32 alone
            continue
        live, n = max(some)[:2]
        rank, possible = max(((s.rank, s.possible) for s in some), key=lambda r: r[0] / max(r[1], 1))
        blind, name = min(s.blind for s in some), ""
        if blind > 0.1 and part == "encoder":
            name = "encoder does not see all of the picture"
            said = f"{blind:.0%} of the pixels do not move the code, or all alike"
        elif blind > 0.1:
            name, said = (
                "pixels that the loss does not see",
                f"{blind:.0%} of the pixels pass no gradient to the code",
            )
        elif live <= n / 2:
            name, said = (
                f"code numbers that are not {verb}",
                f"{n - live} of {n} numbers of the code are not {verb}",
            )
            if not live and part == "decoder":
                name = "code does not reach the decoder"
        elif rank < possible / 2:
            name, said = (
                f"narrow layer in the {part}",
                f"{rank} of {possible} directions get through at one image",
            )
        if name:
            return Finding(name, f"{said}, whatever the weights")
    return None
