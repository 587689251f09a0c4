"""What the explorers are made of: a widget that draws and survives, panels, controls that line up."""

import base64
import html
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np
from PIL import Image
from torch import Tensor

from .. import plots
from . import page

SIDE = 256  # pixels, at which a panel shows one image, at least
# JupyterLab takes each key for itself, unless the element that has the focus says not to: so arrows and
# letters are the controls', and keys with a modifier, such as Shift+Enter, stay JupyterLab's. The words below
# are shown while the kernel is busy, from the second second on: an explorer itself needs less.
BROWSER = """
<img hidden alt="" src="data:," onerror="
    const own = this.closest('.aelib-explorer');
    window.addEventListener('keydown', e => own.contains(e.target) && e.target.toggleAttribute(
        'data-lm-suppress-shortcuts', !(e.shiftKey || e.ctrlKey || e.metaKey || e.altKey)), true)">
<style>
.aelib-busy { visibility: hidden }
.jp-NotebookPanel:has(.jp-Notebook-ExecutionIndicator[data-status=busy]) .aelib-busy {
    visibility: visible; transition: visibility 0s 1s }
</style>
<small class="aelib-busy">The kernel is busy with another cell: what you move here is shown after it.</small>
"""


class Explorer(widgets.VBox):
    """Rows of controls and pictures; it draws when a control moves, and shows an error instead of dying.

    (A widget that dies leaves a learner with a frozen picture, and no word of it.) However many controls
    move together, it draws once. All of them take the keyboard (Tab, arrows). Its text is its name and
    nothing of the model's, so that a stored notebook is the same everywhere.

    Args:
        name: its function's.
        draw: reads the controls and shows the pictures.
        controls: that it follows.
    """

    def __init__(self, name: str, draw: Callable[[], None], *controls: widgets.Widget) -> None:
        self.name, self.draw, self.message = name, draw, widgets.HTML()
        self._busy, self.seed, self.alt = False, 0, ""
        # of a page without Python: "model"; "start" (1, K), what its decoder is given first; other tables
        # (N, K), pictures (N, C, H, W), names and numbers, or functions that return them
        self.parts: dict[str, Any] = {}
        super().__init__()
        self.add_class("aelib-explorer")
        self.follow(*controls)

    def __repr__(self) -> str:
        return f"explorers.{self.name}: run this cell to move it"

    def _repr_mimebundle_(self, **keywords: Any) -> Any:
        """The widget, and a picture of its panels as they are, for where there is no kernel to move it."""
        bundle = super()._repr_mimebundle_(**keywords)
        parts = [part for line in self.children for part in getattr(line, "children", ())]
        panels = [p for p in parts if isinstance(p, Panel) and p.image.value and p.layout.display != "none"]
        if not panels:
            return bundle
        images = [np.asarray(Image.open(io.BytesIO(p.image.value))) for p in panels]
        high = max(map(len, images))
        room = [np.pad(i, ((0, high - len(i)), (0, 8), (0, 0)), constant_values=255) for i in images]
        still = plots.png(np.hstack(room).transpose(2, 0, 1)[None])
        titles = ", ".join(panel.title.value for panel in panels)
        alt = self.alt or f"The explorer at its start, from left to right: {titles}."
        return bundle | {"image/png": base64.b64encode(still).decode()}, {"image/png": {"alt": alt}}

    def described(self, alt: str) -> "Explorer":
        """Itself, with these words for the picture that stands where there is no kernel."""
        self.alt = alt
        return self

    def to_html(self, file: str | Path, runtime: str = page.RUNTIME) -> Path:
        """Write an HTML page on which it moves in a browser, without Python, and return the file.

        It is for attributes, latent_space, interpolation, conditional, and other explorers with `parts`.

        Args:
            file: ends in .html; what is there is replaced. It holds the decoder, and 200 photos at most.
            runtime: address of the folder `dist` of onnxruntime-web, from which a browser gets 14 MB at the
                first touch. Where there is no network: of a copy beside the page, as "ort/", from a server.

        Raises ValueError: it encodes or searches, as `reconstructions` does; such a page only decodes; or
        the file ends otherwise. ImportError: a package for ONNX is missing.
        """
        return page.write(file, self.name, self.parts, runtime)

    def run(self, action: Callable[[], object] | None = None) -> None:
        """Act, then draw once; what goes wrong is said in `message`, until something goes right."""
        if self._busy:  # the action moves controls that are followed
            return
        self._busy = True
        try:
            if action is not None:
                action()
            self.draw()
            self.message.value = ""
        except Exception as e:
            text = " ".join([str(e), *getattr(e, "__notes__", ())])
            self.message.value = f"<b>{type(e).__name__}</b>: {html.escape(text)}"
        finally:
            self._busy = False

    def follow(self, *controls: widgets.Widget, action: Callable[[], object] | None = None) -> None:
        """Act and draw whenever one of the controls changes its value."""
        for control in controls:
            control.tooltip = control.tooltip or control.description  # which screen readers say
            control.observe(lambda _: self.run(action), "value")

    def button(self, text: str, says: str, action: Callable[[], object]) -> widgets.Button:
        """A button that acts, and draws once."""
        layout = widgets.Layout(width="auto", min_width="90px")
        button = widgets.Button(description=text, tooltip=says, layout=layout)
        button.on_click(lambda _: self.run(action))
        return button

    def again(self) -> None:
        """For a button: what is random is random in another way."""
        self.seed += 1

    def of(self, *rows: widgets.Widget) -> "Explorer":
        """Itself, made of these rows and the message below them, and drawn."""
        self.run()
        self.children = [*rows, widgets.HTML(BROWSER), self.message]
        return self


