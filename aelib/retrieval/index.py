"""From images to the codes that are compared; an index over codes that is asked for the nearest; its file."""

import hashlib
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save as serialise
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, normalize

from ..datasets import Data, Images, decoder
from ..errors import unknown
from ..evaluation import device_of, each
from ..files import write_file
from ..models import Autoencoder

SAMPLE = 4000  # images that a whitening is fitted to, at most
METRICS, KINDS = ("cosine", "euclidean"), ("exact", "hnsw", "ivf")
FAR = 16.0  # each number of what stands for a code of zeros: far from all codes of length one
LARGEST = 9e18  # of codes so long the square of a distance is still finite
BATCH = 10  # so many queries are compared by one matrix product, which is faster


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


STEPS = {Places: ("grid",), Whitening: ("size_in", "size"), nn.Flatten: ()}  # that are saved: their arguments


class Answer(NamedTuple):
    """Rows (Q, k) of the nearest codes, nearest first, and their cosine similarity or Euclidean distance.

    An approximate index may find fewer than k: then the row is −1 and the closeness NaN. A code of zeros has
    no angle to another: it comes last, its cosine NaN.
    """

    rows: Tensor
    closeness: Tensor


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as e:
        raise ImportError("retrieval needs FAISS; install it with: pip install faiss-cpu") from e
    faiss.omp_set_num_threads(torch.get_num_threads())  # it has its own threads, one per core by default
    faiss.cvar.distance_compute_blas_threshold = BATCH
    return faiss


class Index:
    """Codes (N, K), ready to be asked for the nearest to others.

    Args:
        codes: (N, K), real and finite.
        metric: "cosine" (the angle alone) or "euclidean".
        kind: "exact" compares with every code; "hnsw" walks a graph of neighbours, "ivf" looks into some of
            4 √N cells: both find most of the nearest, in a fraction of the time.
        effort: how much the approximate kinds look at, from 1 up: candidates of the walk, or cells.

    Raises ValueError: codes that are none, not (N, K), not finite or too large; an unknown effort or name.

    Source: Douze et al., The Faiss library, 2024, https://arxiv.org/abs/2401.08281; HNSW: Malkov, Yashunin,
    2016, https://arxiv.org/abs/1603.09320; IVF: Jégou, Douze, Schmid, 2011.

    >>> Index(torch.eye(4)).ask(torch.eye(4)[2:3] + 0.1, k=1).rows
    tensor([[2]])
    """

    def __init__(self, codes: Tensor, metric: str = "cosine", kind: str = "exact", effort: int = 64) -> None:
        for what, name, known in (("metric", metric, METRICS), ("kind of index", kind, KINDS)):
            if name not in known:
                raise ValueError(unknown(what, name, known))
        if codes.ndim != 2 or codes.numel() == 0:
            raise ValueError(f"an index needs codes (N, K), at least one; got {tuple(codes.shape)}")
        faiss, self.metric, self.kind = _faiss(), metric, kind
        x, size = self._vectors(codes), codes.shape[1]
        self.inner = faiss.IndexFlatL2(size)
        if kind == "hnsw":
            self.inner = faiss.IndexHNSWFlat(size, 16)
        elif kind == "ivf":
            cells = min(len(x), round(4 * len(x) ** 0.5))
            self.inner = faiss.IndexIVFFlat(self.inner, size, cells)
            self.inner.cp.min_points_per_centroid, self.inner.cp.max_points_per_centroid = 1, 64
            self.inner.cp.niter = 10  # cells need not be perfect, and a million codes take minutes
            self.inner.train(x)
        self.inner.add(x)
        self.look(effort)

    def look(self, effort: int) -> None:
        """Change how much the approximate kinds look at."""
        if self.kind == "exact":  # which looks at all
            return
        whole = isinstance(effort, int | np.integer) and not isinstance(effort, bool)
        if not (whole and 1 <= effort < 2**31):
            raise ValueError(f"effort is a whole number from 1 up; got {effort}")
        if self.kind == "hnsw":
            self.inner.hnsw.efSearch = int(effort)
        elif self.kind == "ivf":
            self.inner.nprobe = int(effort)

    def _vectors(self, codes: Tensor) -> np.ndarray:
        """What FAISS compares, always by Euclidean distance: at length one d² = 2 − 2 cos."""
        if codes.is_complex():
            raise ValueError("codes are real numbers; of complex ones: torch.view_as_real(codes).flatten(1)")
        x = codes.detach().cpu().float()
        if not x.isfinite().all():
            raise ValueError("a code has NaN or infinite numbers: look at the model's output")
        most = x.abs().amax(1, keepdim=True)
        if self.metric == "cosine":  # a power of two changes no digit, and no square is then 0 or infinite
            power = -torch.frexp(most).exponent.clamp(-126, 126)
            x = torch.where(most > 0, normalize(torch.ldexp(x, power)), FAR)
        elif len(x) and most.max() * x.shape[1] ** 0.5 > LARGEST:
            raise ValueError(f"codes longer than {LARGEST:g} have no finite distance: divide all by a number")
        return x.contiguous().numpy()

    def __len__(self) -> int:
        return int(self.inner.ntotal)

    def __repr__(self) -> str:
        return f"Index({len(self):,} codes of {self.inner.d}, {self.kind}, {self.metric})"

    def ask(self, z: Tensor, k: int = 10, leave_out: Sequence[int] | Tensor | None = None) -> Answer:
        """The k nearest codes to each of z (Q, K).

        Args:
            leave_out: (Q,) a row for each query that shall not be an answer: its own.

        Raises ValueError: z is not (Q, K), there are fewer than k codes to find, or no such row to leave out.
        """
        if z.ndim != 2 or z.shape[1] != self.inner.d:
            raise ValueError(f"this index is asked with codes (Q, {self.inner.d}); got {tuple(z.shape)}")
        most = len(self) - (leave_out is not None)
        if not 1 <= k <= most:
            raise ValueError(f"k is from 1 to {most}, the codes there are to find; got {k}")
        _faiss()
        squared, found = self.inner.search(self._vectors(z), k + (leave_out is not None))
        rows, d2 = torch.from_numpy(found), torch.from_numpy(squared)
        if leave_out is not None:
            own = torch.as_tensor(leave_out)
            if own.shape != (len(z),):
                raise ValueError(f"{len(z)} queries, but {own.numel()} rows to leave out: need one each")
            if str(own.dtype)[6:9] != "int" or not ((own >= 0) & (own < len(self))).all():
                raise ValueError(f"rows to leave out go from 0 to {len(self) - 1}; got {own.tolist()[:3]}")
            # sorted by whether to drop and else as they are: the last is the own one, or one too many
            order = torch.argsort((rows == own[:, None]).int(), dim=1, stable=True)[:, :k]
            rows, d2 = rows.gather(1, order), d2.gather(1, order)
        nowhere = rows < 0
        if self.metric == "cosine":  # two of length one are at most 2 apart
            nowhere |= (d2 > 5) | (z == 0).all(1, keepdim=True).cpu()
        closeness = 1 - d2 / 2 if self.metric == "cosine" else d2.clamp_min(0).sqrt()
        return Answer(rows, closeness.masked_fill(nowhere, torch.nan))


