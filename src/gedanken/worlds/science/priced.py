"""What the experiments of a measured table cost in reagents.

The C-N coupling of aniline (Baumgartner, Dennis, White, Buchwald and Jensen 2019, Org. Process Res. Dev. 23, 1594), in
droplets of 40 microlitres. Prices a millimole as collected for Summit (Felton, Rittig and Lapkin 2021,
Chemistry-Methods 1, 116). Most of it is the triflate, and a catalyst or a base can double it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from gedanken.worlds.parameters import Design

_TRIFLATE = 0.91 * 0.040
"""mmol in a droplet; everything else is counted in equivalents of it."""
_TRIFLATE_PRICE, _ANILINE_PRICE = 5.91, 0.01
"""USD a mmol, here and below."""
_ANILINE = 1.6
_CATALYST = {"tBuXPhos": (0.0095, 94.08), "tBuBrettPhos": (0.0094, 182.85), "AlPhos": (0.0094, 594.18)}
"""Equivalents, and price."""
_BASE = {"DBU": 0.03, "BTMG": 1.2, "TMG": 0.001, "TEA": 0.01}


def aniline_coupling(design: Design) -> Mapping[str, int]:
    """One of `experiments`, and its reagents in `micro_usd`."""
    equivalents, catalyst = _CATALYST[str(design["catalyst"])]
    usd = _TRIFLATE * (
        _TRIFLATE_PRICE
        + _ANILINE * _ANILINE_PRICE
        + equivalents * catalyst
        + float(design["base_equivalents"]) * _BASE[str(design["base"])]
    )
    return {"experiments": 1, "micro_usd": math.ceil(1e6 * usd)}


PRICES: Mapping[str, Callable[[Design], Mapping[str, int]]] = {"baumgartner_aniline": aniline_coupling}
"""By the name of the table."""
