"""The exam of the clinic: causes, what each would show, and what shows that a patient is repaired."""

import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .judging import EXERCISES, NOTHING, raised, recorded

FACTS = tomllib.loads(Path(__file__).with_name("exam.toml").read_text("utf-8"))
CAUSES: dict[str, str] = FACTS["causes"]  # cause → what it would show
ANSWERS: dict[str, dict[str, str]] = FACTS["patients"]  # name → its cause, why, where
ALSO = {("C", "posterior collapse"), ("I", "posterior collapse"), ("K", "overfitting")}


class Exam:
    """`check.patient(name, cause)`: one of CAUSES. The answer comes once it is right."""

    name, page, kind = "patient", "11", "debug"
    about = "A patient of the clinic and the cause of what it has."
    reference = ("A", "hardly trained")

    def __init__(self) -> None:
        self.right: set[str] = set()
        self.mistakes = {
            "what comes of it": ("C", "posterior collapse"),
            "its pixels leave [0, 1]": ("A", "pixels outside the likelihood's range"),
            "did you mean 'hidden β'": ("C", "hiden β"),
            "there is no patient": ("Z", "hidden β"),
            NOTHING: ("A", ...),
        }
        EXERCISES[self.name] = self  # type: ignore[assignment]

    def __call__(self, name: Any, cause: Any = None) -> None:
        complaint = self.verdict((name, cause))
        if complaint is None:
            self.right.add(name)
        left = {n for n in ANSWERS if (n > "L") == (str(name) > "L")} - self.right  # of this round
        recorded(self.name, complaint or (f"{len(left)} patients are left" if left else None))
        if complaint:
            print(f"not yet: {name}: {complaint}")
            return
        answer = ANSWERS[name]
        print(f"correct: {name}: {cause}\n{answer['why']}")
        if "where" in answer:
            print(f"In public code: {answer['where']}")

    def verdict(self, given: Any) -> str | None:
        """Why this is not the cause, or None."""
        name, cause = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
        if not isinstance(name, str) or name not in ANSWERS:
            return f"there is no patient {name!r}; there are {', '.join(ANSWERS)}"
        if cause is None or cause is ...:
            return NOTHING
        if not isinstance(cause, str) or cause not in CAUSES:
            near = get_close_matches(str(cause), CAUSES, 1)
            meant = f"did you mean {near[0]!r}?" if near else f"one of: {'; '.join(CAUSES)}"
            return f"this is no cause that is known here; {meant}"
        if cause == ANSWERS[name]["cause"]:
            return None
        if (name, cause) in ALSO:
            return "it has that too, and that is what comes of it: look for what is behind it"
        return f"it would show: {CAUSES[cause]}. Look whether it does"


@torch.no_grad()
def _differs(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).abs().max() > 1e-4)


def _vital(name: str, ward: Any, it: Any) -> str | None:
    """What is still wrong with a patient after a repair, or None."""
    import examining

    case = ward[name]
    if name == "D":
        edges, hidden = case.extra["edges"], case.extra["hidden"]
        if (it & hidden).any():
            return "the encoder still sees hidden edges"
        if (it & edges).sum() < 0.99 * (edges & ~hidden).sum():
            return "the encoder sees too few of the training edges"
        auc = examining.found_by_chance(case, it)
        return None if auc < 0.6 else f"it still predicts what is chance: AUC {auc:.2f}"
    if name == "J":
        well = ward.repaired(name).extra["step"]
        before, after, could = (examining.smiling(case, step) for step in (0 * it, it, well))
        said = f"{after:.0%} smile after the step, {before:.0%} without it; {could:.0%} could"
        return None if after > before + 0.6 * (could - before) else said
    if not isinstance(it, nn.Module):
        return f"a trained model is expected; this is a {type(it).__name__}"
    well = ward.repaired(name)
    share, needed = (examining.explained(m, well.data) for m in (it, well.model))
    if share < 0.6 * needed:
        return f"it explains {share:.0%} of the images' variance; the course's repair explains {needed:.0%}"
    return _signs(name, ward, it)


def _signs(name: str, ward: Any, model: Any) -> str | None:
    """What is particular to one patient."""
    batch = ward.repaired(name).data.valid[:64].batch(model.device)
    model.eval()
    if name == "F":
        zeros = (model.encode(batch.x).mean == 0).float().mean()
        return None if zeros > 0.3 else f"{zeros:.0%} of its codes' numbers are zero"
    if name == "K":
        train = ward.repaired(name).data.train[:500].batch(model.device)
        seen, new = ((model.reconstruct(b.x) - b.target).square().mean() for b in (train, batch))
        far = "images that it was not trained on come out far worse than those it was trained on"
        return None if new < 1.5 * seen else far
    if name == "L":
        codes = (model.encode(batch.x, c).mean for c in (batch.c, batch.c.roll(1, 1)))
        return None if _differs(*codes) else "under another label the encoder's code is the same"
    if name == "M":
        from aelib import losses

        losses.elbo(model, batch)["loss"].mean().backward()
        alive = any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.encoder.parameters())
        return None if alive else "its encoder gets no gradient"
    if name == "O":
        alone, among = model.encode(batch.x[:2]).mean, model.encode(batch.x).mean[:2]
        return "the code of an image still depends on the others" if _differs(alone, among) else None
    return None


class Repair:
    """`check.repaired(ward, name, it)`: whether a patient is well, from its model, trained again."""

    name, page, kind = "repaired", "11", "debug"
    about = "A ward, the name of a patient, and the model that it should have been, trained."
    reference = None
    mistakes: dict[str, Any]

    def __init__(self) -> None:
        self.mistakes = {NOTHING: None, "three things": 3, "there is no patient": (None, "Z", 3)}
        EXERCISES[self.name] = self  # type: ignore[assignment]

    def __call__(self, ward: Any, name: Any = None, it: Any = None) -> None:
        complaint = recorded(self.name, self.verdict((ward, name, it) if name is not None else ward))
        print(f"not yet: {complaint}" if complaint else "correct")

    def verdict(self, given: Any) -> str | None:
        """What is still wrong, or None."""
        if given is None or given is ...:
            return NOTHING
        if not isinstance(given, tuple) or len(given) != 3:
            return "three things are expected: the ward, the patient's name, and what you made of it"
        ward, name, it = given
        if not isinstance(name, str) or name not in ANSWERS:
            return f"there is no patient {name!r}; there are {', '.join(ANSWERS)}"
        if it is None or it is ...:
            return NOTHING
        try:
            return _vital(name, ward, it)
        except Exception as e:
            return raised(e, it)


patient, repaired = Exam(), Repair()
