"""Checkpoints: folders that are whole or not there, whose files are checked, and that execute nothing."""

import io
import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor, nn

from ..files import WriteError, digest, reason, write_synced
from ..training import History, Optimizers, Unfinished
from ..training.optim import by_term

WEIGHTS, STATE, MANIFEST = "model.safetensors", "state.pt", "manifest.json"
SETTINGS = ("lr", "betas", "momentum", "weight_decay", "eps")  # which a state would bring along


class RunError(RuntimeError):
    """A run's folder that is damaged, locked, of another training, or cannot be written; says what to do."""


def weights(model: nn.Module) -> bytes:
    """A model's weights as safetensors, with its recipe, if `autoencoder` made it, as metadata."""
    recipe = getattr(model, "recipe", None)
    tensors = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
    return serialise(tensors, {"recipe": json.dumps(recipe)} if recipe else None)


def write(folder: Path, model: nn.Module, optimizers: Optimizers | None, history: History) -> None:
    """Write a checkpoint under its name in one move, so that no reader, and no accident, meets half of it.

    WriteError if the disk is full, or the folder cannot be written; checkpoints before this one are whole.
    """
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    groups = by_term(optimizers or {})
    state = {
        "kinds": _kinds(groups),
        "optimizers": {k: [o.state_dict() for o in g] for k, g in groups.items()},
        "others": [p.detach() for p in _others(model, groups)],
        "history": list(history),
        "unfinished": None if history.unfinished is None else asdict(history.unfinished),
    }
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        write_synced(part / WEIGHTS, weights(model))
        torch.save(state, buffer := io.BytesIO())  # to a file it would hide a full disk behind its own error
        write_synced(part / STATE, buffer.getvalue())
        sums = {name: digest(part / name) for name in (WEIGHTS, STATE)}
        write_synced(part / MANIFEST, json.dumps({"sha256": sums}, indent=1).encode())
        if folder.exists():  # of the same step, written before the training went back to an earlier one
            shutil.rmtree(folder)
        os.replace(part, folder)
        if os.name == "posix":  # elsewhere a folder cannot be opened
            handle = os.open(folder.parent, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
    except OSError as e:
        raise WriteError(f"{folder} was not written: {reason(e)}") from e
    finally:
        shutil.rmtree(part, ignore_errors=True)


def check(folder: Path) -> None:
    """Raise `RunError` if a file of this checkpoint is not what was written."""
    try:
        sums = json.loads((folder / MANIFEST).read_text("utf-8"))["sha256"]
        damaged = [name for name in (WEIGHTS, STATE) if digest(folder / name) != sums[name]]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise RunError(f"the checkpoint {folder} is damaged ({type(e).__name__}: {e})") from e
    if damaged:
        raise RunError(f"the checkpoint {folder} is damaged: {' and '.join(damaged)} changed on the disk")


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """Weights by name, and the recipe that was saved with them; `RunError` if this is no such file."""
    try:
        with safe_open(path, "pt") as file:  # a RecursionError is JSON's
            recipe = json.loads((file.metadata() or {}).get("recipe", "null"))
            return {name: file.get_tensor(name) for name in file.keys()}, recipe  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RecursionError) as e:
        raise RunError(f"{path} is no file of weights, or a damaged one ({e})") from e


def fill(model: nn.Module, file: Path) -> None:
    """Give a model the weights of this file; `RunError` if they are another model's."""
    found = read_weights(file)[0]
    compare(model, found, file)
    model.load_state_dict(found)


def compare(model: nn.Module, found: Mapping[str, Tensor], file: Path) -> None:
    """Raise `RunError` if these are not the model's weights; says which are not."""
    mine = model.state_dict()
    wrong = [f"{k} is {tuple(v.shape)}, not {tuple(mine[k].shape)}" for k, v in found.items()
             if k in mine and v.shape != mine[k].shape]  # fmt: skip
    wrong += [f"{k} is missing" for k in mine.keys() - found.keys()]
    wrong += [f"{k} is not of this model" for k in found.keys() - mine.keys()]
    if wrong:
        some = "; ".join(sorted(wrong)[:3])
        raise RunError(f"{file} is of another model: {some}. Give load the right one as `into`")


def read_history(folder: Path) -> History:
    """What this checkpoint knows of the training; `RunError` if its file holds something else."""
    return _state(folder)["history"]


def restore(folder: Path, model: nn.Module, optimizers: Optimizers, history: History) -> None:
    """Put the model, its optimizers, what else they move, and the history in the state of this checkpoint.

    `RunError` if a file is not what it should be, or is of another model or other optimizers.
    """
    state, groups = _state(folder), by_term(optimizers)
    if _kinds(groups) != state["kinds"]:
        raise RunError(f"{folder} was trained by {state['kinds']}, not by {_kinds(groups)}")
    try:
        pairs = [p for k, group in groups.items() for p in zip(group, state["optimizers"][k], strict=True)]
        if changed := [text for pair in pairs for text in _changed(*pair)]:
            raise RunError(f"{folder} was trained otherwise ({', '.join(changed)}). Choose another folder")
        others = _others(model, groups)
        if [p.shape for p in others] != [p.shape for p in state["others"]]:
            raise RunError(f"{folder}: what the optimizers move beside the model had other shapes")
        fill(model, folder / WEIGHTS)
        with torch.no_grad():
            for mine, was in zip(others, state["others"], strict=True):
                mine.copy_(was)
        for optimizer, saved in pairs:
            optimizer.load_state_dict(saved)
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise RunError(f"the optimizers of {folder} are of another model: {e}") from e
    history[:], history.unfinished = state["history"], state["history"].unfinished


def _state(folder: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(folder / STATE) as file:  # which aelib does not compress
            if sum(f.file_size for f in file.infolist()) > (folder / STATE).stat().st_size:
                raise ValueError
        state = torch.load(folder / STATE, map_location="cpu", weights_only=True)
        if not {"kinds", "others", "optimizers"} <= state.keys():
            raise KeyError
        history, begun = History(state["history"]), state["unfinished"]
        if not all(isinstance(record["epoch"], int) for record in history):
            raise TypeError
        history.unfinished = None if begun is None else Unfinished(**begun)
        return state | {"history": history}
    except Exception as e:  # of the unpickler, in great variety
        raise RunError(f"{folder / STATE} is no state that aelib wrote; nothing of it was executed") from e


def _changed(optimizer: Any, saved: Mapping[str, Any]) -> list[str]:
    """Which of an optimizer's settings are others than those of a saved state, which would replace them."""
    changed = []
    for now, was in zip(optimizer.param_groups, saved["param_groups"], strict=False):
        old = was | {"lr": was.get("initial_lr", was["lr"])}  # a schedule multiplies the one it began with
        new = now | {"lr": now.get("initial_lr", now["lr"])}
        changed += [f"{k} was {old[k]}, is {new[k]}" for k in SETTINGS if old.get(k) != new.get(k)]
    return changed


def _others(model: nn.Module, groups: dict[str, list[Any]]) -> list[Tensor]:
    """What the optimizers move beside the model: an adversary, the parameters of a loss."""
    mine = {id(p) for p in model.parameters()}
    moved = (p for group in groups.values() for o in group for g in o.param_groups for p in g["params"])
    return [p for p in moved if id(p) not in mine]


def _kinds(groups: dict[str, list[Any]]) -> dict[str, list[str]]:
    return {term: [type(o).__name__ for o in group] for term, group in groups.items()}
