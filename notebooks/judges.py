"""Judges of pictures (what is on them) and of edited faces: is the attribute there, is it the same person?"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, normalize, pad

from aelib import heads, nets
from aelib.datasets import Split

PIXELS = nn.Sequential(nn.AdaptiveAvgPool2d(32), nn.Flatten())  # another look at them
FOLDS, PAIRS = 10, 60  # of the protocol of pairs, and how many pairs a fold has of each kind, at most


def classifier(
    shape: Sequence[int], outputs: int, *, labels: bool = True, features: int = 64,
    hidden: Sequence[int] = (32, 64, 128),
) -> nn.Sequential:  # fmt: skip
    """A convolutional classifier to judge pictures by: images → distribution over labels or attributes.

    Its first part, `net[0]`, gives the features (B, features) in which `metrics.frechet_distance` measures.
    Train it with the objective `losses.prediction`.

    Args:
        shape: (C, H, W) of the images, or of any other examples that convolutions go over.
        outputs: classes, or attributes.
        labels: True: one of the classes (`Categorical`); False: each attribute by itself (`Bernoulli`).
        features: size of the last hidden layer.
        hidden: channels of the convolutions.

    >>> judge = classifier((1, 28, 28), 10)
    >>> judge(torch.rand(5, 1, 28, 28)).mode.shape, judge[0](torch.rand(5, 1, 28, 28)).shape
    (torch.Size([5]), torch.Size([5, 64]))
    """
    body = nn.Sequential(nets.Centre(), nets.ConvEncoder(shape, features, hidden), nn.GELU())
    head = heads.Categorical() if labels else heads.Bernoulli()
    return nn.Sequential(body, nn.Linear(features, outputs), head)


def look(x: Tensor) -> Tensor:
    """(B, C, H, W) → (B, 512 + 256·C): edges of eight directions at 8 × 8 places, colours at 16 × 16.

    Nothing is learnt. The eight of a place together have length one, so light counts little; after Dalal,
    Triggs, 2005, https://doi.org/10.1109/CVPR.2005.177.
    """
    grey = pad(x.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    dx, dy = grey[..., 1:-1, 2:] - grey[..., 1:-1, :-2], grey[..., 2:, 1:-1] - grey[..., :-2, 1:-1]
    angle, length = (torch.arange(8) * torch.pi / 4).view(-1, 1, 1), torch.hypot(dx, dy) + 1e-6
    along = length * ((dx * angle.cos() + dy * angle.sin()) / length).clamp_min(0) ** 4
    edges = normalize(adaptive_avg_pool2d(along, 8).sqrt(), dim=1, eps=1e-3)
    return torch.cat([edges.flatten(1), adaptive_avg_pool2d(x, 16).flatten(1)], 1)


def looked(x: Tensor, look: Callable[[Tensor], Tensor] = look) -> np.ndarray:
    """(2, N, D) what is seen of faces (N, C, H, W), and of their mirror images."""
    return torch.stack([torch.cat([look(part) for part in v.split(250)]) for v in (x, x.flip(-1))]).numpy()


def eye(h: np.ndarray, size: int, power: float) -> Callable[[np.ndarray], np.ndarray]:
    """From what is `looked` at (2, N, D) to principal coordinates (N, K) / (their deviation to a power).

    The mean of a face's and its mirror image's. K is at most half the number of faces that it is fitted to.
    """
    from sklearn.decomposition import PCA

    size = min(size, h.shape[1] // 2)
    pca = PCA(size, svd_solver="randomized", random_state=0).fit(np.concatenate(list(h)))
    return lambda h: pca.transform(h.mean(0)) * pca.explained_variance_ ** (-power / 2)


class Judges:
    """Judges of the test part's faces, which were trained with no model, on no person that a model saw.

    Attributes: logistic regression on edges and colours. The people of the test part are two halves; who
    judges one learnt from the other, and from the validation part. Identity: the angle in the first 400
    coordinates of edges and colours, and in 100 of pixels, found on training photos without their names.

    Raises:
        ValueError: no labels (who it is), or an attribute that all or none of the people to learn from have.
    """

    def __init__(self, split: Split, names: Sequence[str]) -> None:
        if split.test.labels is None:
            raise ValueError("these photos have no labels: judges must know who is on them")
        self.names, self.photos = tuple(names), split.test.batch().x
        of_valid, self.truth = (
            np.stack([p.attribute(a) for a in names], 1) for p in (split.valid, split.test)
        )
        who, valid = np.unique(split.test.labels, return_inverse=True)[1], looked(split.valid.batch().x)
        self.halves, h = [np.flatnonzero(who % 2 == k) for k in (0, 1)], looked(self.photos)
        self._experts = [
            _expert(np.hstack([valid, h[:, r]]), np.concatenate([of_valid, self.truth[r]]), self.names)
            for r in self.halves[::-1]
        ]
        train = split.train[np.sort(np.random.default_rng(0).permutation(len(split.train))[:4000])].batch().x
        # the first is right about 0.81 of LFW's development pairs, the second about 0.72
        self._eyes = eye(looked(train), 400, 0.75), eye(looked(train, PIXELS), 100, 1.0)
        self._own, self._pairs = self._codes(self.photos, h), _pairs(who)

    def sees(self, x: Tensor, h: np.ndarray | None = None) -> np.ndarray:
        """(N, A) which attributes are on the test faces (N, C, H, W), decoded or edited; h is `looked(x)`."""
        h = looked(x) if h is None else h
        found = np.empty((len(x), len(self.names)), bool)
        for rows, expert in zip(self.halves, self._experts, strict=True):
            found[rows] = expert(h[:, rows])
        return found

    def _codes(self, x: Tensor, h: np.ndarray) -> list[Tensor]:
        seen = self._eyes[0](h), self._eyes[1](looked(x, PIXELS))
        return [normalize(torch.as_tensor(z).float()) for z in seen]

    def identity(self, x: Tensor, h: np.ndarray | None = None) -> dict[str, float]:
        """Are the test faces (N, C, H, W), decoded or edited, who they were? h is `looked(x)`.

        "nearest": the share whose own photo is the nearest of all N; "nearest by pixels" too. "verification":
        the accuracy of "the same person" about one photo and the face of *another* photo, by LFW's protocol
        of pairs; half is guessing.
        """
        after, own, (a, b, same, fold) = self._codes(x, looked(x) if h is None else h), self._own, self._pairs
        near = [(z @ o.T).argmax(1).numpy() == np.arange(len(x)) for z, o in zip(after, own, strict=True)]
        right = verified((own[0][a] * after[0][b]).sum(1).numpy(), same, fold)
        return {"nearest": share(near[0]), "nearest by pixels": share(near[1]), "verification": right}

    def edited(self, before: Tensor, edit: Callable[[int, Tensor], Tensor]) -> dict[str, dict[str, float]]:
        """Attribute → "on" and "off", the shares that obey, and what `identity` says of the edited faces.

        What the judge does not see on the face before is put on, what it sees is taken off. So an editor that
        changes nothing gets 0, and so do glasses that were lost in decoding.

        `before` (N, C, H, W) are the test faces, decoded; `edit` takes the number of an attribute and (N,) 1
        to put it on, −1 to take it off, and gives the edited faces.
        """
        seen, table = self.sees(before), {}
        for k, name in enumerate(self.names):
            after = edit(k, torch.from_numpy(1.0 - 2 * seen[:, k]).float())
            h, has = looked(after), seen[:, k]
            obeys = self.sees(after, h)[:, k] != has
            table[name] = {"on": share(obeys[~has]), "off": share(obeys[has]), **self.identity(after, h)}
        return table

    def judged(self) -> dict[str, dict[str, float]]:
        """How good the judge of attributes is, on photos: its accuracy, and that of saying the commoner.

        "on" and "off" are what `edited` may say of an ideal editor: it draws what the judge calls right as
        often as on photos, and has nothing to change where the judge was wrong before. More is exaggerated.
        """
        seen, table = self.sees(self.photos), {}
        for k, name in enumerate(self.names):
            known = ~np.isnan(self.truth[:, k])
            has, said = self.truth[known, k] == 1, seen[known, k]
            table[name] = {
                "accuracy": share(said == has), "commoner": max(share(has), share(~has)),
                "on": share(said[has]) * share(~has[~said]), "off": share(~said[~has]) * share(has[said]),
            }  # fmt: skip
        return table


def share(yes: np.ndarray) -> float:
    """The share of True; NaN of none."""
    return float(yes.mean()) if len(yes) else float("nan")


def verified(alike: np.ndarray, same: np.ndarray, fold: np.ndarray) -> float:
    """Mean accuracy of "the same" over folds, each by the threshold of `alike` that is best on the others."""
    from sklearn.metrics import roc_curve

    right = []
    for others in (fold != f for f in np.unique(fold)):
        false, true, at = roc_curve(same[others], alike[others], drop_intermediate=False)
        best = at[(true * same[others].sum() - false * (~same[others]).sum()).argmax()]
        right.append(share((alike >= best)[~others] == same[~others]))
    return float(np.mean(right))


def _expert(h: np.ndarray, table: np.ndarray, names: Sequence[str]) -> Callable[[np.ndarray], np.ndarray]:
    """Says which attributes are on faces, learnt from others (2, N, D) and what is on them (N, A)."""
    from sklearn.linear_model import LogisticRegression

    code = eye(h, 300, 0.0)
    z, each = code(h), []
    for name, has in zip(names, table.T, strict=True):
        if not {0, 1} <= set(has):
            raise ValueError(f"nobody, or everybody, of the people to learn {name!r} from has it")
        known = ~np.isnan(has)  # C and K below and above were chosen on validation people
        each.append(LogisticRegression(C=0.03 / z.var(), max_iter=500).fit(z[known], has[known]))
    return lambda h: np.stack([m.predict(z) for z in [code(h)] for m in each], 1) == 1


def _pairs(who: np.ndarray) -> tuple[np.ndarray, ...]:
    """The rows of both photos of each pair, whether they show the same person, and the pair's fold."""
    rng, (i, j) = np.random.default_rng(0), np.triu_indices(len(who), 1)
    of = (rng.permutation(who.max() + 1) % FOLDS)[who]  # no person is in two folds
    i, j = (v[of[i] == of[j]] for v in (i, j))
    chosen = np.concatenate([
        rng.permutation(np.flatnonzero((of[i] == f) & ((who[i] == who[j]) == same)))[:PAIRS]
        for f in range(FOLDS) for same in (True, False)
    ])  # fmt: skip
    i, j = i[chosen], j[chosen]
    return i, j, who[i] == who[j], of[i]
