"""Judges of decoded and edited faces: is the attribute there, and is it still the same person?"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, normalize, pad

from .datasets import Split

FOLDS, PAIRS = 10, 60  # of the protocol of pairs, and how many pairs a fold has of each kind, at most


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


def pixels(x: Tensor) -> Tensor:
    """(B, C, H, W) → (B, 1024·C): the colours at 32 × 32 places."""
    return adaptive_avg_pool2d(x, 32).flatten(1)


class Eye:
    """(N, C, H, W) → (N, K): principal coordinates, each divided by its standard deviation to a power.

    The mean of a face's and its mirror image's; K is at most half the number of photos that it is fitted to.
    """

    def __init__(
        self, photos: Tensor, size: int, power: float, look: Callable[[Tensor], Tensor] = look
    ) -> None:
        from sklearn.decomposition import PCA

        self.look = look
        h = np.concatenate([self._looked(photos), self._looked(photos.flip(-1))])
        self.pca = PCA(min(size, len(photos) // 2), svd_solver="randomized", random_state=0).fit(h)
        self.scale = self.pca.explained_variance_ ** (-power / 2)

    def __call__(self, x: Tensor) -> Tensor:
        """Faces → coordinates."""
        h = self._looked(x) + self._looked(x.flip(-1))
        return torch.as_tensor(self.pca.transform(h / 2) * self.scale).float()

    def _looked(self, x: Tensor) -> np.ndarray:
        return torch.cat([self.look(part) for part in x.split(250)]).numpy()


class Judges:
    """Judges of the test part's faces, which were trained with no model, on no person that a model saw.

    Attributes: logistic regression on edges and colours. The people of the test part are two halves; who
    judges one learnt from the other, and from the validation part. Identity: the angle in the first 400
    coordinates of edges and colours, and in 100 of pixels, found on training photos without their names.

    Args:
        split: photos with labels, who it is, and attributes.
        names: the attributes.

    Raises:
        ValueError: no labels, or an attribute that all or none of the people to learn from have.
    """

    def __init__(self, split: Split, names: Sequence[str]) -> None:
        if split.test.labels is None:
            raise ValueError("these photos have no labels: judges must know who is on them")
        self.names, self.photos = tuple(names), split.test.batch().x
        of_valid, self.truth = (
            np.stack([part.attribute(a) for a in self.names], 1) for part in (split.valid, split.test)
        )
        who, valid = np.unique(split.test.labels, return_inverse=True)[1], split.valid.batch().x
        self.halves = [np.flatnonzero(who % 2 == k) for k in (0, 1)]
        self._experts = [
            _expert(torch.cat([valid, self.photos[r]]), np.concatenate([of_valid, self.truth[r]]), self.names)
            for r in self.halves[::-1]
        ]
        some = np.sort(np.random.default_rng(0).permutation(len(split.train))[:4000])
        train = split.train[some].batch().x
        # 0.81 of LFW's development pairs are called right by the first, 0.72 by the second
        self.eyes = {"nearest": Eye(train, 400, 0.75), "nearest by pixels": Eye(train, 100, 1.0, pixels)}
        self._own = {kind: normalize(eye(self.photos)) for kind, eye in self.eyes.items()}
        self._pairs = _pairs(who)

    def sees(self, x: Tensor) -> np.ndarray:
        """(N, A) which attributes are on the test faces (N, C, H, W), decoded or edited."""
        found = np.empty((len(x), len(self.names)), bool)
        for rows, expert in zip(self.halves, self._experts, strict=True):
            found[rows] = expert(x[rows])
        return found

    def identity(self, x: Tensor) -> dict[str, float]:
        """Are the test faces (N, C, H, W), decoded or edited, who they were?

        "nearest": the share whose own photo is the nearest of all N. "verification": the accuracy of "the
        same person" about one photo and the face of *another* photo, by LFW's protocol of pairs; half is
        guessing.
        """
        after = {kind: normalize(eye(x)) for kind, eye in self.eyes.items()}
        near = {k: (z @ self._own[k].T).argmax(1).numpy() for k, z in after.items()}
        a, b, same, fold = self._pairs
        alike = (self._own["nearest"][a] * after["nearest"][b]).sum(1).numpy()
        found = {k: share(rows == np.arange(len(x))) for k, rows in near.items()}
        return found | {"verification": verified(alike, same, fold)}

    def edited(self, before: Tensor, edit: Callable[[int, Tensor], Tensor]) -> dict[str, dict[str, float]]:
        """Attribute → "on" and "off", the shares that obey, and what `identity` says of the edited faces.

        What the judge does not see on the face before is put on, what it sees is taken off. So an editor that
        changes nothing gets 0, and so do glasses that were lost in decoding.

        Args:
            before: (N, C, H, W) the test faces, decoded.
            edit: the number of an attribute, (N,) 1 to put it on, −1 to take it off → the edited faces.
        """
        seen, table = self.sees(before), {}
        for k, name in enumerate(self.names):
            after = edit(k, torch.from_numpy(1.0 - 2 * seen[:, k]).float())
            has, obeys = seen[:, k], self.sees(after)[:, k] != seen[:, k]
            table[name] = {"on": share(obeys[~has]), "off": share(obeys[has]), **self.identity(after)}
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


def _expert(x: Tensor, table: np.ndarray, names: Sequence[str]) -> Callable[[Tensor], np.ndarray]:
    """Says which attributes are on faces, learnt from photos x (N, C, H, W) and what is on them (N, A)."""
    from sklearn.linear_model import LogisticRegression

    eye = Eye(x, 300, 0.0)
    z, each = eye(x).numpy(), []
    for name, has in zip(names, table.T, strict=True):
        if not {0, 1} <= set(has):
            raise ValueError(f"nobody, or everybody, of the people to learn {name!r} from has it")
        known = ~np.isnan(has)
        # C and K were chosen on validation people
        each.append(LogisticRegression(C=0.03 / z.var(), max_iter=500).fit(z[known], has[known]))
    return lambda x: np.stack([m.predict(z) for z in [eye(x).numpy()] for m in each], 1) == 1


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
