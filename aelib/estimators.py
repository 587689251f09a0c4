"""An autoencoder as a scikit-learn transformer: a drop-in for PCA in a Pipeline or a GridSearchCV."""

import copy
import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, OutlierMixin, TransformerMixin
from sklearn.utils import check_array, check_random_state, check_scalar
from sklearn.utils.validation import check_is_fitted, validate_data

from . import latent, losses, models
from .contexts import seeded
from .datasets import Examples
from .training import History, choose, cosine, train

FLOATS = (np.float64, np.float32)  # kept as they come; everything else becomes the first
CHOSEN = ("epochs", "batch_size", "lr")  # by the rule, where they are None


@dataclass(repr=False, eq=False)
class _OfRows(BaseEstimator):
    """An autoencoder of rows of numbers, with scikit-learn's interface; see `AutoencoderTransformer`."""

    n_components: int = 2
    _: KW_ONLY
    shape: Sequence[int] | None = None
    net: str = "mlp"
    posterior: str = "deterministic"
    likelihood: str = "gaussian"
    hidden: Sequence[int] | None = None
    beta: float = 1.0
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    device: str = "auto"
    random_state: int | np.random.RandomState | None = None

    def fit(self, X: Any, y: object = None) -> Self:
        """Train a new model on the rows X (N, D); y is not used."""
        X = validate_data(self, X, dtype=np.float64)
        self.shape_ = self._checked_shape(X.shape[1])
        self.mean_, self.data_min_, self.data_range_ = X.mean(0), float(X.min()), float(np.ptp(X)) or 1.0
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        rows, rule = self._examples(X), self.epochs is None
        start = rows if rule and self.likelihood != "bernoulli" else False
        hidden = self.hidden or ((256, 128) if self.net == "mlp" and self.shape is None else None)
        with torch.random.fork_rng([]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would also reseed the GPUs
            model = models.autoencoder(
                self.shape_, self.n_components, net=self.net, posterior=self.posterior,
                likelihood=self.likelihood, hidden=hidden, start=start,
            )  # fmt: skip
        objective = partial(losses.elbo, beta=self.beta) if model.prior else losses.reconstruction
        how = choose(model, rows, objective, optimizer="adam", **{k: getattr(self, k) for k in CHOSEN})
        self.history_ = History(train(
            model, rows, objective, how.optimizers(model), epochs=how.epochs, batch_size=how.batch_size,
            schedule={"lr": how.schedules()["lr"] if rule else cosine()}, seed=seed, device=self.device,
        ))  # fmt: skip
        self.model_ = model.cpu()
        self.model_.zero_grad()  # gradients are no part of what is copied and saved
        self.code_shape_ = tuple(self.model_.encode(torch.zeros(1, *self.shape_)).mean.shape[1:])
        self._n_features_out = math.prod(self.code_shape_)  # what get_feature_names_out counts by
        self.codes_ = latent.draws(self.model_, rows, seed)[0].flatten(1).numpy()
        return self

    def _checked_shape(self, features: int) -> tuple[int, ...]:
        """The shape of a row of so many features; the arguments that the factory does not check."""
        for name in ("n_components", "epochs", "batch_size"):
            if name == "n_components" or getattr(self, name) is not None:
                check_scalar(getattr(self, name), name, Integral, min_val=1)
        if self.lr is not None:
            check_scalar(self.lr, "lr", Real, min_val=0, include_boundaries="neither")
        check_scalar(self.beta, "beta", Real, min_val=0)
        if isinstance(self.hidden, Integral):
            raise ValueError(f"hidden is a sequence of widths; write ({self.hidden},), not {self.hidden}")
        shape = (features,) if self.shape is None else tuple(self.shape)
        if (wanted := math.prod(shape)) != features:
            raise ValueError(f"shape {shape} makes {wanted} numbers a row, but X has {features} features. "
                             "Give that of the examples in the rows, as (C, H, W), or None")  # fmt: skip
        return shape

    def _examples(self, X: np.ndarray, dtype: torch.dtype = torch.float32) -> Examples:
        """Rows (N, D) as examples (N, …), in [0, 1] where X is within the training set's range."""
        scaled = (np.asarray(X, np.float64) - self.data_min_) / self.data_range_
        return Examples(scaled.reshape(-1, *self.shape_), dtype=dtype)

    def _codes(self, X: np.ndarray) -> np.ndarray:
        return latent.encode(copy.deepcopy(self.model_).double(), self._examples(X, torch.float64)).numpy()

    def _rows(self, Z: np.ndarray) -> np.ndarray:
        z = torch.tensor(Z, dtype=torch.float64).reshape(-1, *self.code_shape_)
        x = latent.decode(copy.deepcopy(self.model_).double(), z).flatten(1).numpy()
        return x * self.data_range_ + self.data_min_


@dataclass(repr=False, eq=False)
class AutoencoderTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, _OfRows):
    """Rows of numbers → codes → rows: `models.autoencoder` with scikit-learn's interface.

    It minimises −log p(x|z), which is ½ Σ (x − x̂)² + a constant for likelihood="gaussian"; a gaussian
    posterior adds β · KL(q(z|x) ‖ p(z)). One affine map for all features takes the smallest number of
    the training set to 0 and the largest to 1, and `inverse_transform` undoes it: the geometry is the
    one that PCA sees. Features of different units want a `StandardScaler` before it, as they do for PCA.

    Training is in float32 on the device. Codes and reconstructions are computed in float64 on the CPU,
    so that the code of a row does not depend on the rows beside it.

    Args:
        n_components: size of the code; for net="fcn" its channels at each place.
        shape: of the example that a row holds, as (C, H, W) of a picture or (C, T) of a series, for
            convolutions; None: a row of a table, (n_features,).
        net: "linear" (which wants lr=0.01 or more), "mlp", "conv" or "fcn"; see `models.autoencoder`.
        posterior: "deterministic" (a plain autoencoder) or "gaussian" (a VAE, whose mean is the code).
        likelihood: of `models.autoencoder`. For a VAE take "gaussian-optimal" or "gaussian-learnt": with
            σ = 1, small images and tables hold too few nats to pay for a code, and it collapses.
        hidden: widths of the hidden layers, from the row inwards; None: (256, 128) for a table.
        beta: weight of the KL term; not used with a deterministic posterior.
        epochs: passes over the rows. None: the rule of `training.choose` fills in what is None, and the model
            starts as the rows' PCA, unless likelihood="bernoulli".
        batch_size: the most rows in a step; None: the rule's.
        lr: the largest learning rate, of a warm-up and a cosine; None: the rule's for Adam, most often 0.001.
        device: of the training: "auto", "cuda", "mps" or "cpu".
        random_state: int, RandomState or None. torch's own generator is left as it was.

    Attributes:
        model_: the trained `Autoencoder`, on the CPU; it sees (x − data_min_) / data_range_.
        history_: the `History` of the training.
        data_min_, data_range_: of all numbers of the training set; the range of a constant one is 1.
        mean_: (D,) mean of the training rows, the reference of `score`.
        codes_: (N, K) of up to 5,000 training rows, drawn from q(z|x), for `sample`.
        shape_, code_shape_: of one row and of one code in the model, as (C, H, W) and (K,) or (K, h, w).

    ValueError or TypeError at `fit`, an unknown name, or a number that is not possible.

    >>> X = np.random.default_rng(0).normal(size=(100, 64))
    >>> ae = AutoencoderTransformer(8, net="linear", epochs=2, random_state=0).fit(X)
    >>> ae.transform(X).shape, ae.inverse_transform(ae.transform(X)).shape
    ((100, 8), (100, 64))
    """

    def transform(self, X: Any) -> np.ndarray:
        """Codes (N, K) of rows X (N, D): the posterior's means, flattened."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=FLOATS, reset=False)
        return self._codes(X).astype(X.dtype)

    def inverse_transform(self, Z: Any) -> np.ndarray:
        """Rows (N, D) of codes Z (N, K), in the units of the training set: the likelihood's means."""
        check_is_fitted(self)
        Z = check_array(Z, dtype=FLOATS, input_name="Z")
        if Z.shape[1] != self._n_features_out:
            raise ValueError(f"codes are (N, {self._n_features_out}), as from `transform`; got {Z.shape}")
        return self._rows(Z).astype(Z.dtype)

    def sample(self, n_samples: int = 1, random_state: Any = None) -> np.ndarray:
        """New rows (n_samples, D), decoded from the prior or one fitted to `codes_`; see `latent.matched`."""
        check_is_fitted(self)
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        drawn: Any = latent.matched(self.model_, torch.as_tensor(self.codes_))[0].prior
        with seeded(int(check_random_state(random_state).randint(2**31 - 1))):
            return self._rows(drawn(None).sample((n_samples,)).flatten(1).numpy())

    def score(self, X: Any, y: object = None) -> float:
        """R² of the reconstruction: 1 − Σ (x − x̂)² / Σ (x − mean_)²; 1 is perfect, 0 is the mean.

        For PCA on its training set this is the sum of `explained_variance_ratio_`.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        error, total = np.square(X - self._rows(self._codes(X))).sum(), np.square(X - self.mean_).sum()
        return float(1 - error / total) if total else float(error == 0)  # as sklearn.metrics.r2_score

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


@dataclass(repr=False, eq=False)
class AutoencoderOutlierDetector(OutlierMixin, _OfRows):
    """Rows that an autoencoder reconstructs badly: beside `IsolationForest`, with scikit-learn's interface.

    The score of a row is −(1/D) Σ (x − x̂)², in units in which the training set's numbers go from 0 to 1.
    Outliers among the training rows are reconstructed badly as long as they are few, the code is small and
    the training short: what is rare is learnt last. (So it does not follow the rule.) Features of different
    units want a `StandardScaler` before it. Other scores: `aelib.outliers`.

    Args:
        n_components, …: as in `AutoencoderTransformer`; a large code reconstructs outliers too.
        contamination: the share of the training rows that `predict` calls outliers, above 0 and at most ½.
            Of *new* normal rows it is a larger share: `outliers.threshold` takes rows that were kept back.

    Attributes:
        offset_: scores below it are outliers. Others as in `AutoencoderTransformer`.

    >>> X = np.random.default_rng(0).normal(size=(100, 1)) * [1, 2, 3]
    >>> X[-1] = 9, -9, 9
    >>> detector = AutoencoderOutlierDetector(1, contamination=0.01, random_state=0)
    >>> np.flatnonzero(detector.fit_predict(X) == -1)
    array([99])
    """

    _: KW_ONLY
    contamination: float = 0.1
    epochs: int | None = 20
    batch_size: int | None = 128

    def fit(self, X: Any, y: object = None) -> Self:
        """Train a new model on the rows X (N, D); y is not used."""
        limits = {"min_val": 0, "max_val": 0.5, "include_boundaries": "right"}
        check_scalar(self.contamination, "contamination", Real, **limits)
        super().fit(X)
        self.offset_ = float(np.quantile(self.score_samples(X), self.contamination))
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """(N,) scores of rows X (N, D), at most 0; the lower, the stranger."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        return -np.square((X - self._rows(self._codes(X))) / self.data_range_).mean(1)

    def decision_function(self, X: Any) -> np.ndarray:
        """(N,) `score_samples` − `offset_`: negative for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """(N,) −1 for outliers, 1 for all others."""
        return np.where(self.decision_function(X) < 0, -1, 1)
