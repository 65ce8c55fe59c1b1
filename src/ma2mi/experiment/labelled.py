"""Labelled pairs: what the expressions of a corpus are under a protocol, measured and encoded."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ma2mi.clips.pair_store import build_pairs
from ma2mi.clips.pairs import Pairs, PairSettings, join_pairs, read_flow_images
from ma2mi.clips.prepare import prepare_expressions
from ma2mi.clips.store import ClipStore, Recipe
from ma2mi.datasets import Corpus
from ma2mi.errors import CorpusError, SettingsError
from ma2mi.evaluation.audit import Fingerprint, fingerprint
from ma2mi.evaluation.checks import check_databases, missing_classes
from ma2mi.evaluation.labels import (
    DROPPED,
    LabelSet,
    encode_action_units,
    label_set,
    plain_word,
)
from ma2mi.evaluation.protocols import Protocol
from ma2mi.evaluation.protocols import protocol as protocol_named
from ma2mi.experiment.corpora import read_expressions
from ma2mi.experiment.unlabelled import keys_and_failures
from ma2mi.formats.action_units import NO_UNIT
from ma2mi.progress import OnProgress
from ma2mi.records import Expression

log = logging.getLogger("ma2mi")

#: Pixels that crops are larger than the network's input, for random crops in training.
MARGIN_PX = 16


@dataclass(frozen=True, eq=False)
class LabelledPairs:
    """Onset-apex pairs with their labels, ready for evaluation.

    Args:
        pairs: N pairs.
        labels: int64 [N]; for action units 0/1 [N, units].
        databases: N, the corpus that each pair comes from.
        classes: names of the classes or units.
        clips_hash: sha256 of the prepared clips.
        failures: a line for each expression that could not be used.
        corpus: what the corpus is called in a result.
        protocol: under which the labels were encoded.
        settings: how the pairs were measured.
        training_only: bool [N], pairs of other corpora that are trained on and never tested;
            None: none of them is.
    """

    pairs: Pairs
    labels: NDArray[np.int64]
    databases: list[str]
    classes: tuple[str, ...]
    clips_hash: str
    failures: tuple[str, ...]
    corpus: str
    protocol: Protocol
    settings: PairSettings
    training_only: NDArray[np.bool_] | None = None

    def train_also(self, others: LabelledPairs) -> LabelledPairs:
        """These pairs, and ``others`` to train on beside them in every fold, never tested.

        Raises:
            SettingsError: a corpus that is in both, or other classes.
            StoreError: pairs of another kind or size.
        """
        both = sorted(set(self.databases) & set(others.databases))
        if both:
            raise SettingsError(
                "is tested, and in --train-also, too: their subjects could not be kept apart",
                where=", ".join(both),
                hint="Leave it out of one of them, or join its tables to one",
            )
        if (self.classes, self.settings) != (others.classes, others.settings):
            raise SettingsError(
                f"{', '.join(others.classes)} are other classes than {', '.join(self.classes)}, "
                "or the movement was measured in another way",
                where=others.corpus,
            )
        return replace(
            self,
            pairs=join_pairs([self.pairs, others.pairs]),
            labels=np.concatenate([self.labels, others.labels]),
            databases=[*self.databases, *others.databases],
            clips_hash=hashlib.sha256(
                f"{self.clips_hash} {others.clips_hash}".encode()
            ).hexdigest(),
            failures=(*self.failures, *others.failures),
            training_only=np.repeat([False, True], [len(self.labels), len(others.labels)]),
        )

    @cached_property
    def prints(self) -> list[Fingerprint]:
        """What two copies of a clip share, for the audit."""
        pairs = self.pairs
        if not len(pairs.first):  # flow images
            return [
                fingerprint(k, a.transpose(2, 0, 1))
                for k, a in zip(pairs.keys.tolist(), pairs.action, strict=True)
            ]
        return [
            fingerprint(key, np.stack(frames))
            for key, *frames in zip(pairs.keys.tolist(), pairs.first, pairs.second, strict=True)
        ]


def label_pairs(
    corpus: Corpus,
    protocol: Protocol | str = "loso",
    store: Path | str = "runs/clips",
    *,
    recipe: Recipe | None = None,
    settings: PairSettings | None = None,
    own_labels: Mapping[str, str] | None = None,
    jobs: int = 1,
    on_progress: OnProgress | None = None,
) -> LabelledPairs:
    """A corpus' expressions that the protocol has a class for, measured from onset to apex.

    Args:
        corpus: with marked onsets, and emotions or, for a protocol of units, action units.
        protocol: or its name, see ``evaluation.protocols``.
        store: folder of prepared clips; those that are there are not prepared again.
        recipe: how faces are cropped; by default for networks of 112 px.
        settings: how movement is measured.
        own_labels: class of a word that the protocol does not know, "" for none.
        jobs: processes; -1 is one a core.
        on_progress: called as clips ("prepare") and pairs ("pairs") are finished.

    Raises:
        CorpusError: no expression carries an onset and an emotion, or none action units; or fewer
            than two classes or subjects are left.
        EvaluationError: a word that the protocol does not know.
        FaceError: not one clip could be prepared.
    """
    if isinstance(protocol, str):
        protocol = protocol_named(protocol)
    recipe, settings = recipe or Recipe(size=112 + MARGIN_PX), settings or PairSettings()
    named, failures = _named_expressions(corpus, protocol)
    classes, chosen = _choose(named, corpus, protocol, own_labels or {})
    # Of two from one frame the first is cut, and the other named.
    wanted = {e.key: e for e, _ in reversed(chosen)}
    label_of = {e.key: label for e, label in reversed(chosen)}
    if corpus.hands_out == "flow images":
        pairs = read_flow_images([e for e, _ in chosen])
        clips_hash = hashlib.sha256(pairs.action.tobytes()).hexdigest()
    else:
        clips = ClipStore(Path(store), recipe)
        prepared = prepare_expressions(
            [e for e, _ in chosen], clips, jobs=jobs, on_progress=on_progress
        )
        keys, failures = keys_and_failures(prepared, clips, failures)
        pairs, unpaired = build_pairs(clips, keys, settings, jobs=jobs, on_progress=on_progress)
        failures += unpaired
        clips_hash = clips.digest(keys)
    return LabelledPairs(
        pairs,
        np.array([label_of[key] for key in pairs.keys], dtype=np.int64),
        [wanted[key].recording.corpus for key in pairs.keys],
        classes,
        clips_hash,
        tuple(failures),
        corpus.results_name,
        protocol,
        settings,
    )


def labelled_subjects(
    corpus: Corpus, protocol: Protocol, own_labels: Mapping[str, str] | None = None
) -> list[str]:
    """Whose expressions :func:`label_pairs` would take, as "database/subject"; reads no frame."""
    named, _ = _named_expressions(corpus, protocol)
    _, chosen = _choose(named, corpus, protocol, own_labels or {})
    return sorted({e.recording.person for e, _ in chosen})


def check_labels(
    corpus: Corpus,
    protocol: Protocol,
    own_labels: Mapping[str, str] | None = None,
    aliases: Mapping[str, str] | None = None,
) -> tuple[str, ...]:
    """Refuse what no benchmark can score, before frames are read.

    Args:
        corpus, protocol, own_labels: as for :func:`label_pairs`.
        aliases: see ``evaluation.subjects.subject_ids``.

    Returns:
        The names of the classes or units.

    Raises:
        CorpusError: no expression with an emotion or unit, or a class that none shows.
        EvaluationError: an unknown word, one subject only, or databases that do not fit.
    """
    named, failures = _named_expressions(corpus, protocol)
    classes, chosen = _choose(named, corpus, protocol, own_labels or {})
    shown = np.array([label for _, label in chosen], dtype=np.int64)
    lacking = missing_classes(shown, classes, protocol)
    if lacking:
        raise CorpusError(
            f"no expression shows {', '.join(lacking)} of {', '.join(classes)}",
            where=corpus.root,
            hint="Add a corpus that codes them"
            if protocol.units
            else "Take a protocol without them, or name their words with --label WORD=CLASS",
            details=failures,
        )
    bases = [e.recording.corpus for e, _ in chosen]
    check_databases(bases, protocol, np.full(len(bases), True))
    protocol.splitter([e.subject for e, _ in chosen], bases, aliases)
    return classes


def _named_expressions(corpus: Corpus, protocol: Protocol) -> tuple[list[Expression], list[str]]:
    """The expressions that carry an emotion, or units where the protocol is of units; and a line
    for each that is not whole on disk, or whose units cannot be read."""
    whole, failures = read_expressions(corpus)
    expressions = [
        e
        for e in whole
        if not protocol.leaves_out(e.recording.corpus, e.subject, Path(e.recording.name).name)
    ]
    kind = "action unit" if protocol.units else "emotion"
    named = [e for e in expressions if (e.action_units if protocol.units else e.emotion)]
    if protocol.units:
        failures += [str(f) for f in corpus.findings() if f.hint.startswith(NO_UNIT)]
    if not expressions:
        raise CorpusError(
            "has no marked expressions",
            where=corpus.root,
            hint="Take a corpus with onsets",
            details=failures,
        )
    if len(named) < len(expressions):
        log.info("%d clips carry no %s", len(expressions) - len(named), kind)
    if lacking := _without(expressions, named):
        raise CorpusError(
            f"no expression carries an {kind}",
            where=", ".join(lacking),
            hint="Leave this corpus out, or complete its table",
            details=failures,
        )
    if not named:
        raise CorpusError(
            f"no expression carries an {kind}",
            where=corpus.root,
            hint="Take a corpus that does",
            details=failures,
        )
    return named, failures


def _without(expressions: Sequence[Expression], named: Sequence[Expression]) -> list[str]:
    """Those of several corpora that have expressions, but not one that is named."""
    each = {e.recording.corpus for e in expressions}
    return sorted(each - {e.recording.corpus for e in named}) if len(each) > 1 else []


Label: TypeAlias = int | list[int]
"""The number of a class; or for action units a 0 or 1 for each."""


def _choose(
    named: Sequence[Expression],
    corpus: Corpus,
    protocol: Protocol,
    own_labels: Mapping[str, str],
) -> tuple[tuple[str, ...], list[tuple[Expression, Label]]]:
    """The classes or units, and each expression that has a class with its label."""
    if protocol.units:
        shown = encode_action_units([e.action_units for e in named], protocol.units).tolist()
        return protocol.units, list(zip(named, shown, strict=True))
    labels = label_set_of(protocol, corpus.name)
    mapping = {plain_word(word): target or None for word, target in own_labels.items()}
    labels = replace(labels, mapping={**labels.mapping, **mapping})
    encoded, dropped = labels.encode(
        [e.emotion for e in named],
        [e.recording.corpus for e in named],
        places=[f"{corpus.place(e)}, clip {e.key}" for e in named],
    )
    for word, count in sorted(dropped.items()):
        log.info("%d clips marked %r have no class in %s", count, word, labels.name)
    pairs = zip(named, encoded, strict=True)
    return labels.classes, [(e, int(label)) for e, label in pairs if label != DROPPED]


def choose_examples(labelled: LabelledPairs, count: int) -> NDArray[np.int64]:
    """Positions of ``count`` clips to show: classes in turn, subjects as different as can be."""
    left = list(range(len(labelled.labels)))
    chosen: list[int] = []
    while left and len(chosen) < count:
        turn = len(chosen) % len(labelled.classes)
        shown = [labelled.pairs.subjects[i] for i in chosen]
        best = min(
            left,
            key=lambda i: (
                not _shows(labelled.labels[i], turn),
                shown.count(labelled.pairs.subjects[i]),
            ),
        )
        left.remove(best)
        chosen.append(best)
    return np.array(chosen, dtype=np.int64)


def _shows(label: NDArray[np.int64], number: int) -> bool:
    """Whether a clip's label is this class, or has this unit."""
    return bool(label[number]) if label.ndim else int(label) == number


def label_set_of(protocol: Protocol, corpus: str) -> LabelSet:
    """The protocol's classes; for those that leave them open, the three of MEGC2019."""
    return protocol.label_set or label_set(
        "synthetic-3" if corpus.startswith("synthetic") else "megc2019"
    )
