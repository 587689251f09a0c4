"""Instant answers to the exercises: `check.f(your_function)` says "correct", or what is off and why.

No check raises: a learner's half-written function gets a sentence. They stand in the order of the notebooks.
"""

import math
from collections.abc import Callable
from copy import deepcopy
from functools import wraps
from itertools import compress

import torch
from torch import Tensor

Answers = tuple[Tensor, dict[str, Tensor]]


def _exercise(cases: list[tuple], prepared: Callable = lambda f: f) -> Callable[[Callable], Callable]:
    """Turns a function, a case → its right answer and {hint: what this mistake leads to}, into a check."""
    return lambda answers: wraps(answers)(lambda f: _judge(prepared(f), cases, answers))


def _judge(f: Callable, cases: list[tuple], answers: Callable[..., Answers]) -> None:
    """Compare f with the right answer to every case; what a known mistake leads to gets its hint."""
    for case in cases:
        want, mistakes = answers(*case)
        try:
            got = f(*deepcopy(case))
        except Exception as e:
            return print(f"not yet: your function raised {type(e).__name__}: {e}")
        if got is None or got is ...:
            return print("not yet: your function returns nothing so far")
        if not isinstance(got, Tensor):
            return print(f"not yet: a tensor is expected; yours is a {type(got).__name__}")
        if got.shape != want.shape:
            return print(f"not yet: the shape is {tuple(got.shape)}, expected {tuple(want.shape)}")
        right, *wrong = (
            torch.allclose(got.float(), v, rtol=1e-4, atol=1e-5) for v in (want, *mistakes.values())
        )
        if not right:
            hint = next(compress(mistakes, wrong), "the shape is right, the numbers are not")
            return print(f"not yet: {hint}")
    return print("correct")


def _numbers(*shapes: tuple[int, ...]) -> tuple[Tensor, ...]:
    """A tensor of each shape, its numbers from N(0, 1) and one seed."""
    g = torch.Generator().manual_seed(0)
    return tuple(torch.randn(shape, generator=g) for shape in shapes)


def _adjacency(n: int) -> Tensor:
    """(n, n) of a graph in which no node is alone."""
    a = (_numbers((n, n))[0] < 0).float().triu(1)
    a[0, 1:] = 1.0
    return a + a.T


@_exercise([_numbers((5, c, 4, 6), (5, c, 4, 6)) for c in (1, 3)])
def squared_error(a: Tensor, b: Tensor) -> Answers:
    """Exercise of notebook 00: (x_hat, x), both (B, C, H, W) → (B,), the sum of squared differences."""
    d = (a - b).flatten(1)
    return d.square().sum(1), {
        "you took the mean over the pixels; here, sum over an example, mean over the batch": (
            d.square().mean(1)
        ),
        "you took absolute differences; square them": d.abs().sum(1),
        "square each difference, then sum; not the other way round": d.sum(1).square(),
    }


@_exercise([(*_numbers((20, k)), (torch.arange(20) % 3 == 0).float()) for k in (6, 9)])
def direction(z: Tensor, has: Tensor) -> Answers:
    """Exercise of notebook 01: (codes (N, K), has (N,) of 0 and 1) → (K,), present minus absent."""
    absent, present = z[has == 0].mean(0), z[has == 1].mean(0)
    return present - absent, {
        "the sign is turned round: this vector takes the attribute away": absent - present,
        "do not take absolute values: a code may have to fall where the attribute is added": (
            (present - absent).abs()
        ),
        "subtract the mean code of the images without the attribute": present,
        "subtract the images *without* it, not all images": present - z.mean(0),
    }


@_exercise([(x, m, torch.linalg.qr(v)[0].T) for v, x, m in [_numbers((6, 2), (4, 6), (6,))]])
def pca_reconstruction(x: Tensor, mean: Tensor, v: Tensor) -> Answers:
    """Exercise of notebook 01: (x (B, D), mean (D,), V (K, D), rows orthonormal) → (B, D)."""
    return mean + (x - mean) @ v.T @ v, {
        "add the mean again at the end": (x - mean) @ v.T @ v,
        "subtract the mean before you project": x @ v.T @ v,
        "subtract the mean before you project, not only add it after": mean + x @ v.T @ v,
    }


@_exercise([_numbers((5, k), (5, k)) for k in (3, 7)])
def kl(m: Tensor, v: Tensor) -> Answers:
    """Exercise of notebook 02: (mean, log_var), both (B, K) → (B,), KL(N(mean, var) ‖ N(0, 1)) in nats."""
    each = 0.5 * (m.square() + v.exp() - 1 - v)
    return each.sum(1), {
        "sum over the dimensions of the code, not their mean": each.mean(1),
        "the sign is turned round: a KL is never negative": -each.sum(1),
        "there is a factor ½ in front of all four": 2 * each.sum(1),
        "the argument is the logarithm of the *variance*, not of the standard deviation": (
            0.5 * (m.square() + (2 * v).exp() - 1 - 2 * v).sum(1)
        ),
    }