class Panel(widgets.VBox):
    """A picture under its title; with `text`, a line below says something of it."""

    def __init__(self, title: str, side: int = SIDE, text: bool = False) -> None:
        self.title, self.image, self.side = widgets.Label(title), widgets.Image(format="png"), side
        self.text = widgets.Label()
        super().__init__([self.title, self.image, *([self.text] if text else [])])

    def show(self, images: plots.Pictures) -> None:
        """(N, C, H, W) one below the other, enlarged by a whole factor to `side` pixels or more."""
        zoom = max(1, -(-self.side // images.shape[-1]))
        self.image.layout.width = f"{images.shape[-1] * zoom}px"
        self.image.value = plots.png(images, zoom=zoom)


def row(*parts: widgets.Widget) -> widgets.HBox:
    """Side by side, and on the next line where the page is too narrow."""
    return widgets.HBox(list(parts), layout=widgets.Layout(flex_flow="row wrap", grid_gap="0 12px"))


def grid(controls: Sequence[widgets.Widget], beside: int = 0, flex: str = "1 1 100%") -> widgets.GridBox:
    """In columns of one width, as many as there is room for; no description is cut off.

    A control needs so many pixels `beside` its description; `flex` says how the grid shares a `row`, in CSS.
    """
    # in CSS, 1ch is the width of a digit; most letters are narrower
    width = f"{0.85 * max((len(c.description) for c in controls), default=0) + 1.5:.1f}ch"
    for control in controls:
        control.layout.width = "auto"
        if not isinstance(control, widgets.Checkbox):
            control.style.description_width = width
    columns = f"repeat(auto-fill, minmax(calc({width} + {beside}px), 1fr))"
    layout = widgets.Layout(grid_template_columns=columns, flex=flex, align_content="flex-start")
    return widgets.GridBox(list(controls), layout=layout)


def checked(codes: Tensor, photos: plots.Pictures) -> Tensor:
    """The codes (N, K), on the CPU; ValueError if there are none, or not as many photos."""
    if codes.ndim != 2 or len(codes) == 0:
        raise ValueError(f"codes are (N, K), of at least one image; got {tuple(codes.shape)}")
    if len(photos) != len(codes):
        raise ValueError(f"{len(codes)} codes, but {len(photos)} photos: need one per code")
    return codes.detach().cpu()
