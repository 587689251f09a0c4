"""What an explorer's panels show at chosen positions of its controls, taken in Python for a page without.

Of explorers that encode or search, as a browser cannot, these are the frames that it shows: their controls
are few. Of those that it decodes itself they are what a test holds its pictures against.
"""

import io
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import ipywidgets as widgets
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save

from aelib.explorers.widgets import Explorer, Panel

FRAMES = 130  # positions, at most
WITNESSES = 4  # positions of which Python's picture is kept, for a test to hold the browser's against
SLIDERS = (widgets.IntSlider, widgets.FloatSlider)
CONTROLS = (*SLIDERS, widgets.FloatLogSlider, widgets.Dropdown, widgets.Checkbox)
Key = tuple[Any, ...]  # a position: of each control the number of its value


def parts(widget: Any, *kinds: type) -> Iterator[Any]:
    """The parts of these kinds, in their order."""
    if isinstance(widget, kinds):
        yield widget
    else:
        for child in getattr(widget, "children", ()):
            yield from parts(child, *kinds)


@contextmanager
def moving(explorer: Explorer) -> Iterator[dict[str, Any]]:
    """Name → control of an explorer that is put back afterwards; until then its panels do not enlarge."""
    controls = {control.description: control for control in parts(explorer, *CONTROLS)}
    start = {name: control.value for name, control in controls.items()}
    sides, seed = {panel: panel.side for panel in parts(explorer, Panel)}, explorer.seed
    try:
        for panel in sides:
            panel.side = 1
        explorer.run()
        yield controls
    finally:
        for panel, side in sides.items():
            panel.side = side
        for name, value in start.items():
            controls[name].value = value
        explorer.seed = seed
        explorer.run()


def picture(panel: Panel) -> np.ndarray:
    """(H, W, 3) what a panel shows."""
    return np.asarray(Image.open(io.BytesIO(panel.image.value)).convert("RGB"))


