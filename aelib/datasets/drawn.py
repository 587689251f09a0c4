"""Faces drawn on the spot, with attributes that are known exactly because they were drawn."""

import math

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from .images import Images, Split

ATTRIBUTES = {  # name (LFW's where it has the attribute): how often it is drawn
    "Smiling": 0.5, "Mouth Slightly Open": 0.4, "Eyeglasses": 0.25, "Beard": 0.25, "Mustache": 0.2,
    "Wearing Hat": 0.2, "Long Hair": 0.4, "Blond Hair": 0.3, "Bangs": 0.35, "Rosy Cheeks": 0.3,
    "Wearing Earrings": 0.25, "Narrow Eyes": 0.25,
}  # fmt: skip
PERSONAL = ("Beard", "Mustache", "Long Hair", "Blond Hair", "Bangs", "Rosy Cheeks", "Narrow Eyes")
PHOTOS_EACH = 5  # of one person, on average
Value = Tensor | float  # (B,) one for each picture, or one for all
CHUNK = 128  # faces drawn at a time: their canvas stays in the processor's cache


def drawn_faces(n: int = 6000, size: int = 64, seed: int = 0) -> Split:
    """Drawn faces in colour, 12 attributes each, several pictures of each of n / 5 people.

    What belongs to a person (skin, hair, shape of face, eyes, nose; beard …) is the same in all its
    pictures; pose, light, background, mouth, glasses, hat and earrings differ. No person is in two
    parts; a sixth of the people is the test part, a twelfth the validation part.

    Args:
        n: pictures, 12 or more. They are drawn in under a millisecond each.
        size: side of the pictures in pixels, 8 or more.
        seed: the same seed gives the same pictures.
    """
    if n < 12 or size < 8:
        raise ValueError(f"drawn-faces needs n ≥ 12 and size ≥ 8; got n={n}, size={size}")
    rng = np.random.default_rng(seed)
    people = max(12, n // PHOTOS_EACH)
    labels = np.sort(np.concatenate([np.arange(people), rng.integers(0, people, n)])[:n])

    def draw(who: np.ndarray, count: int) -> tuple[pd.DataFrame, np.ndarray]:
        """Attributes and shape parameters, uniform in [0, 1), that belong to `who`."""
        has = pd.DataFrame({name: rng.random(count) < p for name, p in ATTRIBUTES.items()})
        return has.iloc[who].reset_index(drop=True), rng.random((count, 24))[who]

    of_photo, pose = draw(np.arange(n), n)
    of_person, shape = draw(labels, people)
    attributes = of_photo.assign(**{name: of_person[name] for name in PERSONAL}).astype(np.float32)
    has = torch.from_numpy(attributes.to_numpy())
    shape_t, pose_t = torch.from_numpy(shape).float(), torch.from_numpy(pose).float()
    pixels = np.empty((n, 3, size, size), np.uint8)
    for rows in torch.arange(n).split(CHUNK):
        faces = _paint(has[rows], shape_t[rows], pose_t[rows], size)
        pixels[rows.numpy()] = (faces * 255).round().to(torch.uint8).numpy()
    data = Images(pixels, labels, [f"person {i}" for i in range(people)], attributes)
    in_test, in_valid = labels % 12 < 2, labels % 12 == 2
    return Split(data[~in_test & ~in_valid], data[in_valid], data[in_test], "drawn-faces")


class _Canvas:
    """Pictures (B, 3, S, S) painted layer by layer; coordinates run from −1 to 1, y downwards."""

    def __init__(self, colour: Tensor, size: int) -> None:
        at = (torch.arange(size) + 0.5) / size * 2 - 1
        self.x, self.y = at.view(1, 1, -1), at.view(1, -1, 1)
        self.pixels = colour[:, :, None, None].expand(-1, -1, size, size).clone()
        self.edge = size / 2.2  # one pixel of soft edge

    def paint(self, mask: Tensor, colour: Tensor, strength: Value = 1.0) -> None:
        mask = mask * _column(strength)
        self.pixels.lerp_(colour[:, :, None, None].expand_as(self.pixels), mask[:, None])

    def ellipse(self, cx: Value, cy: Value, rx: Value, ry: Value, power: float = 2) -> Tensor:
        """Mask of |(x − cx) / rx|ᵖ + |(y − cy) / ry|ᵖ < 1; p = 2 is an ellipse, above it a box."""
        cx, cy, rx, ry = map(_column, (cx, cy, rx, ry))
        u, v = ((self.x - cx) / rx).abs().pow(power), ((self.y - cy) / ry).abs().pow(power)
        return ((1 - u - v) * torch.minimum(rx, ry) * (self.edge / 2) + 0.5).clamp_(0, 1)

    def arc(self, cx: Value, cy: Value, half: Value, bend: Value, thick: Value, tilt: Value = 0.0) -> Tensor:
        """Mask of a stroke: y = cy + tilt·u − bend·u² for u = (x − cx) / half in [−1, 1]."""
        cx, cy, half, bend, thick, tilt = map(_column, (cx, cy, half, bend, thick, tilt))
        u = (self.x - cx) / half
        line = cy + tilt * u - bend * u.square()
        across = (thick * (1 - u.square()).clamp_min(0).sqrt() - (self.y - line).abs()) * self.edge
        return (across + 0.5).clamp_(0, 1) * (u.abs() < 1)


def _column(value: Value) -> Tensor:
    """(B, 1, 1), or (1, 1, 1) of a number."""
    return torch.as_tensor(value, dtype=torch.float32).view(-1, 1, 1)


def _mix(t: Tensor, *colours: tuple[float, float, float]) -> Tensor:
    """(B, 3) colours along a palette, at t in [0, 1)."""
    palette = torch.tensor(colours)
    at = t * (len(colours) - 1)
    low = at.long()
    return torch.lerp(palette[low], palette[low + 1], (at - low)[:, None])


def _paint(has: Tensor, s: Tensor, p: Tensor, size: int) -> Tensor:
    """Draw one chunk: attributes (B, A), the person's shape (B, 24) and the picture's pose (B, 24)."""
    is_ = dict(zip(ATTRIBUTES, has.unbind(1), strict=True))

    def between(t: Tensor, low: float, high: float) -> Tensor:
        return low + (high - low) * t

    skin = _mix(s[:, 0], (0.98, 0.86, 0.76), (0.93, 0.74, 0.58), (0.74, 0.52, 0.36), (0.42, 0.28, 0.19))
    dark = _mix(s[:, 1], (0.08, 0.07, 0.07), (0.24, 0.14, 0.08), (0.45, 0.25, 0.12), (0.38, 0.16, 0.1))
    blond = _mix(s[:, 1], (0.93, 0.8, 0.45), (0.83, 0.66, 0.34), (0.88, 0.72, 0.5))
    hair = torch.lerp(dark, blond, is_["Blond Hair"][:, None])
    shade, gold = skin * 0.78, torch.tensor([[0.95, 0.8, 0.3]])
    ink, bright = torch.full((1, 3), 0.12), torch.full((1, 3), 0.96)
    wide, tall = between(s[:, 2], 0.46, 0.58), between(s[:, 3], 0.62, 0.74)
    yaw, pitch = between(p[:, 0], -0.13, 0.13), between(p[:, 1], -0.06, 0.06)

    wall = _mix(p[:, 2], (0.35, 0.48, 0.62), (0.62, 0.66, 0.6), (0.8, 0.72, 0.62), (0.45, 0.38, 0.42))
    a = _Canvas(wall * between(p[:, 3], 0.6, 1.1)[:, None], size)
    shirt = _mix(p[:, 4], (0.16, 0.2, 0.34), (0.75, 0.75, 0.78), (0.55, 0.14, 0.16), (0.16, 0.36, 0.27))
    # behind the face: long hair, shoulders, neck
    a.paint(a.ellipse(-yaw * 0.4, 0.25, wide + 0.2, 0.85, 2.6), hair, is_["Long Hair"])
    a.paint(a.ellipse(0, 1.25, 0.85, 0.5, 2.5), shirt)
    a.paint(a.ellipse(0, 0.7, wide * 0.5, 0.34, 4), shade)
    for side in (-1.0, 1.0):
        ear = side * wide * 0.98 - yaw * 0.3
        a.paint(a.ellipse(ear, pitch + 0.08, 0.09, 0.15), shade)
        a.paint(a.ellipse(ear, pitch + 0.3, 0.055, 0.075), gold, is_["Wearing Earrings"])
    a.paint(a.ellipse(-yaw * 0.2, pitch - 0.16, wide + 0.09, tall * 0.88), hair)
    face = a.ellipse(0, 0.06 + pitch * 0.5, wide, tall, 2.3)
    a.paint(face, skin)
    a.paint(face * a.ellipse(0.8 * torch.sign(yaw), 0, 0.62, 1.3), shade, 0.35)
    # where the features are: pose moves them over the face
    x0, y0, apart = yaw * 1.1, pitch, wide * between(s[:, 4], 0.4, 0.48)
    eye_y, mouth_y = y0 - 0.1, y0 + between(s[:, 5], 0.36, 0.43)
    smile = is_["Smiling"]
    half = wide * (between(s[:, 6], 0.36, 0.48) + 0.12 * smile)
    for side in (-1.0, 1.0):
        cheek = a.ellipse(x0 + side * apart * 1.15, y0 + 0.2, 0.14, 0.11)
        a.paint(face * cheek, torch.lerp(skin, torch.tensor([[0.9, 0.3, 0.3]]), 0.5), is_["Rosy Cheeks"])
    a.paint(face * a.ellipse(x0, y0 + 0.62, wide * 1.15, 0.48, 2.6), hair * 0.9, is_["Beard"])
    a.paint(face * a.ellipse(x0, mouth_y, half + 0.1, 0.13), skin, is_["Beard"])
    # mouth: a dark opening with teeth, framed by lips that bend with the smile
    bend = between(p[:, 5], -0.07, 0.01) + smile * between(p[:, 6], 0.15, 0.22)
    centre = mouth_y + bend * 0.6
    opening = is_["Mouth Slightly Open"]
    lip = torch.lerp(skin, torch.tensor([[0.7, 0.2, 0.22]]), between(s[:, 7], 0.4, 0.75)[:, None])
    lips = between(s[:, 8], 0.04, 0.06) + 0.05 * opening
    a.paint(a.arc(x0, centre, half, bend, lips), lip)
    gap = 0.012 + opening * between(p[:, 7], 0.045, 0.065)
    a.paint(a.arc(x0, centre, half * 0.86, bend * 0.75, gap), ink)
    teeth = a.arc(x0, centre - 0.025, half * 0.7, bend * 0.5, gap * 0.55)
    a.paint(teeth, torch.full((1, 3), 0.95), opening * (0.35 + 0.65 * smile))
    above = mouth_y - 0.1 - 0.02 * opening
    a.paint(a.arc(x0, above, half * 0.9, -0.07, 0.05), hair * 0.85, is_["Mustache"])
    # nose
    long, broad = between(s[:, 9], 0.17, 0.25), between(s[:, 10], 0.07, 0.12)
    a.paint(a.ellipse(x0 + yaw * 0.5, eye_y + long * 0.7, broad * 0.55, long * 0.8), skin * 0.94)
    a.paint(a.arc(x0 + yaw * 0.5, eye_y + long + 0.08, broad, 0.04, 0.025), skin * 0.66)
    # eyes and brows
    iris = _mix(s[:, 11], (0.2, 0.36, 0.55), (0.28, 0.42, 0.25), (0.35, 0.22, 0.12), (0.15, 0.1, 0.08))
    open_ = between(s[:, 12], 0.062, 0.08) * (1 - 0.42 * is_["Narrow Eyes"]) * (1 - 0.15 * smile)
    eye, gaze = between(s[:, 13], 0.105, 0.135), between(p[:, 8], -0.03, 0.03)
    frame = _mix(p[:, 9], (0.08, 0.08, 0.1), (0.3, 0.16, 0.1), (0.5, 0.1, 0.1))
    for side in (-1.0, 1.0):
        x = x0 + side * apart
        white = a.ellipse(x, eye_y, eye, open_)
        a.paint(a.arc(x, eye_y - open_ * 0.6, eye * 1.15, 0.05, 0.03), shade * 0.75)
        a.paint(white, bright)
        a.paint(white * a.ellipse(x + gaze, eye_y, 0.058, 0.062), iris)
        a.paint(white * a.ellipse(x + gaze, eye_y, 0.028, 0.03), ink)
        brow_y, slope = eye_y - 0.17 - 0.02 * smile, side * between(s[:, 14], -0.02, 0.045)
        a.paint(a.arc(x, brow_y, eye * 1.35, -0.035, between(s[:, 15], 0.018, 0.04), slope), dark * 0.9)
        outer = a.ellipse(x, eye_y + 0.01, apart * 0.83, 0.16, 2.6)
        inner = a.ellipse(x, eye_y + 0.01, apart * 0.83 - 0.045, 0.118, 2.6)
        a.paint((outer - inner).clamp(0, 1), frame, is_["Eyeglasses"])
        a.paint(a.arc(x0 + side * wide * 0.95, eye_y, 0.12, 0, 0.03), frame, is_["Eyeglasses"])
    a.paint(a.arc(x0, eye_y, apart * 0.25, 0.02, 0.03), frame, is_["Eyeglasses"])
    # on top: bangs, then the hat
    top = y0 - tall * 0.82
    a.paint(a.ellipse(x0 * 0.2, top - 0.02, wide * 0.86, 0.2), hair)
    a.paint(a.ellipse(x0 * 0.3 - 0.06, top + 0.06, wide * 0.9, 0.27, 2.2), hair, is_["Bangs"])
    cap = _mix(p[:, 10], (0.7, 0.16, 0.16), (0.16, 0.28, 0.5), (0.2, 0.2, 0.22), (0.75, 0.6, 0.3))
    a.paint(a.ellipse(x0 * 0.3, top - 0.14, wide + 0.1, 0.4, 2.8), cap, is_["Wearing Hat"])
    a.paint(a.ellipse(x0 * 0.6, top + 0.2, wide + 0.24, 0.085, 3), cap * 0.7, is_["Wearing Hat"])

    # turned, scaled and shifted
    turn, zoom = between(p[:, 11], -math.pi / 22, math.pi / 22), between(p[:, 12], 0.97, 1.12)
    cos, sin = turn.cos() / zoom, turn.sin() / zoom
    dx, dy = between(p[:, 13], -0.06, 0.06), between(p[:, 14], -0.05, 0.05)
    theta = torch.stack([torch.stack([cos, sin, dx], 1), torch.stack([-sin, cos, dy], 1)], 1)
    grid = affine_grid(theta, list(a.pixels.shape), align_corners=False)
    faces = grid_sample(a.pixels, grid, padding_mode="border", align_corners=False)
    light, slant = _column(between(p[:, 15], 0.8, 1.08)), _column(between(p[:, 16], -0.18, 0.18))
    return faces.mul_((light + slant * a.x)[:, None]).clamp_(0, 1)
