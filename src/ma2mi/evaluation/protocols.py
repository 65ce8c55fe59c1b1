"""Protocols: the named ways in which the field splits subjects and scores predictions."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ma2mi.errors import EvaluationError
from ma2mi.evaluation.labels import CD6ME_UNITS, LABEL_SETS, LabelSet
from ma2mi.evaluation.splits import (
    Splitter,
    all_subjects_tested,
    cde,
    hde,
    leave_one_database_out,
    loso,
    sde,
)


@dataclass(frozen=True)
class Protocol:
    """The left-out subjects, the classes, and the metrics.

    Args:
        name: as used on the command line.
        splitter: the folds.
        source: the paper that defines it.
        label_set: the classes; None where the caller names them.
        units: action units, for protocols with many labels a clip; these are then the classes.
        metrics: names from ``metrics.METRICS``, or "mean_unit_f1" for action units; the first
            is the one to compare by.
        databases: those it is defined on; empty: any.
        left_out: clips that it leaves out by name, as (database, subject, clip).
        clips, subjects: how many it is defined on; 0 if not stated. Other counts are noted.
        trains: False where nothing is trained, and the learner is only a predictor.
    """

    name: str
    splitter: Splitter
    source: str
    label_set: LabelSet | None = None
    units: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("uf1", "uar", "accuracy")
    databases: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str, str], ...] = ()
    clips: int = 0
    subjects: int = 0
    trains: bool = True

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names or units; empty where the caller names them."""
        return self.units or (self.label_set.classes if self.label_set else ())

    def leaves_out(self, database: str, subject: str, clip: str) -> bool:
        """Whether the protocol leaves this clip out by name; subjects "04" and "sub04" are one."""
        return any(
            (base, _number(one), name) == (database, _number(subject), clip)
            for base, one, name in self.left_out
        )


def _number(subject: str) -> int:
    return int(re.sub(r"\D", "", subject) or -1)


_SETS = LABEL_SETS
_MEGC = _SETS["megc2019"].source
_DATABASE_OF = {"casme2": "casme2", "samm": "samm", "mmew": "mmew", "casme3": "casme3"}

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol("loso", loso, "leave one subject out, over all clips given"),
        Protocol("sde", sde, "single-database evaluation: loso in one database"),
        Protocol("cde", cde, f"composite-database evaluation: {_MEGC}"),
        Protocol("hde", hde, "hold-out-database evaluation: MEGC 2018, Yap et al. (FG 2018)"),
        Protocol(
            "leave-one-database-out", leave_one_database_out, "one fold a database, subjects apart"
        ),
        Protocol("zero-shot", all_subjects_tested, "nothing is trained on the clips", trains=False),
        Protocol(
            "megc2019",
            cde,
            _MEGC,
            label_set=_SETS["megc2019"],
            databases=("casme2", "samm", "smic"),
            left_out=(
                ("casme2", "04", "EP12_01f"),
                ("casme2", "05", "EP12_03f"),
                ("casme2", "24", "EP02_07"),
            ),
            clips=442,
            subjects=68,
        ),
        Protocol(
            "cd6me",
            leave_one_database_out,
            "Varanka et al., arXiv:2211.11425",
            units=CD6ME_UNITS,
            metrics=("mean_unit_f1",),
        ),
        Protocol("synthetic-3", loso, "ours", label_set=_SETS["synthetic-3"]),
        *(
            Protocol(
                labels.name,
                sde,
                labels.source,
                label_set=labels,
                databases=(_DATABASE_OF[labels.name.split("-")[0]],),
            )
            for labels in _SETS.values()
            if labels.name.split("-")[0] in _DATABASE_OF
        ),
    )
}


def untrained(protocol: Protocol) -> Protocol:
    """The same classes or units and metrics, where weights are evaluated without training."""
    return replace(protocol, splitter=all_subjects_tested, trains=False)


def protocol(name: str) -> Protocol:
    """The protocol called ``name``.

    Raises:
        EvaluationError: there is none.
    """
    if name not in PROTOCOLS:
        raise EvaluationError(
            "is not a known protocol", where=name, hint=f"Known are: {', '.join(sorted(PROTOCOLS))}"
        )
    return PROTOCOLS[name]
