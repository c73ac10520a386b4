"""Chest radiograph phantoms: an offline source with known lungs and known lesions.

A phantom is drawn as an X-ray sees a chest. Every tissue adds its attenuation (a dimensionless line
integral, Beer-Lambert), detected intensity is ``exp(-attenuation)`` plus scatter and quantum noise,
and a film-like tone curve turns its logarithm into grey values. Positions are body coordinates: x
grows to the viewer's right (the patient's left), y downwards, both about -1..1 over the image.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from scipy import ndimage

from covidcxr.array_types import Grey, Mask, Reals
from covidcxr.data.tables import write_table
from covidcxr.errors import InputError
from covidcxr.files import atomic
from covidcxr.logs import progress
from covidcxr.seeding import generator

NORMAL, PNEUMONIA, COVID = "normal", "pneumonia", "COVID-19"
DIAGNOSES = (NORMAL, PNEUMONIA, COVID)
TIMELINE_PATIENT = "timeline"
TIMELINE_SEVERITY = {3: 0.3, 7: 0.6, 9: 0.9}
VISITS = (1, 2, 1, 1, 3, 1, 1)  # images of the first, second, ... patient of a diagnosis, repeated
VIEWS = ("AP", "AP", "AP", "AP Supine", "PA")  # sampled with equal chances
LICENSE = "CC0-1.0"

RIGHT, LEFT = -1, 1  # the patient's; sign of x
WATER = 3.0  # attenuation of the thickest soft tissue
FIELD = 1.3  # half side of the square, in body coordinates, that a patient's textures cover

# Lobe: side, centre (share of the chest's half width, y), radii of a consolidation at severity 1.
LOBES = {
    "right upper lobe": (RIGHT, (0.55, -0.32), (0.50, 0.36)),
    "right middle lobe": (RIGHT, (0.45, 0.18), (0.36, 0.26)),
    "right lower lobe": (RIGHT, (0.60, 0.33), (0.44, 0.36)),
    "left upper lobe": (LEFT, (0.60, -0.28), (0.42, 0.42)),
    "left lower lobe": (LEFT, (0.72, 0.33), (0.38, 0.36)),
}
HORIZONTAL_FISSURE = -0.02  # y, at half the chest's half width


@dataclass(frozen=True)
class Phantom:
    """A drawn radiograph.

    Attributes
    ----------
    image : uint8 array, shape (size, size)
        Grey values, bone bright.
    lung_mask : bool array, shape (size, size)
        Lungs as seen beside mediastinum and heart and above the diaphragm, with their lesions.
    lesion_mask : bool array, shape (size, size)
        Opacities inside the lungs, where their shape exceeds half its full strength; it does not
        depend on their contrast.
    zones : float array, shape (6,)
        Share of each zone that opacities cover, see `zone_shares`.
    """

    image: Grey
    lung_mask: Mask
    lesion_mask: Mask
    zones: Reals


@dataclass(frozen=True)
class Anatomy:
    """What stays the same in all images of a patient (body coordinates)."""

    apex: float  # y of the lungs' tops
    width: float  # half width of the rib cage
    domes: tuple[float, float]  # y of the right and left diaphragm dome
    heart: float  # heart width against the mean
    aorta: float  # prominence of the aortic knob
    fat: float  # soft tissue outside the rib cage
    breast: float  # attenuation of the breast shadows
    breast_at: tuple[float, float]
    rib_gap: float
    rib_slope: float
    rib_strength: float
    clavicle: float  # y of the lateral ends
    markings: float  # strength of vessels and hila
    gas: float  # stomach bubble
    vessels: Reals  # rows of x0, y0, x1, y1, width
    textures: Reals  # (3, n, n): coarse, middle and fine noise over the body


@dataclass(frozen=True)
class Visit:
    """What differs between the images of a patient. No value depends on the diagnosis."""

    day: int
    view: str
    angle: float  # radians in the image plane
    yaw: float  # the patient's turn about the long axis, as a shift of what lies in front
    shift: tuple[float, float]
    zoom: float
    inspiration: float  # y shift of the diaphragm
    exposure: float
    contrast: float
    noise: float
    scatter: float
    blur: float  # share of the image side
    margins: tuple[float, float, float, float]  # collimation, share of the side
    marker: tuple[str, float, float]
    cables: Reals  # (n, 4, 2) control points of lines lying on the chest
    noise_seed: int
    severity_drift: float


@dataclass(frozen=True)
class Lesions:
    """Opacities of a patient.

    Attributes
    ----------
    severity : float
        0..1: extent at the first image; 0 for normal patients.
    contrast : float
        0..1: share of the full density that is left after the source's difficulty.
    lobe : str
        Lobe of a pneumonia, a key of `LOBES`; empty for other diagnoses.
    patches : float array, shape (n, 6)
        Ground-glass patches of COVID-19: side, centre (share of the chest's half width, y), radius,
        height over width, severity from which on the patch exists.
    """

    severity: float
    contrast: float
    lobe: str
    patches: Reals


@dataclass(frozen=True)
class Patient:
    """A patient with everything that the images are rendered from."""

    patient_id: str
    diagnosis: str
    age: int
    sex: str
    anatomy: Anatomy
    lesions: Lesions
    visits: tuple[Visit, ...]


def sample_patient(
    seed: int, patient_id: str, diagnosis: str, *, visits: int = 1, difficulty: float = 0.5
) -> Patient:
    """Sample a patient.

    Anatomy and visits come from `seed` and `patient_id`, whatever the diagnosis: how an image was
    taken tells nothing about it.

    Parameters
    ----------
    seed : int
        Seed of the run.
    patient_id : str
        Names the patient's random streams; one that ends in `timeline` has images of days 3, 7
        and 9, view PA.
    diagnosis : str
        `normal`, `pneumonia` or `COVID-19`.
    visits : int
        Number of images.
    difficulty : float
        0..1; weakens lesions, more in some patients than in others, and adds noise to every image.

    Raises
    ------
    InputError
        If the diagnosis is unknown.
    """
    if diagnosis not in DIAGNOSES:
        raise InputError(
            f"a phantom cannot show {diagnosis!r}; under `patients` use {', '.join(DIAGNOSES)}"
        )
    rng = generator(seed, "phantom", patient_id)
    age = int(np.clip(rng.normal(55, 17), 18, 92))
    sex = str(rng.choice(["F", "M"]))
    anatomy = _sample_anatomy(rng, age, sex)
    lesions = _sample_lesions(
        generator(seed, "phantom", patient_id, "lesions"), diagnosis, difficulty
    )
    timeline = patient_id.endswith(TIMELINE_PATIENT)
    if timeline:
        days = list(TIMELINE_SEVERITY)
        # A plain case at any difficulty, so that the figure shows what changes over the days.
        lesions = replace(lesions, contrast=1 - 0.4 * difficulty)
    else:
        gaps = generator(seed, "phantom", patient_id, "days").integers(2, 7, visits)
        days = [int(day) for day in np.cumsum(gaps) - gaps[0]]
    views = ["PA"] if timeline else VIEWS
    taken = [
        _sample_visit(generator(seed, "phantom", patient_id, "visit", day), day, views, difficulty)
        for day in days
    ]
    return Patient(patient_id, diagnosis, age, sex, anatomy, lesions, tuple(taken))


def _sample_anatomy(rng: np.random.Generator, age: int, sex: str) -> Anatomy:
    female = sex == "F"
    width = rng.normal(0.77, 0.03)
    apex = rng.normal(-0.8, 0.03)
    right_dome = rng.normal(0.44, 0.05)
    return Anatomy(
        apex=apex,
        width=width,
        domes=(right_dome, right_dome + rng.normal(0.05, 0.025)),
        heart=rng.normal(0.95 + 0.002 * age, 0.09),
        aorta=rng.uniform(0.3, 0.8) + 0.008 * max(age - 40, 0),
        fat=rng.gamma(4.0, 0.03),
        breast=rng.uniform(0.1, 0.6) if female else rng.uniform(0.0, 0.15),
        breast_at=(rng.normal(0.47, 0.05), rng.normal(0.2, 0.1)),
        rib_gap=rng.normal(0.138, 0.006),
        rib_slope=rng.normal(0.25, 0.03),
        rib_strength=rng.uniform(0.7, 1.15) * (1.1 - 0.003 * max(age - 50, 0)),
        clavicle=rng.normal(-0.73, 0.035),
        markings=rng.uniform(0.6, 1.6),
        gas=rng.uniform(0.0, 0.8),
        vessels=np.concatenate([_sample_vessels(rng, side, width) for side in (RIGHT, LEFT)]),
        textures=np.stack([_noise(rng, 256, sigma) for sigma in (16, 6, 1.6)]),
    )


def _noise(rng: np.random.Generator, size: int, sigma: float) -> Reals:
    """Return Gaussian-correlated noise, shape (size, size), mean 0, standard deviation 1."""
    field = ndimage.gaussian_filter(rng.standard_normal((size, size)), sigma, mode="wrap")
    return (field - field.mean()) / field.std()


def _sample_vessels(rng: np.random.Generator, side: int, width: float) -> Reals:
    """Return a branching tree from the hilum outwards, rows of x0, y0, x1, y1, width."""
    hilum = np.array([0.16, 0.0 if side == RIGHT else -0.05])
    angles = np.radians(np.linspace(-75, 80, 11) + rng.normal(0, 6, 11))  # from lateral, downwards
    tips = [(hilum + rng.normal(0, 0.02, 2), a, rng.uniform(0.016, 0.03), 0) for a in angles]
    rows = []
    while tips:
        point, angle, thickness, age = tips.pop()
        if thickness < 0.004 or age > 18 or point[0] > width:
            continue
        end = point + 0.055 * np.array([np.cos(angle), np.sin(angle)])
        rows.append([side * point[0], point[1], side * end[0], end[1], thickness])
        if rng.random() < 0.42:
            spread = rng.uniform(0.25, 0.7)
            tips += [
                (end, angle + spread, thickness * 0.72, age + 1),
                (end, angle - spread * rng.uniform(0.3, 1), thickness * 0.8, age + 1),
            ]
        else:
            tips.append((end, angle + rng.normal(0, 0.2), thickness * 0.93, age + 1))
    return np.array(rows)


def _sample_lesions(rng: np.random.Generator, diagnosis: str, difficulty: float) -> Lesions:
    contrast = max(1 - difficulty * rng.uniform(0.4, 1.2), 0.05)
    no_patches = np.empty((0, 6))
    if diagnosis == NORMAL:
        return Lesions(0.0, contrast, "", no_patches)
    if diagnosis == PNEUMONIA:
        lobe = str(rng.choice(list(LOBES)))
        return Lesions(rng.uniform(0.3, 1.0), contrast, lobe, no_patches)
    patches = [
        (
            side,
            rng.uniform(0.68, 0.95),
            np.clip(rng.normal(0.3, 0.17), -0.15, 0.55),
            rng.uniform(0.26, 0.4),
            rng.uniform(0.9, 1.7),
            onset,
        )
        for side in (RIGHT, LEFT)
        for onset in (0.0, *rng.uniform(0.1, 0.75, 4))
    ]
    return Lesions(0.15 + 0.85 * rng.beta(1.7, 1.7), contrast, "", np.array(patches))


def _sample_visit(
    rng: np.random.Generator, day: int, views: Sequence[str], difficulty: float
) -> Visit:
    view = str(rng.choice(views))
    cables = rng.integers(0, 4) if view != "PA" else 0
    return Visit(
        day=day,
        view=view,
        angle=np.radians(rng.normal(0, 2.5)),
        yaw=rng.normal(0, 0.025),
        shift=(rng.normal(0, 0.03), rng.normal(0.02, 0.04)),
        zoom=rng.normal(0.98, 0.045),
        inspiration=rng.normal(0.0 if view == "PA" else -0.05, 0.035),
        exposure=rng.normal(0, 0.16),
        contrast=rng.normal(1.0, 0.1),
        noise=rng.uniform(0.004, 0.012) * (1 + difficulty),
        scatter=rng.uniform(0.1, 0.3),
        blur=rng.uniform(0.0015, 0.0045),
        margins=tuple(np.maximum(rng.normal(-0.02, 0.03, 4), 0)),
        marker=(str(rng.choice(["R", "L", ""])), rng.uniform(0.8, 0.92), rng.uniform(-0.85, -0.3)),
        cables=rng.uniform(-0.9, 0.9, (cables, 4, 2)),
        noise_seed=int(rng.integers(2**31)),
        severity_drift=rng.normal(0, 0.12),
    )


def render(patient: Patient, visit: Visit, size: int) -> Phantom:
    """Render one image of a patient.

    Parameters
    ----------
    patient, visit
        From `sample_patient`.
    size : int
        Side of the image in pixels.
    """
    pose = _Pose(visit, size)
    anatomy = patient.anatomy
    x, y = pose.grid()
    chest = _chest(anatomy, visit, x, y)
    shape = _lesion_shape(patient, visit, x, y, chest)
    vessels = _vessels(anatomy, pose)
    opacity = _lesion_opacity(patient.lesions, anatomy, x, y, shape)
    if patient.diagnosis == PNEUMONIA:  # air bronchograms: airways run with the vessels
        opacity *= 1 - 0.5 * ndimage.shift(vessels, (0.012 * size, 0.008 * size), order=1)
    vessels *= 1 - 0.8 * opacity

    bones = _bones(anatomy, visit, pose, x, y, chest)
    air = chest.air * (1 - opacity)
    attenuation = chest.body - air + bones + 0.34 * anatomy.markings * vessels * chest.visible
    attenuation += _soft_tissue(anatomy, visit, x, y, chest) + _cables(visit, pose)
    attenuation += 0.03 * _texture(anatomy, 2, x, y) * chest.visible
    attenuation = np.maximum(attenuation, 0)

    lung_mask = chest.visible > 0.5
    lesion_mask = (shape > 0.5) & lung_mask
    zones = zone_shares(lung_mask, lesion_mask, x > 0)
    return Phantom(_expose(attenuation, visit, pose), lung_mask, lesion_mask, zones)


def zone_shares(lung_mask: Mask, lesion_mask: Mask, left: Mask) -> Reals:
    """Return the share of each zone of the lungs that lesions cover, shape (6,).

    Zones are thirds of a lung's height: upper, middle, lower of the patient's right lung, then of
    the left, whose side of the body `left` marks.
    """
    shares = []
    for side in (~left, left):
        lung = lung_mask & side
        rows = np.flatnonzero(lung.any(axis=1))
        level = (np.arange(len(lung)) - rows[0]) * 3 // (rows[-1] + 1 - rows[0])
        shares += [lesion_mask[lung & (level == k)[:, None]].mean() for k in range(3)]
    return np.array(shares)


class _Pose:
    """Where the body lies on the image: rotation, zoom and shift."""

    def __init__(self, visit: Visit, size: int) -> None:
        self.size = size
        c, s = np.cos(visit.angle), np.sin(visit.angle)
        self.forward = visit.zoom * np.array([[c, -s], [s, c]])
        self.shift = np.array(visit.shift)

    def grid(self) -> tuple[Reals, Reals]:
        """Return body coordinates x and y of the pixel centres, each (size, size)."""
        axis = (np.arange(self.size) + 0.5) / self.size * 2 - 1
        u, v = np.meshgrid(axis - self.shift[0], axis - self.shift[1])
        inverse = np.linalg.inv(self.forward)
        return inverse[0, 0] * u + inverse[0, 1] * v, inverse[1, 0] * u + inverse[1, 1] * v

    def draw(self, segments: Reals, sigma: float = 0.0) -> Reals:
        """Draw line segments with round ends; returns (size, size), 0..1.

        `segments` has rows of x0, y0, x1, y1, width, strength in body coordinates; later rows paint
        over earlier ones. They are drawn at double size and averaged down, for smooth edges, then
        blurred by `sigma`, a share of the image side.
        """
        canvas = np.zeros((2 * self.size, 2 * self.size), np.uint8)
        ends = segments[:, :4].reshape(-1, 2, 2) @ self.forward.T + self.shift
        pixels = np.round((ends + 1) * self.size * 16).astype(int).tolist()  # 4 fractional bits
        wanted = segments[:, 4] * self.size * np.sqrt(np.linalg.det(self.forward))
        thickness = np.maximum(np.round(wanted), 1)
        strength = segments[:, 5] * np.minimum(
            wanted / thickness, 1
        )  # thinner than a pixel: fainter
        values = (255 * np.clip(strength, 0, 1)).tolist()
        for (start, end), width, value in zip(
            pixels, thickness.astype(int).tolist(), values, strict=True
        ):
            cv2.line(canvas, start, end, value, width, cv2.LINE_AA, shift=4)
        drawn = cv2.resize(canvas, (self.size, self.size), interpolation=cv2.INTER_AREA) / 255
        return cv2.GaussianBlur(drawn, (0, 0), sigma * self.size) if sigma else drawn


@dataclass(frozen=True)
class _Chest:
    """Fields over the image, each (size, size)."""

    body: Reals  # attenuation of a body without lungs
    visible: Reals  # 0..1: lung seen beside the mediastinum and above the diaphragm
    air: Reals  # attenuation that the lungs take away
    across: Reals  # distance from the midline over the chest's half width
    above: Reals  # 0..1: above the diaphragm
    inside: Reals  # 0..1: within the rib cage, mediastinum included


def _edge(distance: Reals, softness: float) -> Reals:
    """Return a smooth step, 0 for distance << 0 and 1 for distance >> 0."""
    return 1 / (1 + np.exp(-np.clip(distance / softness, -30, 30)))


def _half_width(anatomy: Anatomy, y: Reals) -> Reals:
    """Return the half width of the lungs at height `y`."""
    depth = np.clip((y - anatomy.apex) / 1.15, 0, 1)
    return 0.3 + (anatomy.width - 0.3) * (1 - (1 - depth) ** 2.6) ** 0.72


def _mediastinum(anatomy: Anatomy, y: Reals, side: int) -> Reals:
    """Return the half width of mediastinum and heart at height `y` on one side."""
    h, a = anatomy.heart, anatomy.aorta
    knots = [-1.0, -0.62, -0.42, -0.3, -0.18, -0.05, 0.08, 0.22, 0.36, 0.5, 0.8]
    widths = {
        RIGHT: [0.12, 0.14, 0.155, 0.155, 0.15, 0.17, 0.21 * h, 0.235 * h, 0.22 * h, 0.18, 0.14],
        LEFT: [0.12, 0.13, 0.15 + 0.05 * a, 0.16 + 0.07 * a, 0.165, 0.2]
        + [share * h for share in (0.26, 0.35, 0.43, 0.47, 0.4)],
    }[side]
    fine = np.linspace(-1.6, 1.6, 641)
    smooth = ndimage.gaussian_filter1d(np.interp(fine, knots, widths), 8, mode="nearest")
    return np.interp(y, fine, smooth)


def _dome(anatomy: Anatomy, visit: Visit, q: Reals, side: int) -> Reals:
    """Return the height of the diaphragm at distance `q` from the midline on one side."""
    top = anatomy.domes[0 if side == RIGHT else 1] + visit.inspiration
    reach = (q - 0.36) / np.where(q > 0.36, anatomy.width - 0.36, 0.55)
    return top + np.where(q > 0.36, 0.27, 0.1) * np.abs(reach) ** 2.2


def _chest(anatomy: Anatomy, visit: Visit, x: Reals, y: Reals) -> _Chest:
    side = np.where(x < 0, RIGHT, LEFT)
    q = np.abs(x)
    width = _half_width(anatomy, y)
    half_body = _body_half_width(anatomy, y)
    thickness = np.sqrt(np.clip(1 - (q / half_body) ** 2, 0, 1))
    body = (
        WATER * thickness * np.interp(y, [-1.0, -0.7, -0.3, 0.6, 1.2], [0.5, 0.72, 0.9, 1.0, 1.1])
    )

    in_front = np.where(x - visit.yaw < 0, RIGHT, LEFT)
    border, dome = np.empty_like(x), np.empty_like(x)
    for s in (RIGHT, LEFT):
        border = np.where(in_front == s, _mediastinum(anatomy, y, s), border)
        dome = np.where(side == s, _dome(anatomy, visit, q, s), dome)
    beside = np.abs(x - visit.yaw) - border
    top = anatomy.apex + 0.9 * np.abs(q - 0.31) ** 1.6
    inside = _edge(width - q, 0.012) * _edge(y - top, 0.014)
    above = _edge(dome - y, 0.009)
    visible = inside * above * _edge(beside, 0.009)
    # Lung also lies behind the heart and, in the recess, behind the domes.
    behind_heart = np.exp(-np.maximum(-beside, 0) / 0.09)
    behind_dome = 0.22 * np.exp(-np.maximum(y - dome, 0) / 0.16)
    present = inside * (above + (1 - above) * behind_dome) * (0.12 + 0.88 * behind_heart)
    taper = np.sqrt(np.clip(1 - (q / (width + 0.05)) ** 4, 0, 1))
    tilt = 1 - 1.2 * visit.yaw * np.sign(x)  # the lung turned away looks darker
    air = 0.78 * body * present * (0.35 + 0.65 * taper) * tilt
    return _Chest(body, visible, air, q / np.maximum(width, 1e-6), above, inside)


def _body_half_width(anatomy: Anatomy, y: Reals) -> Reals:
    knots = [-1.3, -1.05, -0.92, -0.8, -0.66, -0.5, -0.3, -0.1, 0.3, 0.8, 1.3]
    trunk = anatomy.width + 0.1 + anatomy.fat
    widths = [0.27, 0.28, 0.36, 0.75, 1.12, 1.25, 1.2, trunk + 0.05, trunk, trunk + 0.02, trunk]
    fine = np.linspace(-1.6, 1.6, 321)
    smooth = ndimage.gaussian_filter1d(np.interp(fine, knots, widths), 5, mode="nearest")
    return np.interp(y, fine, smooth)


def _bones(anatomy: Anatomy, visit: Visit, pose: _Pose, x: Reals, y: Reals, chest: _Chest) -> Reals:
    """Return the attenuation of spine, ribs, clavicles and shoulder blades."""
    posterior, anterior, clavicles, blades = [], [], [], []
    for index in range(10):
        for side in (RIGHT, LEFT):
            back, front = _rib(anatomy, visit, index, side)
            posterior.append(back)
            anterior.append(front)
    for side in (RIGHT, LEFT):
        t = np.linspace(0, 1, 24)[:, None]
        lateral = np.array([side * 0.78, anatomy.clavicle - 0.03])
        medial = np.array([side * 0.1 + visit.yaw, anatomy.clavicle + 0.16])
        path = medial + (lateral - medial) * t
        path = path + np.hstack([np.zeros_like(t), -0.035 * np.sin(2 * np.pi * t)])
        width = 0.05 + 0.018 * np.cos(2 * np.pi * t[:, 0])
        clavicles.append(_cortical(path, width, 0.9))
        reach = 0.12 if visit.view == "PA" else 0.0
        border = np.array(
            [[0.72, -0.5], [0.7, -0.3], [0.68, -0.1], [0.72, 0.08], [0.8, 0.05], [0.98, -0.45]]
        )
        border = (border + np.array([reach, 0])) * [side, 1]
        blades.append(_line(_smooth(border), 0.026, 0.55))
        head = np.array([[0.98, -0.66], [1.0, -0.64], [1.12, -0.5], [1.3, -0.2]]) * [side, 1]
        blades.append(_cortical(_smooth(head), 0.19, 0.95))
    strength = anatomy.rib_strength
    bones = strength * (
        0.5 * pose.draw(np.vstack(posterior)) + 0.34 * pose.draw(np.vstack(anterior))
    )
    bones *= 0.3 + 0.7 * chest.above  # the abdomen's scatter drowns what lies below
    bones += 0.62 * strength * pose.draw(np.vstack(clavicles)) + 0.5 * pose.draw(
        np.vstack(blades), 0.003
    )
    return bones + _spine(anatomy, x, y)


def _smooth(points: Reals, count: int = 60) -> Reals:
    """Return `count` points of a Catmull-Rom spline through `points` (n, 2)."""
    padded = np.vstack([2 * points[0] - points[1], points, 2 * points[-1] - points[-2]])
    t = np.linspace(0, len(points) - 1 - 1e-9, count)
    i = t.astype(int)
    f = (t - i)[:, None]
    a, b, c, d = (padded[i + k] for k in range(4))
    return b + 0.5 * f * (c - a + f * (2 * a - 5 * b + 4 * c - d + f * (3 * (b - c) + d - a)))


def _line(points: Reals, widths: Reals | float, strengths: Reals | float) -> Reals:
    """Return a polyline as the segments that `_Pose.draw` takes."""
    ends = np.hstack([points[:-1], points[1:]])
    across = [np.broadcast_to(values, len(points))[1:, None] for values in (widths, strengths)]
    return np.hstack([ends, *across])


def _cortical(points: Reals, widths: Reals | float, strengths: Reals | float) -> Reals:
    """Return a bone: a line and its weaker marrow inside, so that both edges show a cortex."""
    marrow = _line(points, widths - 0.016, 0.68 * np.asarray(strengths))
    return np.vstack([_line(points, widths, strengths), marrow])


def _rib(anatomy: Anatomy, visit: Visit, index: int, side: int) -> tuple[Reals, Reals]:
    """Return the posterior and anterior arc of a rib: a tilted ring seen from the front."""
    lateral = anatomy.apex - 0.06 + anatomy.rib_gap * index + anatomy.rib_slope
    rx = float(_half_width(anatomy, np.array(lateral))) + 0.015
    angle = np.radians(np.linspace(86, 0, 32))
    drop = anatomy.rib_slope * (0.75 + 0.05 * index)
    back = np.stack([side * rx * np.cos(angle), lateral - drop * np.sin(angle) ** 1.6], 1)
    thin = 0.03 + 0.016 * np.sin(angle)
    front_angle = np.radians(np.linspace(0, 62, 28))
    fall = 0.16 + 0.022 * index
    front = np.stack(
        [side * rx * np.cos(front_angle) + visit.yaw, lateral + fall * np.sin(front_angle)], 1
    )
    front[:, 0] -= visit.yaw * np.cos(front_angle)
    fade = np.clip((np.radians(62) - front_angle) / 0.35, 0, 1) * min(1.0, 0.35 * (9 - index))
    return (
        _cortical(back, thin, 0.85 - 0.5 * np.sin(angle) ** 6),
        _cortical(front, 0.032 + 0.018 * np.sin(front_angle), 0.85 * fade),
    )


def _spine(anatomy: Anatomy, x: Reals, y: Reals) -> Reals:
    phase = (y - anatomy.apex) / (anatomy.rib_gap * 0.95) * 2 * np.pi
    body = 0.5 + 0.5 * np.tanh(3 * np.cos(phase) + 1.8)
    width = 0.082 + 0.012 * y + 0.006 * np.cos(phase)
    column = _edge(width - np.abs(x), 0.006)
    process = np.exp(-((x / 0.018) ** 2)) * _edge(np.cos(phase + 1.2) - 0.2, 0.2)
    pedicle = np.exp(-(((np.abs(x) - 0.055) / 0.016) ** 2)) * _edge(np.cos(phase) - 0.5, 0.2)
    return column * (0.16 + 0.16 * body + 0.12 * process + 0.1 * pedicle)


def _vessels(anatomy: Anatomy, pose: _Pose) -> Reals:
    thin_first = anatomy.vessels[np.argsort(anatomy.vessels[:, 4])]
    strength = 0.45 + 22 * thin_first[:, 4:]
    return pose.draw(np.hstack([thin_first, strength]), 0.002)


def _soft_tissue(anatomy: Anatomy, visit: Visit, x: Reals, y: Reals, chest: _Chest) -> Reals:
    """Return hila, breasts, trachea and stomach gas as attenuation, the last two negative."""
    q = np.abs(x)
    level = np.where(x < 0, 0.0, -0.05)
    hila = np.exp(-(((q - 0.17) / 0.07) ** 2) - ((y - level) / 0.13) ** 2)
    bx, by = anatomy.breast_at
    breast = _edge(1 - np.hypot((q - bx) / 0.36, (y - by - 0.06) / 0.32), 0.05)
    breast = breast * _edge(y - by + 0.2, 0.12)
    centre = visit.yaw * 0.6 + 0.012 * np.sin(3 * y)
    trachea = _edge(0.042 - np.abs(x - centre), 0.009) * _edge(-0.24 - y, 0.03)
    for side, slope in ((RIGHT, 0.75), (LEFT, 1.1)):
        reach = side * (x - centre)
        bronchus = _edge(0.03 - np.abs(y + 0.26 - reach * slope * 0.8), 0.009)
        trachea = np.maximum(
            trachea, 0.4 * bronchus * _edge(reach, 0.01) * _edge(0.17 - reach, 0.02)
        )
    dome = anatomy.domes[1] + visit.inspiration
    gas = _edge(1 - np.hypot((x - 0.42) / 0.2, (y - dome - 0.16) / 0.11), 0.12)
    return (
        0.3 * anatomy.markings * hila * (1 + 0.4 * _texture(anatomy, 1, x, y)) * chest.visible
        + anatomy.breast * breast
        - 0.55 * trachea * np.minimum(chest.body / WATER, 1)
        - anatomy.gas * gas
        + 0.05 * _texture(anatomy, 1, x, y) * (1 - chest.visible) * (chest.body > 0)
    )


def _texture(anatomy: Anatomy, layer: int, x: Reals, y: Reals) -> Reals:
    """Return a patient's noise field at body coordinates."""
    field = anatomy.textures[layer].astype(np.float32)
    scale = (len(field) - 1) / (2 * FIELD)
    columns, rows = (((axis + FIELD) * scale).astype(np.float32) for axis in (x, y))
    border = cv2.BORDER_REFLECT
    return cv2.remap(field, columns, rows, cv2.INTER_CUBIC, borderMode=border).astype(float)


def _cables(visit: Visit, pose: _Pose) -> Reals:
    lines = [_line(_smooth(points), 0.009, 0.5) for points in visit.cables]
    ends = [_line(_circle(points[-1], 0.022), 0.02, 1.0) for points in visit.cables]
    return 0.6 * pose.draw(np.vstack([np.empty((0, 6)), *lines, *ends]))


def _circle(centre: Reals, radius: float) -> Reals:
    angle = np.linspace(0, 2 * np.pi, 24)
    return centre + radius * np.stack([np.cos(angle), np.sin(angle)], 1)


def severity(patient: Patient, visit: Visit) -> float:
    """Return the severity on the day of a visit, 0..1; 0 for normal patients."""
    if patient.diagnosis == NORMAL:
        return 0.0
    if patient.patient_id.endswith(TIMELINE_PATIENT):
        return TIMELINE_SEVERITY[visit.day]
    drift = visit.severity_drift if visit.day else 0.0
    return float(np.clip(patient.lesions.severity + drift, 0.15, 1))


def _lesion_shape(patient: Patient, visit: Visit, x: Reals, y: Reals, chest: _Chest) -> Reals:
    """Return the extent of the lesions, 0..1, within the rib cage."""
    if patient.diagnosis == NORMAL:
        return np.zeros_like(x)
    shape = _consolidation if patient.diagnosis == PNEUMONIA else _ground_glass
    return chest.inside * shape(patient, severity(patient, visit), x, y, chest)


def _consolidation(patient: Patient, extent: float, x: Reals, y: Reals, chest: _Chest) -> Reals:
    """Return a lobar pneumonia: soft within the lobe, sharp where it meets the fissure."""
    anatomy, lobe = patient.anatomy, patient.lesions.lobe
    side, (across, level), radii = LOBES[lobe]
    middle = side * across * anatomy.width
    distance = np.hypot((x - middle) / radii[0], (y - level) / radii[1]) / (0.45 + 0.55 * extent)
    rough = 0.16 * _texture(anatomy, 0, x, y) + 0.1 * _texture(anatomy, 1, x, y)
    shape = _edge(1 - distance + rough, 0.11) * (x * side > 0)
    below = y - HORIZONTAL_FISSURE - 0.08 * (chest.across - 0.5)
    if lobe == "right upper lobe":
        return shape * _edge(-below, 0.012)
    if lobe == "right middle lobe":
        return shape * _edge(below, 0.012)
    return shape


def _ground_glass(patient: Patient, extent: float, x: Reals, y: Reals, chest: _Chest) -> Reals:
    """Return patches that appear and grow with the severity, in the periphery."""
    anatomy = patient.anatomy
    rough = 0.24 * _texture(anatomy, 0, x, y) + 0.16 * _texture(anatomy, 1, x, y)
    clear = np.ones_like(x)
    for side, across, level, radius, aspect, onset in patient.lesions.patches:
        if extent < onset:
            continue
        reach = radius * (0.35 + 0.65 * np.sqrt((extent - onset) / (1 - onset)))
        middle = side * across * _half_width(anatomy, np.array(level))
        distance = np.hypot(x - middle, (y - level) / aspect) / reach
        clear *= 1 - _edge(1 - distance + rough, 0.15) * (x * side > 0)
    return (1 - clear) * _edge(chest.across - 0.48 + 0.25 * rough, 0.08)


def _lesion_opacity(lesions: Lesions, anatomy: Anatomy, x: Reals, y: Reals, shape: Reals) -> Reals:
    """Return the share of lung air that a lesion replaces, 0..1."""
    density, streaks = (0.95, (0.0, 0.1, 0.07)) if lesions.lobe else (0.64, (0.15, 0.12, 0.1))
    patchy = 1 + sum(s * _texture(anatomy, layer, x, y) for layer, s in enumerate(streaks))
    return np.clip(lesions.contrast * density * shape * patchy, 0, 0.95)


def _expose(attenuation: Reals, visit: Visit, pose: _Pose) -> Grey:
    """Return grey values of an attenuation field: scatter, quantum noise, blur, tone curve."""
    size = pose.size
    rng = np.random.default_rng(visit.noise_seed)
    sharp = cv2.GaussianBlur(attenuation, (0, 0), max(visit.blur * size, 0.3))
    primary = np.exp(-sharp)
    small = cv2.resize(primary, (64, 64), interpolation=cv2.INTER_AREA)
    veil = cv2.resize(
        cv2.GaussianBlur(small, (0, 0), 7), (size, size), interpolation=cv2.INTER_LINEAR
    )
    detected = (1 - visit.scatter) * primary + visit.scatter * np.minimum(veil, 0.3)
    density = -np.log(detected)
    grain = ndimage.gaussian_filter(rng.standard_normal((size, size)), 0.6) / 0.43
    density += visit.noise * grain * np.exp(np.minimum(density, 3.5) / 2)
    tone = 1 / (1 + np.exp(-1.75 * visit.contrast * (density - 1.45 - visit.exposure)))
    floor = 1 / (1 + np.exp(1.75 * visit.contrast * (1.45 + visit.exposure)))
    image = (tone - floor) / (1 - floor) * 250
    return _collimate(np.clip(np.round(image), 0, 255).astype(np.uint8), visit)


def _collimate(image: Grey, visit: Visit) -> Grey:
    """Return the image with a side marker and a black border outside the collimated field."""
    size = len(image)
    text, across, down = visit.marker
    left, right, top, bottom = (round(margin * size) for margin in visit.margins)
    framed = np.zeros_like(image)
    framed[top : size - bottom, left : size - right] = image[
        top : size - bottom, left : size - right
    ]
    if text:
        at = (int((1 - across if text == "R" else across) * size), int((down + 1) / 2 * size))
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(framed, text, at, font, size / 450, 240, 1, cv2.LINE_AA)
    return framed


def stamp(image: Grey, mark: str) -> Grey:
    """Return the image with white text in its upper left corner, as a ward stamps its images.

    A shortcut that is planted: it tells the source and nothing of the lungs.
    """
    size = len(image)
    font, at = cv2.FONT_HERSHEY_SIMPLEX, (round(0.03 * size), round(0.1 * size))
    stamped = image.copy()
    cv2.putText(stamped, mark, at, font, size / 300, 255, max(size // 96, 1), cv2.LINE_AA)
    return stamped


def _patients(
    patients: Mapping[str, int], difficulty: float, mark: str, seed: int
) -> Iterator[Patient]:
    """Yield every patient, the timeline's last; one holds textures of 1.5 MB."""
    prefix = f"{mark.lower()}-" if mark else ""
    for diagnosis, count in patients.items():
        for index in range(count):
            patient_id = f"{prefix}{diagnosis.lower()}-{index:03d}"
            visits = VISITS[index % len(VISITS)]
            yield sample_patient(seed, patient_id, diagnosis, visits=visits, difficulty=difficulty)
    yield sample_patient(seed, prefix + TIMELINE_PATIENT, COVID, difficulty=difficulty)


def run(folder: str | Path, *, settings: Mapping[str, Any], seed: int) -> None:
    """Write a collection of phantoms: images, masks and their table.

    Parameters
    ----------
    folder
        Folder to write. `metadata.csv`, one row an image: `filename` (in `images`), `patient_id`,
        `diagnosis`, `view`, `day`, `age`, `sex`, `subtype` (the lobe of a pneumonia), `severity`
        (0..1), `extent` (0..6: the sum of `zone_1`... `zone_6`, see `zone_shares`), `license`.
        `images/<stem>.png`, `images/masks/<stem>_lung.png` and `images/masks/<stem>_lesion.png`
        (0 or 255), all 8-bit grayscale.
    settings
        The source's entry in the config: `patients` of each diagnosis (patient `timeline`,
        COVID-19, three days, comes on top); `image_size`, the side in pixels; `difficulty`: 0 shows
        every lesion plainly, 1 buries most; `mark`: see `stamp`; patient ids begin with it.
    seed
        Seed of the run.

    Raises
    ------
    InputError
        If a diagnosis is none of `DIAGNOSES`.
    """
    rows = []
    mark = settings["mark"]
    patients = progress(
        _patients(settings["patients"], settings["difficulty"], mark, seed),
        total=sum(settings["patients"].values()) + 1,
        desc="phantoms",
        unit="patient",
    )
    with atomic(folder) as temporary:
        masks = temporary / "images/masks"
        masks.mkdir(parents=True)
        for patient, visit in ((one, visit) for one in patients for visit in one.visits):
            phantom = render(patient, visit, settings["image_size"])
            stem = f"{patient.patient_id}-day{visit.day:02d}"
            for path, pixels in (
                (masks.parent / f"{stem}.png", stamp(phantom.image, mark)),
                (masks / f"{stem}_lung.png", phantom.lung_mask.astype(np.uint8) * 255),
                (masks / f"{stem}_lesion.png", phantom.lesion_mask.astype(np.uint8) * 255),
            ):
                cv2.imwrite(str(path), pixels)
            rows.append(
                {
                    "filename": f"{stem}.png",
                    "patient_id": patient.patient_id,
                    "diagnosis": patient.diagnosis,
                    "view": visit.view,
                    "day": visit.day,
                    "age": patient.age,
                    "sex": patient.sex,
                    "subtype": patient.lesions.lobe,
                    "severity": round(severity(patient, visit), 3),
                    "extent": round(float(phantom.zones.sum()), 3),
                    **{f"zone_{k + 1}": round(float(v), 3) for k, v in enumerate(phantom.zones)},
                    "license": LICENSE,
                }
            )
        write_table(pd.DataFrame(rows), temporary / "metadata.csv")
