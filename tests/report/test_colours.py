"""State colours stay apart, for eyes of every kind, on a light and on a dark page."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest

from pcapflow.report.census_chart import STACK
from pcapflow.report.colours import STATE_LOOKS

# Machado, Oliveira, Fernandes 2009: what a person without one kind of cone sees, in linear RGB.
EYES = {
    "all cones": np.eye(3),
    "no red": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "no green": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "no blue": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
_Vector = npt.NDArray[np.float64]
_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def _linear(colour: str) -> _Vector:
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def _lab(linear: _Vector) -> _Vector:
    xyz = _XYZ @ np.clip(linear, 0, 1) / np.array([0.9505, 1, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def _contrast(one: str, other: str) -> float:
    luminances = sorted(float(_XYZ[1] @ _linear(colour)) for colour in (one, other))
    return (luminances[1] + 0.05) / (luminances[0] + 0.05)


@pytest.mark.parametrize("page", ["light", "dark"])
@pytest.mark.parametrize("eye", EYES)
def test_no_two_states_that_are_counted_look_alike(page: str, eye: str) -> None:
    tones = {state: _lab(EYES[eye] @ _linear(getattr(STATE_LOOKS[state], page))) for state in STACK}

    nearest = min(float(np.linalg.norm(tones[a] - tones[b])) for a, b in itertools.combinations(tones, 2))

    print(f"{page}, {eye}: nearest pair differs by {nearest:.1f}")
    assert nearest >= 17  # about 2 can just be told apart side by side


@pytest.mark.parametrize("page", ["light", "dark"])
def test_a_letter_can_be_read_on_its_colour(page: str) -> None:
    contrasts = {look.name: _contrast(getattr(look, page), getattr(look, f"ink_{page}")) for look in STATE_LOOKS}

    assert {name: round(value, 1) for name, value in contrasts.items() if value < 3.5} == {}


def test_every_state_has_a_letter_of_its_own() -> None:
    letters = [look.letter for look in STATE_LOOKS]

    assert len(set(letters)) == len(letters)