def witnesses(explorer: Explorer, n: int = WITNESSES) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Name → value of each slider and list at n random positions, and the picture "decoded" there."""
    rng = np.random.default_rng(0)
    with moving(explorer) as controls:
        (decoded,) = (panel for panel in parts(explorer, Panel) if panel.title.value == "decoded")
        moved = {n: c for n, c in controls.items() if isinstance(c, (*SLIDERS, widgets.Dropdown))}
        for _ in range(n):
            for control in moved.values():
                if isinstance(control, widgets.Dropdown):
                    control.index = int(rng.integers(len(control.options)))
                else:
                    steps = rng.integers(round((control.max - control.min) / control.step) + 1)
                    control.value = control.min + steps.item() * control.step
            if explorer.message.value:
                raise ValueError(f"{explorer.name} shows no picture: {explorer.message.value}")
            said = {name: getattr(control, "label", control.value) for name, control in moved.items()}
            yield said, picture(decoded)


def frames(explorer: Explorer, positions: Mapping[str, Sequence[Any]], untitled: str = "") -> bytes:
    """What the viewer reads: every panel at every combination of these values, each picture once.

    Pictures are lossless WebP files, one after the other. Of two that a panel shows the second may be kept as
    the pixels in which it differs from the panel's first, the others transparent.

    Args:
        positions: name of a control → its values, the explorer's own at the start among them. Of a button
            that draws again: the seeds 0, 1, …. A combination that the explorer does not allow, as where a
            slider ends before, is left out.
        untitled: what a picture without a title shows, for who cannot see it.

    Raises ValueError: an unknown name, more than `FRAMES`, none at the start, or the explorer says an error.
    """
    buttons = {button.description: button for button in parts(explorer, widgets.Button)}
    sides = [panel.side for panel in parts(explorer, Panel)]  # at which panels show, in pixels, at least
    pictures = Pictures()
    shown, to = dict[Key, Any](), {name: dict[str, Key]() for name in buttons if name not in positions}
    with moving(explorer) as controls:
        if wrong := positions.keys() - controls.keys() - buttons.keys():
            raise ValueError(f"{explorer.name} has {[*controls, *buttons]}, and no {sorted(wrong)}")
        keys = list(itertools.product(*(range(len(values)) for values in positions.values())))
        if len(keys) > FRAMES:
            raise ValueError(f"{len(keys)} positions of {explorer.name}; at most {FRAMES} are kept")

        def now() -> Key:
            return tuple(controls[n].value if n in controls else explorer.seed for n in positions)

        known = {tuple(v[i] for v, i in zip(positions.values(), key, strict=True)): key for key in keys}
        start = known.get(now())
        for values, key in known.items():
            place(explorer, controls, dict(zip(positions, values, strict=True)))
            if now() != values:
                continue
            if explorer.message.value:
                raise ValueError(f"{explorer.name} at {values}: {explorer.message.value}")
            panels = zip(parts(explorer, Panel), sides, strict=True)
            shown[key] = [pictures.add(k, panel, side) for k, (panel, side) in enumerate(panels)]
            draw, explorer.draw = explorer.draw, _nothing  # where a button leads is seen without its pictures
            for name, there in to.items():
                buttons[name].click()
                if (pressed := known.get(now())) is not None:
                    there[_text(key)] = pressed
                place(explorer, controls, dict(zip(positions, values, strict=True)))
            explorer.draw = draw
    if start not in shown:
        raise ValueError(f"{explorer.name} starts where no frame is kept: {positions}")
    rows = [len(list(parts(row, Panel))) for row in explorer.children]
    words = {
        "kind": "frames", "name": explorer.name, "start": start, "rows": [n for n in rows if n],
        "controls": [_control(name, controls.get(name), values) for name, values in positions.items()],
        "buttons": [{"name": n, "says": buttons[n].tooltip, "to": there} for n, there in to.items()],
        "frames": {_text(key): panels for key, panels in shown.items()}, "places": pictures.places,
        "note": note(controls, positions, len(shown)), "untitled": untitled,
    }  # fmt: skip
    data = torch.frombuffer(pictures.data, dtype=torch.uint8)
    return save({"pictures": data}, {"words": json.dumps(words)})


def place(explorer: Explorer, controls: Mapping[str, Any], position: Mapping[str, Any]) -> None:
    """Move the controls to a position, one after the other, and draw."""
    for name, value in position.items():
        if name in controls:
            controls[name].value = value
        elif explorer.seed != value:
            explorer.seed = value
            explorer.run()


def note(controls: Mapping[str, Any], positions: Mapping[str, Sequence[Any]], n: int) -> str:
    """Which positions are kept: "60 positions (image: 30 of 200 values)"."""
    some = []
    for name, values in positions.items():
        control = controls.get(name)
        if hasattr(control, "step"):
            steps = round((control.max - control.min) / control.step) + 1
            some += [f"{name}: {len(values)} of {steps} values"] * (len(values) < steps)
    return f"{n} positions" + f" ({', '.join(some)})" * bool(some)


def _nothing() -> None:
    pass


def _text(key: Key) -> str:
    return ",".join(map(str, key))


def _control(name: str, control: Any, values: Sequence[Any]) -> dict[str, Any]:
    """What the viewer knows of a control: its name, kind and what it says at each value."""
    if control is None:
        return {"name": name, "kind": "button", "says": ["" for _ in values]}
    if isinstance(control, widgets.Checkbox):
        return {"name": name, "kind": "box", "says": ["off", "on"]}
    if isinstance(control, widgets.Dropdown):
        labels = {value: label for label, value in control._options_full}
        return {"name": name, "kind": "choice", "says": [labels[value] for value in values]}
    says = [format(value, control.readout_format) for value in values]
    return {"name": name, "kind": "range", "says": says}


class Pictures:
    """Pictures as lossless WebP files, each once: `data`, and `places`, where each is.

    A place is [from, to, number of the picture that it is put on], the last −1 where it is whole.
    """

    def __init__(self) -> None:
        self.data, self.places = bytearray(), list[list[int]]()
        self._known, self._first = dict[Any, int](), dict[Any, tuple[int, np.ndarray]]()

    def add(self, k: int, panel: Panel, side: int) -> dict[str, Any] | None:
        """What the k-th panel shows: words, its picture's number, its width in CSS pixels; None if hidden."""
        if panel.layout.display == "none":
            return None
        a = picture(panel)
        key = (k, a.shape, a.tobytes())
        if key not in self._known:
            self._known[key] = len(self.places)
            first, base = self._first.setdefault(key[:2], (len(self.places), a))
            whole, over = _webp(a), None
            if base is not a:
                differs = (a != base).any(2, keepdims=True)
                over = _webp(np.concatenate([a * differs, 255 * differs.astype(np.uint8)], 2))
            on = first if over is not None and len(over) < len(whole) else -1
            file = over if on >= 0 else whole
            self.places.append([len(self.data), len(self.data) + len(file), on])
            self.data += file
        zoom = max(1, -(-side // a.shape[1]))
        said = {"title": panel.title.value, "picture": self._known[key], "width": a.shape[1] * zoom}
        return said | ({"text": panel.text.value} if panel.text in panel.children else {})


def _webp(a: np.ndarray) -> bytes:
    out = io.BytesIO()  # with quality=100 and method=6 it takes seconds, for as many bytes
    Image.fromarray(a).save(out, "WEBP", lossless=True, quality=90, method=5)
    return out.getvalue()
