"""What a trained model says of itself: who is in it, how good it is, what was chosen on what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ma2mi import _version
from ma2mi.datasets import CORPORA
from ma2mi.evaluation.metrics import per_class
from ma2mi.evaluation.results import RunResult
from ma2mi.evaluation.statistics import bootstrap, reliability, subject_confusions
from ma2mi.evaluation.subjects import subject_ids
from ma2mi.experiment.labelled import LabelledPairs
from ma2mi.training.checkpoint import read_config

SCORES = ("uf1", "uar", "accuracy")


def describe_people(
    labelled: LabelledPairs, aliases: Mapping[str, str], init: Path | None
) -> dict[str, list[str]]:
    """ "people" and "trained_subjects" of a config: all whom the weights have seen, and those of
    them with labels; each under all names, as "database/subject".
    """
    before = read_config(init) if init else {}
    subjects = labelled.pairs.subjects.tolist()
    own = {
        *subject_ids(subjects, labelled.databases).tolist(),
        *subject_ids(subjects, labelled.databases, aliases).tolist(),
    }
    trained = sorted({*own, *before.get("trained_subjects", [])})
    return {
        "people": sorted({*trained, *before.get("people", [])}),
        "trained_subjects": trained,
    }


def describe_training(
    labelled: LabelledPairs,
    cross: RunResult,
    chosen: Sequence[Mapping[str, Any]],
    **known: Any,
) -> dict[str, Any]:
    """The table "trained" of a config, from which its card is written.

    Args:
        labelled: what was learned from.
        cross: the cross-validation, calibrated.
        chosen: "name", "value", "unit" and "source" of each number that was chosen.
        known: what else belongs there: "method", "init" and "keeps_outputs".
    """
    pool = cross.pool()
    confusions = subject_confusions(
        pool.truth, pool.predicted, pool.subjects, len(labelled.classes)
    )
    scores = {}
    for name in SCORES:
        found = bootstrap(confusions, name)
        scores[name] = {
            "value": found.value,
            "low": found.low,
            "high": found.high,
            "text": str(found),
        }
    stated = pool.probabilities.max(1)
    return {
        **known,
        "ma2mi": _version.__version__,
        "protocol": labelled.protocol.name,
        "cross_validation": cross.record.protocol,
        "classes": list(labelled.classes),
        "prior": "flat",
        "corpora": _corpora(labelled),
        "scores": scores,
        "calibration_error": reliability(stated, pool.truth == pool.predicted).error,
        "per_class": {
            one.name: {key: value for key, value in asdict(one).items() if key != "name"}
            for one in per_class(pool.truth, pool.predicted, labelled.classes)
        },
        "chosen": [dict(one) for one in chosen],
        "data_hash": cross.record.data_hash,
        "pairs": labelled.settings.model_dump(mode="json"),
    }


def _corpora(labelled: LabelledPairs) -> dict[str, dict[str, Any]]:
    """Each database with its title and licence, and what is in the model of it."""
    found = {}
    bases = np.array(labelled.databases)
    for base in sorted(set(labelled.databases)):
        rows = np.flatnonzero(bases == base)
        about = CORPORA[base].about if base in CORPORA else None
        counts = np.bincount(labelled.labels[rows], minlength=len(labelled.classes)).tolist()
        found[base] = {
            "title": about.title if about else base,
            "licence": about.licence if about else "unknown",
            "gated": about.gated if about else False,
            "clips": len(rows),
            "classes": dict(zip(labelled.classes, counts, strict=True)),
            "subjects": sorted({str(one) for one in labelled.pairs.subjects[rows]}),
        }
    return found
