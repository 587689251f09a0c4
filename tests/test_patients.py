"""The generator of patients that `diagnose` is judged on. (Its sets here are those that need no files.)"""

import pytest
import torch
from benchmarks import diagnosis
from benchmarks.diagnosis import Patient, remarks, verdict
from benchmarks.patients import held_out, pictures, settings
from benchmarks.patients.faults import FAULTS

HERE = ("digits", "letters", "patches", "cartoon faces")


@pytest.fixture(autouse=True)
def here(monkeypatch):
    for name in set(pictures.PICTURES) - set(HERE):
        monkeypatch.delitem(pictures.PICTURES, name)


def batches(s):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = [next(iter(part.batches(32))) for part in (s.data.train[:32], s.valid[:32])]
    return [v for b in found for v in (b.x, None if b.target is b.x else b.target, b.c) if v is not None]


def what_a_fault_can_change(s):
    """Everything a setting consists of, as text: data, wiring, start, loss, optimizers, plan."""
    torch.manual_seed(0)
    s.build()
    held = [sum(p.numel() for g in o.param_groups for p in g["params"]) for o in diagnosis.optimizers(s)]
    rates = [(g["lr"], g.get("weight_decay")) for o in diagnosis.optimizers(s) for g in o.param_groups]
    numbers = [v.double().nan_to_num(-7).flatten().cos().cumsum(0).sum().item() for v in batches(s)]
    model = {k: v.double().sum().item() for k, v in s.model.state_dict().items()}
    grad = [p.requires_grad for p in s.model.parameters()]
    momenta = [getattr(m, "momentum", None) for m in s.model.modules()]
    terms = s.made.keys() if isinstance(s.made, dict) else ()
    return [
        numbers, model, grad, momenta, held, rates, list(terms), str(s.model), repr(s.objective),
        s.lr, s.epochs, len(s.data.train), len(s.valid), len(s.after), type(s.model).__name__,
    ]  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_changes_its_patient_and_nothing_else_is_random(name, tmp_path):
    patient = Patient(0, FAULTS[name], tmp_path)
    ill, again, twin = patient.setting(), patient.setting(), patient.setting(healthy=True)
    assert str(ill) == str(again) == str(twin)
    ill, again, twin = (what_a_fault_can_change(s) for s in (ill, again, twin))
    for a, b in zip(ill[:8], again[:8], strict=True):  # an objective's text names its place in memory
        assert a == b or "object at" in str(a)
    assert ill != twin


def test_a_patient_from_the_folder_is_the_one_that_was_trained(tmp_path, monkeypatch):
    drawn = settings.setting

    def short(seed):
        s = drawn(seed)
        s.epochs = 1
        return s

    monkeypatch.setattr(diagnosis, "setting", short)
    patient = Patient(0, FAULTS["target mirrored"], tmp_path)
    made = patient.made()
    loaded = patient.load()
    assert all(v.equal(made["state"][k]) for k, v in loaded.model.state_dict().items())
    assert list(loaded.history) == made["history"] and not loaded.model.training
    again = Patient(0, FAULTS["target mirrored"], tmp_path / "other").made()
    assert all(v.equal(again["state"][k]) for k, v in made["state"].items())


def test_a_third_of_the_patients_is_unseen_and_all_of_the_kinds_that_are_held_out(tmp_path):
    every = [Patient(k, f, tmp_path) for k in range(3) for f in [*FAULTS.values(), None]]
    new = [p for p in every if p.fault and p.fault.family == held_out.HELD_OUT]
    known = [p for p in every if p not in new]
    assert new and all(p.unseen for p in new)
    assert 0.25 < sum(p.unseen for p in known) / len(known) < 0.42


def test_the_first_name_decides():
    fault = FAULTS["targets of other images"]
    said = ["inputs and targets of different images", "hardly trained", "overfitting"]
    assert [verdict(fault, [name]) for name in said] == ["right", "symptom", "wrong"]
    assert verdict(fault, said[1:] + said[:1]) == "symptom" and verdict(fault, []) == "nothing"


def test_of_a_healthy_one_may_be_said_what_is_measured():
    well = {"train": 0.9, "valid": 0.89, "pca": 0.9, "active": 1.0, "gap": 0.0, "still falling": 0.0}
    assert remarks(well) == set() and not diagnosis.not_healthy(well)
    assert remarks(well | {"valid": 0.8}) == {"overfitting"}
    early = remarks(well | {"still falling": 0.2, "gap": 1.0})
    assert early == {"hardly trained", "codes far from the prior"}
    assert diagnosis.not_healthy(well | {"valid": 0.5}) and diagnosis.not_healthy(well | {"active": 0.3})
