"""How sure a share is that was counted in few samples."""

from math import sqrt

import numpy as np
import numpy.typing as npt

from pcapflow.anomalies.model import IntArray


def wilson(hits: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """The interval in which the share behind `hits` of `of` lies, between 0 and 1; with nothing counted, all of it.

    `z` is the number of standard deviations: 1.96 is right in 19 of 20 cases. Unlike the plain share plus or minus its
    deviation, the interval is of use with few samples and near 0 and 1. Source: E. B. Wilson, Probable Inference, the
    Law of Succession, and Statistical Inference, Journal of the American Statistical Association 22 (1927).
    """
    if of <= 0:
        return 0.0, 1.0
    share = hits / of
    spread = z * z / of
    middle = (share + spread / 2) / (1 + spread)
    reach = z * sqrt((share * (1 - share) + spread / 4) / of) / (1 + spread)
    return max(middle - reach, 0.0), min(middle + reach, 1.0)


def wilson_low(hits: IntArray, of: IntArray, z: float = 1.96) -> npt.NDArray[np.float64]:
    """The lower bounds of :func:`wilson` for whole columns, of which something was counted in each row."""
    share = hits / of
    spread = z * z / of
    reach = z * np.sqrt((share * (1 - share) + spread / 4) / of)
    low: npt.NDArray[np.float64] = np.maximum((share + spread / 2 - reach) / (1 + spread), 0.0)
    return low
