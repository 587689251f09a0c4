"""A run, the folder of one training: its settings, history, checkpoints and events; `save` and `load`."""

import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from filelock import FileLock, Timeout
from torch import nn

from .. import __version__, models
from ..contexts import device_named
from ..datasets import Data, Images
from ..datasets.store import marks
from ..errors import shown
from ..files import WriteError, sum_of, write_file
from ..models import Autoencoder
from ..training import History, Optimizers
from . import checkpoint
from .checkpoint import MANIFEST, WEIGHTS, RunError, compare, fill, read_weights

TRAINED = "trained.bin"
FORMAT = 2  # of the folder: run.json has a sum of itself since 2. An older aelib reads no newer one
PART = re.compile(r"\.(config\.yaml|run\.json|history\.csv|trained\.bin|epoch-\d+(\+\d+)?)\.\d+\.part")
MAY_CHANGE = {"data", "labels", "epochs", "accelerator", "devices", "nodes", "strategy"}  # as it goes on


class Run:
    """The folder of one training.

    `config.yaml` (the settings), `run.json` (versions, and what identifies the training), `trained.bin`
    (which photos it was trained on), `history.csv` (a row an epoch), `checkpoints/epoch-0003` (after three
    epochs; `epoch-0003+00012` is twelve steps on), `tensorboard` (its events). The last two checkpoints are
    kept, and the best.

    Args:
        path: the folder; made when something is saved.
        config: the settings, for `config.yaml`; None: those that `fit` was given.
    """

    def __init__(self, path: str | Path, config: Mapping[str, Any] | None = None) -> None:
        self.path, self.config = Path(path), config
        self.checkpoints = self.path / "checkpoints"
        self.begun: Mapping[str, Any] | None = None  # with what, if it was

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    def names(self) -> list[str]:
        """Names of the checkpoints, the oldest first."""
        found = self.checkpoints.glob("epoch-*") if self.checkpoints.is_dir() else []
        names = (f.name for f in found if re.fullmatch(r"epoch-\d+(\+\d+)?", f.name))
        return sorted(names, key=lambda name: [int(n) for n in re.findall(r"\d+", name)])

    def history(self) -> History:
        """The records of its last checkpoint that is whole."""
        return checkpoint.read_history(self.folder("last"))

    def folder(self, which: str = "best") -> Path:
        """A checkpoint's folder, whose files were checked.

        Args:
            which: "best" (smallest validation loss, or training loss without validation), "last", or a name.

        RunError if there is none, or it is damaged; then the message offers the newest whole one.
        """
        names = self.names()
        if not names:
            raise RunError(f"{self.path} holds no checkpoint: it is no run, or was stopped before a save")
        name = names[-1] if which == "last" else self._best(names) if which == "best" else which
        if name not in names:
            raise RunError(f"{self.path} has no checkpoint {name!r}; it has best, last, {', '.join(names)}")
        try:
            checkpoint.check(self.checkpoints / name)
        except RunError as e:
            whole = next((n for n in reversed(names) if n != name and _is_whole(self.checkpoints / n)), None)
            offer = f'The one before it is whole: which="{whole}"' if whole else "None of the others is whole"
            raise RunError(f"{e}. {offer}") from e
        return self.checkpoints / name

    def _best(self, names: list[str]) -> str:
        for name in reversed(names):  # the newest that can be read knows which was best
            with contextlib.suppress(RunError):
                checkpoint.check(self.checkpoints / name)
                history = checkpoint.read_history(self.checkpoints / name)
                best = _named(_best_epoch(history)) if history else name
                return best if best in names else name
        return names[-1]

    def save(self, model: nn.Module, optimizers: Optimizers | None, history: History) -> Path:
        """Write a checkpoint and history.csv; keep the last two and the best. Returns its folder."""
        step = history.unfinished.step if history.unfinished else 0
        folder = self.checkpoints / _named(len(history), step)
        if self.begun is not None and not (self.path / "run.json").exists():
            warnings.warn(f"{self.path} was moved or deleted meanwhile: it is made again", stacklevel=2)
            (self.path / "tensorboard").mkdir(parents=True, exist_ok=True)  # the events go on too
            self.begin(self.begun)
        with self._saving():
            checkpoint.write(folder, model, optimizers, history)
        self.tidy(folder.name, history)
        return folder

    def tidy(self, name: str, history: History) -> None:
        """What follows a checkpoint: write history.csv, remove those that are not kept."""
        self._write("history.csv", history.table().to_csv())
        names = self.names()
        keep = {*names[-2:], name, _named(_best_epoch(history)) if history else ""}
        for other in names:
            if other not in keep:
                shutil.rmtree(self.checkpoints / other, ignore_errors=True)

    def restore(self, model: nn.Module, optimizers: Optimizers, history: History) -> str | None:
        """Go back to the newest checkpoint that is whole, if any, and return its name; warn of newer ones."""
        names = self.names()
        for i, name in reversed(list(enumerate(names))):
            folder = self.checkpoints / name
            try:
                checkpoint.check(folder)
            except RunError as e:
                then = f"Going on from {names[i - 1]}" if i else "It is the only one: beginning again"
                warnings.warn(f"{e}. {then}", stacklevel=2)
                continue
            checkpoint.restore(folder, model, optimizers, history)
            return name
        return None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Inside, no other process trains in this folder (`RunError` if one does).

        What a killed one left half-written is removed. Files that no training wrote are a `RunError`.
        """
        if shown(self.path, "file") != str(self.path):  # where safetensors and TensorBoard cannot write
            raise RunError(f"{shown(self.path)} has a name that is no UTF-8: choose another for the run")
        if strange := self._strange():
            names = ", ".join(map(shown, strange[:3]))
            raise RunError(f"{self.path} holds what no training wrote ({names}): name a new folder")
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / ".lock", timeout=0).acquire()
        except Timeout as e:
            raise RunError(f"another process trains in {self.path}: wait, or choose another folder") from e
        except OSError as e:
            raise RunError(f"{self.path} cannot be written to: {checkpoint.reason(e)}") from e
        with lock:
            parts = [*self.path.glob(".*.part"), *self.checkpoints.glob(".*.part")]
            for part in (p for p in parts if PART.fullmatch(p.name)):
                named = part.with_name(part.name[1:].rsplit(".", 2)[0])
                if part.is_dir() and _is_whole(part) and not _is_whole(named):  # it was about to be replaced
                    shutil.rmtree(named, ignore_errors=True)
                    os.replace(part, named)
                else:
                    shutil.rmtree(part) if part.is_dir() else part.unlink()
            yield

    def _strange(self) -> list[str]:
        """What lies in the folder, beside what is hidden, if no training has begun in it."""
        kept = (self.checkpoints / name / MANIFEST for name in self.names())
        if any(file.exists() for file in (self.path / "run.json", *kept)):
            return []
        found = [*self.path.glob("[!.]*"), *self.checkpoints.glob("[!.]*")]
        return sorted(file.name for file in found if file != self.checkpoints)

    def begin(self, about: Mapping[str, Any]) -> None:
        """Write `config.yaml` and `run.json`, or compare with what stands there.

        What `about` says identifies the training: it must be the same when the training goes on.

        RunError if the folder is of another training, or of a newer aelib.
        """
        if (self.path / "run.json").exists():
            old, new = _flat(self.about()["training"]), _flat(about)
            changed = [k for k in new | old if k != "rule" and old.get(k) != new.get(k)]
            wrong = "; ".join([f"{k} was {old.get(k)}, is {new.get(k)}" for k in changed] + self._changed())
            if wrong and self.names():
                raise RunError(f"{self.path} holds another training ({wrong}). Choose another folder")
        self.begun = about  # run.json comes first: it says whose folder this is
        config = dict(about if self.config is None else self.config)
        if self.names() and "epochs" in config:  # those that are trained do not become fewer
            config["epochs"] = max(config["epochs"], int(re.findall(r"\d+", self.names()[-1])[0]))
        text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, explicit_end=True, width=10**6)
        known = {"format": FORMAT, "versions": versions(), "training": dict(about)}
        known["settings"] = sum_of(yaml.safe_load(text))
        self._write("run.json", json.dumps(known | {"sha256": sum_of(known)}, indent=1))
        self._write("config.yaml", self._commented(text))

    def _commented(self, fresh: str) -> str:
        """The fresh text of config.yaml, with the comments of the one that stands there."""
        lines, new = {line.split(":")[0]: line for line in fresh.split("\n")}, yaml.safe_load(fresh)
        with contextlib.suppress(OSError, ValueError, LookupError, RecursionError, yaml.YAMLError):
            text = (self.path / "config.yaml").read_text("utf-8")
            text = re.sub(r"(?m)^(\w+):(?:(?!\s+#).)*", lambda found: lines[found[1]], text)
            if text.rstrip().endswith("\n...") and yaml.safe_load(text) == new:
                return text
        return fresh

    def remember(self, data: Data) -> None:
        """Write which photos are trained on, and the SHA-256 of that, for `trained`."""
        there = self.names() and (self.path / TRAINED).exists()
        if isinstance(data, Images) and data.paths is not None and not there:
            body = np.sort(marks(data.store, data.rows)).tobytes()
            self._write(TRAINED, body + hashlib.sha256(body).digest())

    def trained(self, data: Images) -> np.ndarray:
        """(N,) bool, which of these pictures it was trained on, pixel for pixel; none, where nothing says it.

        `RunError` if the file that says it is damaged.
        """
        file = self.path / TRAINED
        whole = file.read_bytes() if file.exists() else hashlib.sha256().digest()
        if hashlib.sha256(whole[:-32]).digest() != whole[-32:]:
            raise RunError(f"{file} is damaged. Deleted, nothing says which photos were trained on")
        return np.isin(marks(data.store, data.rows), np.frombuffer(whole[:-32], "<u8"))

    def _write(self, name: str, text: str | bytes) -> None:
        with self._saving():
            write_file(self.path / name, text.encode() if isinstance(text, str) else text)

    @contextlib.contextmanager
    def _saving(self) -> Iterator[None]:
        """Inside, an error of the disk is a `RunError` that says what is kept."""
        try:
            yield
        except WriteError as e:
            kept = "What was saved before is whole" if self.names() else "Nothing is saved yet"
            raise RunError(f"{e}. {kept}") from e

    def _changed(self) -> list[str]:
        """Which settings are others than those in config.yaml, of those that make a training another one."""
        try:
            was = self.settings()
        except RunError:  # damaged: it is written again
            return []
        now = ((k, v) for k, v in (self.config or {}).items() if k not in MAY_CHANGE)
        return [f"{k} was {was[k]}, is {v}" for k, v in now if was.get(k, v) not in (v, None)]

    def settings(self) -> dict[str, Any]:
        """What config.yaml says; `RunError` if it is not there, no YAML, or cut short."""
        try:
            text = (self.path / "config.yaml").read_text("utf-8")
            if not text.rstrip().endswith("\n..."):
                raise ValueError("it ends before its last line, '...'")
            settings = dict(yaml.safe_load(text))
            with contextlib.suppress(RunError):
                if self.about().get("settings", sum_of(settings)) != sum_of(settings):
                    raise ValueError("its values were changed; the same `aelib train` again writes it")
            return settings
        except (OSError, ValueError, TypeError, RecursionError, yaml.YAMLError) as e:
            raise RunError(f"{self.path} is no run, or its config.yaml is damaged ({e})") from e

    def about(self) -> dict[str, Any]:
        """What run.json says; `RunError` if it is not there, damaged, or of a newer aelib."""
        try:
            about = json.loads((self.path / "run.json").read_text("utf-8"))
            written, by, known = int(about["format"]), str(about["versions"]["aelib"]), about["training"]
            if written <= FORMAT and about.get("sha256", written == 1 and sum_of(about)) != sum_of(about):
                raise ValueError("it was changed")
        except (OSError, ArithmeticError, ValueError, LookupError, TypeError, RecursionError) as e:
            if not (self.path / "run.json").exists():
                raise RunError(f"{self.path} is no run: there is no run.json in it") from e
            again = "Delete it, and begin the same training again in the same folder: it goes on"
            raise RunError(f"{self.path}/run.json is damaged ({e}). {again} from the last checkpoint") from e
        if written > FORMAT or not isinstance(known, dict):
            raise RunError(f"{self.path} was written by aelib {by}, in format {written}; aelib {__version__} "
                           f"reads up to format {FORMAT}. Install the newer one")  # fmt: skip
        return about


def versions() -> dict[str, str]:
    """aelib, Python, torch and the machine."""
    return {
        "aelib": __version__, "python": platform.python_version(), "torch": torch.__version__,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }  # fmt: skip


def _flat(about: Mapping[str, Any]) -> dict[str, Any]:
    recipe = about.get("model")
    return {**about, **recipe, "model": "by autoencoder"} if isinstance(recipe, Mapping) else dict(about)


def _named(epoch: int, step: int = 0) -> str:
    return f"epoch-{epoch:04d}" + (f"+{step:05d}" if step else "")


def _best_epoch(history: History) -> int:
    known = [k for k in ("valid/loss", "train/loss") if all(k in record for record in history)]
    return int((history.best(known[0]) if known else history[-1])["epoch"])


def _is_whole(folder: Path) -> bool:
    with contextlib.suppress(RunError):
        checkpoint.check(folder)
        return True
    return False


def save(path: str | Path, model: nn.Module, history: History | None = None) -> Path:
    """Write a model, and its history, to a folder from which `load` gives it back. Returns the checkpoint.

    RunError if the folder cannot be written, is no run's, or another's, or another process trains in it.
    """
    run = Run(path)
    with run.locked():
        run.begin({"model": getattr(model, "recipe", None) or type(model).__name__})
        return run.save(model, None, history or History())


def load(
    path: str | Path, into: nn.Module | None = None, *, which: str | None = None, device: str = "auto"
) -> Any:
    """A trained model of a run, or of a file of weights. Arguments and errors are those of `aelib.load`."""
    at, file = device_named(device), Path(path)
    if not file.is_file():
        file = Run(path).folder("best" if which is None else which) / WEIGHTS
    elif which is not None:
        raise ValueError(f"{path} is one file of weights, without checkpoints: leave which={which!r} out")
    if into is None:
        found, recipe = read_weights(file)
        if recipe is None:
            raise RunError(f"{path} holds a model not made by `autoencoder`: load({str(path)!r}, into=model)")
        with torch.device("meta"):  # a recipe that asks for more than the file holds costs no memory
            compare(_built(recipe, file), found, file)
        into = _built(recipe, file)
        kind = next(found[name].dtype for name, _ in into.named_parameters())
        into = into.to(kind) if kind.is_floating_point else into  # the precision that it was saved in
    fill(into, file)
    return into.to(at).eval()


def _built(recipe: Mapping[str, Any], file: Path) -> Autoencoder:
    try:
        return models.from_recipe(recipe)
    except Exception as e:  # a recipe that is something else fails in many ways
        raise RunError(f"{file}: the model's recipe is not one that aelib {__version__} knows ({e})") from e