def fingerprint(model: nn.Module) -> str:
    """64 hexadecimal digits that change when a weight, its name or its shape does (SHA-256)."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save(path: str | Path, coder: Coder, index: Index) -> None:
    """Write the index and the coder's steps to one file, in one move, with a fingerprint of its model.

    The model itself is not in it: it has a file of its own.

    WriteError if the disk is full, or the folder cannot be written; TypeError for a step that is neither
    `Places`, `Whitening` nor `nn.Flatten`.
    """
    for step in coder.steps:
        if type(step) not in STEPS:
            raise TypeError(f"{type(step).__name__} cannot be saved as a step: put it into the model")
    steps = [[type(s).__name__, *(getattr(s, name) for name in STEPS[type(s)])] for s in coder.steps]
    about = {"steps": steps, "mirror": coder.mirror, "metric": index.metric, "kind": index.kind}
    about["model"] = fingerprint(coder.model)
    arrays = {k: v.cpu().numpy() for k, v in coder.steps.state_dict().items()}
    arrays["index"] = _faiss().serialize_index(index.inner)
    write_file(Path(path), serialise(arrays, {"aelib.retrieval": json.dumps(about)}))


def load(path: str | Path, model: nn.Module) -> tuple[Coder, Index]:
    """The coder and the index of a file of `save`.

    Args:
        model: the one that the codes were made with.

    FileNotFoundError if there is no such file; ValueError if it is damaged or no such file, or it belongs to
    a model with other weights.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no index at {path}; write one with retrieval.save")
    try:
        with safe_open(path, "np") as file:
            about = json.loads((file.metadata() or {})["aelib.retrieval"])
            arrays = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118  (it is no dict)
        kinds: dict[str, Any] = {kind.__name__: kind for kind in STEPS}
        steps = [kinds[name](*given) for name, *given in about["steps"]]
        coder = Coder(model, *steps, mirror=about["mirror"])
        index = object.__new__(Index)
        index.metric, index.kind = about["metric"], about["kind"]
        index.inner = _faiss().deserialize_index(arrays.pop("index"))
        coder.steps.load_state_dict({k: torch.from_numpy(v) for k, v in arrays.items()})
    except ImportError:
        raise
    except Exception as e:
        raise ValueError(f"{path} is no index, or is damaged ({type(e).__name__}: {e}): save it again") from e
    if about["model"] != fingerprint(model):
        raise ValueError(f"{path} holds codes of another model: its weights were {about['model'][:8]}…, "
                         f"these are {fingerprint(model)[:8]}…. Load the weights it was made with, or index "
                         "the images again")  # fmt: skip
    return coder, index