def _of_number(f: Callable[[int], float]) -> Callable:
    def as_tensor(d: Tensor) -> Tensor | None:
        return None if (out := f(int(d))) is None or out is ... else torch.as_tensor(float(out))

    return as_tensor


@_exercise([(torch.tensor(784.0),), (torch.tensor(12288.0),)], prepared=_of_number)
def beta_of_mean_squared_error(d: Tensor) -> Answers:
    """Exercise of notebook 02: D pixels → the β that the mean squared error plus the sum of the KL trains."""
    return d / 2, {
        "nearly: −log p of a Gaussian with σ = 1 is *half* the squared error": d,
        "the wrong way up: the small term here is the error, so the KL weighs more": 2 / d,
        "the wrong way round: half, not twice": 2 * d,
    }


@_exercise(
    [(*(3 * v / v.norm() for v in _numbers((k,), (k,))), t) for k, t in ((2, 0.5), (5, 0.25), (5, 1.0))]
)
def slerp(a: Tensor, b: Tensor, t: float) -> Answers:
    """Exercise of notebook 03: a and b (K,) of equal norm, t → (K,), on the arc from a to b."""
    omega = torch.acos(a @ b / (a.norm() * b.norm()))
    there, back = torch.sin(t * omega), torch.sin((1 - t) * omega)
    return (back * a + there * b) / torch.sin(omega), {
        "this is the straight line; go round": (1 - t) * a + t * b,
        "a and b are exchanged: at t = 0 it is a": (back * b + there * a) / torch.sin(omega),
        "divide by sin ω": back * a + there * b,
    }


@_exercise([(torch.tensor([2, 0, 1, 2]), 3), (torch.tensor([0, 3]), 6)])
def one_hot(y: Tensor, k: int) -> Answers:
    """Exercise of notebook 04: labels (B,), K → (B, K), 1 in the column of the label and 0 elsewhere."""
    return torch.eye(k)[y], {"0 and 1 are exchanged": 1 - torch.eye(k)[y]}


@_exercise([(*_numbers((5, d), (5, d)), s) for d, s in ((2, 0.5), (7, 2))])
def score(x: Tensor, r: Tensor, s: float) -> Answers:
    """Exercise of notebook 05: noisy x and its denoised r, both (B, D), σ → (B, D), (r − x) / σ²."""
    return (r - x) / s**2, {
        "the sign is turned round: the score points from the noisy point to the data": (x - r) / s**2,
        "divide by the variance σ², not by σ": (r - x) / s,
        "right direction, but its length is missing: divide by σ²": r - x,
        "divide by σ², do not multiply": (r - x) * s**2,
    }


@_exercise([(_numbers((9, d))[0] * (1 + torch.arange(9.0)[:, None]), k) for d, k in ((2, 1), (5, 4))])
def nearest_others(z: Tensor, k: int) -> Answers:
    """Exercise of notebook 06: codes (N, K), k → (N, k), rows of the k others of highest cosine, in order."""

    def first(closeness: Tensor, itself: float = float("-inf")) -> Tensor:
        return closeness.clone().fill_diagonal_(itself).argsort(1, descending=True)[:, :k].float()

    cosine = torch.nn.functional.cosine_similarity(z[:, None], z, dim=2)
    return first(cosine), {
        "nobody is an answer to himself: leave the diagonal out": first(cosine, 2.0),
        "divide the codes by their lengths: cosine, not the dot product": first(z @ z.T),
        "these are the Euclidean neighbours; divide the codes by their lengths": first(-torch.cdist(z, z)),
        "these are the least similar: the highest cosine comes first": first(-cosine),
    }


@_exercise([(_numbers((6, 5))[0], 2), (_numbers((4, 9))[0], 3)])
def top_k(z: Tensor, k: int) -> Answers:
    """Exercise of notebook 07: codes (N, K), k → (N, K): the k largest of each stay, the others are 0."""

    def mask(key: Tensor, dim: int = 1) -> Tensor:
        return torch.zeros_like(z).scatter(dim, key.topk(k, dim).indices, 1.0)

    return z * mask(z), {
        "these are the largest in size; a large negative number is not among the largest": z * mask(z.abs()),
        "these are the k smallest": z * mask(-z),
        "these are the largest over the batch; each code keeps its own": z * mask(z, 0),
        "the numbers that stay keep their value": mask(z),
    }


