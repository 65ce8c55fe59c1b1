"""Agreement beyond chance, of tables of two coders' classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ma2mi.evaluation.statistics import Floats

#: Rounds of iterative proportional fitting, as in ELAN's implementation (GlobalCKappa).
IPF_ROUNDS = 20


def kappa_of(tables: ArrayLike) -> Floats:
    """Cohen's kappa of tables [..., C, C]; NaN where chance alone would agree fully."""
    tables = np.asarray(tables, dtype=np.float64)
    total = tables.sum(axis=(-2, -1))
    observed = np.trace(tables, axis1=-2, axis2=-1)
    chance = (tables.sum(axis=-1) * tables.sum(axis=-2)).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((observed * total - chance) / (total**2 - chance))


def alpha_of(tables: ArrayLike) -> Floats:
    """Krippendorff's nominal alpha of two coders without gaps, from tables [..., C, C].

    NaN where one class alone occurs.
    """
    tables = np.asarray(tables, dtype=np.float64)
    return alpha_of_coincidences(tables + np.swapaxes(tables, -1, -2))


def alpha_of_coincidences(tables: ArrayLike) -> Floats:
    """Krippendorff's nominal alpha from coincidences of values within a unit, [..., C, C].

    1 - (n - 1) D_o / (n^2 - sum n_c^2), with n values of all coders together (Krippendorff,
    "Computing Krippendorff's alpha-reliability", 2011). NaN where one class alone occurs.
    """
    tables = np.asarray(tables, dtype=np.float64)
    counts = tables.sum(axis=-1)
    n = counts.sum(axis=-1)
    differ = n - np.trace(tables, axis1=-2, axis2=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(1 - (n - 1) * differ / (n**2 - np.square(counts).sum(axis=-1)))


def modified_kappa(tables: ArrayLike) -> Floats:
    """Kappa with the events that only one coder marked: ELAN's "kappa_ipf".

    After Holle and Rein, "EasyDIAg", Behavior Research Methods 47 (2015): the last row and column
    hold events of one coder alone. An event of both counts twice, once for each coder. What neither
    marked is no event, so the last cell stays empty, and chance is what iterative proportional
    fitting gives under the same margins with that cell 0.

    Args:
        tables: [..., C + 1, C + 1].

    Returns:
        [...]; NaN where chance alone would agree fully.
    """
    tables = np.array(tables, dtype=np.float64)
    tables[..., :-1, :-1] *= 2
    rows, columns = tables.sum(axis=-1, keepdims=True), tables.sum(axis=-2, keepdims=True)
    fitted = np.ones_like(tables)
    fitted[..., -1, -1] = 0
    for _ in range(IPF_ROUNDS):
        fitted *= _ratio(rows, fitted.sum(axis=-1, keepdims=True))
        fitted *= _ratio(columns, fitted.sum(axis=-2, keepdims=True))
    total = tables.sum(axis=(-2, -1))
    observed = np.trace(tables, axis1=-2, axis2=-1)
    chance = np.trace(fitted, axis1=-2, axis2=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((observed - chance) / (total - chance))


def _ratio(wanted: Floats, reached: Floats) -> Floats:
    return np.divide(wanted, reached, out=np.zeros_like(reached), where=reached > 0)


def reliability_of(tables: ArrayLike) -> Floats:
    """2 x events of both with the same class / events of the one and the other."""
    tables = np.asarray(tables, dtype=np.float64)
    return _dice(np.trace(tables[..., :-1, :-1], axis1=-2, axis2=-1), tables)


def detection_of(tables: ArrayLike) -> Floats:
    """2 x events of both / events of the one and the other, from tables [..., C + 1, C + 1]."""
    tables = np.asarray(tables, dtype=np.float64)
    return _dice(tables[..., :-1, :-1].sum(axis=(-2, -1)), tables)


def _dice(agreed: Floats, tables: Floats) -> Floats:
    marks = 2 * tables[..., :-1, :-1].sum(axis=(-2, -1))
    marks += tables[..., :-1, -1].sum(axis=-1) + tables[..., -1, :-1].sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(2 * agreed / marks)