@_exercise([(x, w.softmax(0)) for x, w in (_numbers((n, d), (n,)) for n, d in ((3, 4), (5, 2)))])
def best_answer(x: Tensor, w: Tensor) -> Answers:
    """Exercise of notebook 08: possible pictures (N, D), their probabilities (N,) → (D,), the picture whose
    expected squared error is smallest.
    """
    return w @ x, {
        "weigh each picture with its probability": x.mean(0),
        "this is the likeliest picture: a sharp guess, and right too seldom": x[w.argmax()],
        "the weights sum to 1 already: do not divide again": w @ x / len(x),
        "this is the median, the best answer to the absolute error": x.median(0).values,
    }


@_exercise([(_adjacency(4),), (_adjacency(7),)])
def normalised(a: Tensor) -> Answers:
    """Exercise of notebook 09: an adjacency matrix A (N, N) → D^(−½) (A + I) D^(−½), D of A + I."""
    own, few = a + torch.eye(len(a)), a.sum(1)
    many = own.sum(1)
    return many[:, None] ** -0.5 * own * many**-0.5, {
        "a node must see itself too: add I to A": few[:, None] ** -0.5 * a * few**-0.5,
        "D holds the degrees of A + I, not of A": few[:, None] ** -0.5 * own * few**-0.5,
        "this is D^(−1) (A + I), the mean over the neighbours; take half of the exponent on each side": (
            own / many[:, None]
        ),
        "both exponents are −½, not −1": own / many[:, None] / many,
        "divide by the roots of the degrees, do not multiply": many[:, None] ** 0.5 * own * many**0.5,
    }


def _with_gradients(f: Callable) -> Callable:
    """What f returns, and beside it the gradients of h and of e."""

    def judged(h: Tensor, e: Tensor) -> Tensor:
        h, e = h.clone().requires_grad_(), e.clone().requires_grad_()
        z = f(h, e)
        if not isinstance(z, Tensor):
            return z
        (z.sum() + 0 * (h + e).sum()).backward()
        return torch.cat([z.detach().expand(4, -1), h.grad, e.grad], 1)  # type: ignore[list-item]

    return judged


@_exercise([(h, h.round()) for h in _numbers((4, 3))], prepared=_with_gradients)
def straight_through(h: Tensor, e: Tensor) -> Answers:
    """Exercise of notebook 10: h and its rounded e, both (B, K) → (B, K), the value of e, gradient to h."""
    none, one = torch.zeros_like(h), torch.ones_like(h)
    return torch.cat([e, one, none], 1), {
        "the value is that of e, but no gradient reaches h": torch.cat([e, none, none], 1),
        "the gradient goes to e; it is to go to h": torch.cat([e, none, one], 1),
        "the gradient is right, but the value is h: nothing is rounded": torch.cat([h, one, none], 1),
        "the wrong way round: the value is to be e": torch.cat([h, none, one], 1),
    }


@_exercise([(torch.tensor([90.0, 543.4]), (1, 28, 28)), (torch.tensor([20.0]), (3, 4, 5))])
def bits_per_dimension(nats: Tensor, shape: tuple[int, int, int]) -> Answers:
    """Exercise of notebook 10: nats per picture (B,), (C, H, W) → (B,) bits for each of its numbers."""
    bits, n = nats / math.log(2), math.prod(shape)
    return bits / n, {
        "these are nats for each number; a bit is log 2 of them": nats / n,
        "divide by log 2: a bit is *less* than a nat": nats * math.log(2) / n,
        "these are bits for the whole picture; divide by how many numbers it has": bits,
        "channels count too": bits / math.prod(shape[1:]),
    }


def decoder(f: Callable[[int, tuple[int, int, int]], Callable]) -> None:
    """Exercise of notebook 11: (K, (C, H, W)) → a module from codes (B, K) to a Bernoulli over images."""
    for size, shape in ((4, (1, 6, 5)), (7, (3, 8, 8))):
        try:
            module = f(size, shape)
            if module is None or module is ...:
                return print("not yet: your function returns nothing so far")
            with torch.no_grad():
                p = module(1e4 * torch.randn(64, size))  # so large that every way out is driven to its end
                mean, x = p.mean, torch.rand(64, *shape)
                log_prob = p.log_prob(x) if mean.shape == x.shape else x
        except Exception as e:
            return print(f"not yet: {type(e).__name__}: {e}")
        if mean.shape != x.shape:
            return print(f"not yet: images are {tuple(mean.shape)}, expected {tuple(x.shape)}")
        if log_prob.shape != (64,):
            return print(f"not yet: log p is {tuple(log_prob.shape)}; expected one number per image")
        low, high = mean.min().item(), mean.max().item()
        if low < -0.01 or high > 1.01:
            return print(f"not yet: means run from {low:.2g} to {high:.2g}; a Bernoulli's are in [0, 1]")
        if low > 0.01 or high < 0.99:
            return print(
                f"not yet: means reach only {low:.2f} to {high:.2f}: is there an activation too many?"
            )
    return print("correct")
