"""The steps that commands share: from a folder or a corpus to prepared pairs."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from lightning.fabric import Fabric
from numpy.typing import NDArray

from ma2mi.cli.console import list_failures, out, progress
from ma2mi.clips.pairs import (
    Pairs,
    PairSettings,
    build_pairs,
    count_left_out,
    counted,
    read_flow_images,
)
from ma2mi.clips.prepare import Prepared, prepare_expressions, prepare_recordings
from ma2mi.clips.store import ClipStore, Recipe
from ma2mi.datasets import Corpus, open_corpus
from ma2mi.datasets.composite import Composite
from ma2mi.datasets.megc2019_flow import Megc2019Flow
from ma2mi.datasets.synthetic import write_corpus
from ma2mi.errors import CorpusError, FaceError, SettingsError
from ma2mi.evaluation.audit import Fingerprint, fingerprint
from ma2mi.evaluation.labels import DROPPED, LabelSet, label_set, plain_word
from ma2mi.evaluation.protocols import Protocol
from ma2mi.formats.findings import LeftOut
from ma2mi.progress import Progress
from ma2mi.records import Expression, Recording
from ma2mi.training.pretrain import PretrainSettings, pretrain

#: Size of a synthetic corpus that is made because no --root was given.
SYNTHETIC_SUBJECTS = 16
SYNTHETIC_CLIPS = 6


def find_corpus(
    name: str,
    root: Path | None,
    made_in: Path,
    jobs: int,
    *,
    layout: str = "",
    repairs: bool = True,
) -> Corpus:
    """The corpus in ``root``; a synthetic one is painted below ``made_in`` if it has no root."""
    # Said only where it matters: most corpora know neither.
    options = {**({"layout": layout} if layout else {}), **({} if repairs else {"repairs": False})}
    if root is not None:
        return open_corpus(name, root, **options)
    if options:
        raise CorpusError(f"has no option {', '.join(options)}", where=name, cure="Leave it out")
    return paint_corpus(name, made_in / name, SYNTHETIC_SUBJECTS, SYNTHETIC_CLIPS, 0, jobs)


def find_corpora(
    words: Sequence[str],
    root: Path | None,
    made_in: Path,
    jobs: int,
    *,
    layout: str = "",
    repairs: bool = True,
) -> Corpus:
    """One corpus, or several as one, from words such as "casme2" or "casme2=DIR".

    Raises:
        SettingsError: --root beside several corpora, or beside NAME=DIR.
        CorpusError: what the corpora raise.
    """
    named = [(name, Path(folder) if folder else root) for name, folder in map(_split, words)]
    if root is not None and (len(named) > 1 or named[0][1] is not root):
        raise SettingsError(
            "stands beside corpora that name their folder or beside several",
            where="--root",
            cure="Say --corpus NAME=DIR for each",
        )
    corpora = [
        find_corpus(name, folder, made_in, jobs, layout=layout, repairs=repairs)
        for name, folder in named
    ]
    return corpora[0] if len(corpora) == 1 else Composite(corpora)


def corpus_label(words: Sequence[str]) -> str:
    """What a run on these corpora is called: "casme2+samm"."""
    return "+".join(name for name, _ in map(_split, words))


def _split(word: str) -> tuple[str, str]:
    name, _, folder = word.partition("=")
    return name, folder


def read_expressions(corpus: Corpus) -> tuple[list[Expression], list[str]]:
    """The marked expressions that are whole on disk, and a line for each that is not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeftOut)  # the findings tell it in full
        expressions = corpus.expressions()
    return expressions, [str(f) for f in corpus.findings() if f.severity == "error"]


def paint_corpus(name: str, root: Path, subjects: int, clips: int, seed: int, jobs: int) -> Corpus:
    """A synthetic corpus, written to ``root`` as real files.

    Raises:
        CorpusError: no synthetic corpus has this name.
    """
    if name not in ("synthetic-micro", "synthetic-macro"):
        raise CorpusError("needs --root", where=name, cure="Give the folder that holds it")
    with progress(f"Painting {name}") as tick:
        write_corpus(
            name,  # type: ignore[arg-type]  # checked above
            root,
            subjects=subjects,
            clips_per_subject=clips,
            seed=seed,
            jobs=jobs,
            on_progress=tick,
        )
    return open_corpus(name, root)


def cut_recordings(
    recordings: Sequence[Recording], store: ClipStore, jobs: int
) -> tuple[list[str], list[str]]:
    """Keys of the clips cut from whole recordings, and a line for each that failed."""
    with progress("Preparing videos") as tick:
        return keys_and_failures(
            prepare_recordings(recordings, store, jobs=jobs, on_progress=tick), store
        )


def cut_expressions(
    expressions: Sequence[Expression], store: ClipStore, jobs: int
) -> tuple[list[str], list[str]]:
    """Keys of the clips cut around marked expressions, and a line for each that failed."""
    with progress("Preparing expressions") as tick:
        return keys_and_failures(
            prepare_expressions(expressions, store, jobs=jobs, on_progress=tick), store
        )


def keys_and_failures(
    prepared: Sequence[Prepared], store: ClipStore, lost: Sequence[str] = ()
) -> tuple[list[str], list[str]]:
    """Keys of all clips, and all failures after those that are ``lost`` already.

    Raises:
        FaceError: there is no clip at all; the failures are printed.
    """
    keys = [key for one in prepared for key in one.clips]
    failures = [*lost, *(line for one in prepared for line in one.failures)]
    if not keys:
        list_failures(failures)
        raise FaceError("nothing could be prepared", where=store.folder, cure="See the lines above")
    return keys, failures


def near_future_pairs(
    store: ClipStore, keys: Sequence[str], settings: PairSettings, jobs: int
) -> tuple[Pairs, list[str]]:
    """Pairs to pre-train on, and a line for each that failed; what was left out is printed."""
    with progress("Measuring movement") as tick:
        pairs, failures = build_pairs(store, keys, settings, jobs=jobs, on_progress=tick)
    if left_out := count_left_out(store, keys, settings):
        out.print(f"{len(pairs)} pairs of movements; left out: {counted(left_out)}")
    videos = {key.rpartition("@")[0] for key in keys}
    for video in sorted(videos - set(pairs.videos.tolist())):
        out.print(f"  {video}: left out, nothing in it moves enough to learn from", markup=False)
    return pairs, failures


@dataclass(frozen=True, eq=False)
class Marked:
    """Onset-apex pairs with their labels, ready for the referee.

    Args:
        pairs: N pairs.
        labels: int64 [N].
        databases: N, the corpus that each pair comes from.
        classes: names of the classes.
        clips_hash: sha256 of the prepared clips.
        failures: a line for each expression that could not be used.
    """

    pairs: Pairs
    labels: NDArray[np.int64]
    databases: list[str]
    classes: tuple[str, ...]
    clips_hash: str
    failures: tuple[str, ...]

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


def mark_expressions(
    corpus: Corpus,
    protocol: Protocol,
    store_root: Path,
    recipe: Recipe,
    draw: PairSettings,
    jobs: int,
    own_labels: Mapping[str, str] | None = None,
) -> Marked:
    """A corpus' expressions that the protocol has a class for, from onset to apex.

    ``own_labels`` says which class a word is, "" for none, where the protocol does not know it.
    """
    whole, failures = read_expressions(corpus)
    expressions = [
        e
        for e in whole
        if not protocol.leaves_out(e.recording.corpus, e.subject, Path(e.recording.name).name)
    ]
    if not expressions:
        list_failures(failures)
        raise CorpusError(
            "has no marked expressions", where=corpus.root, cure="Take a corpus with onsets"
        )
    named = [e for e in expressions if e.emotion]
    if len(named) < len(expressions):
        out.print(f"{len(expressions) - len(named)} clips carry no emotion")
    if not named:
        list_failures(failures)
        raise CorpusError(
            "no expression carries an emotion", where=corpus.root, cure="Take a corpus that does"
        )
    expressions = named
    labels = label_set_of(protocol, corpus.name)
    mapping = {plain_word(word): target or None for word, target in (own_labels or {}).items()}
    labels = replace(labels, mapping={**labels.mapping, **mapping})
    encoded, dropped = labels.encode(
        [e.emotion for e in expressions], [e.recording.corpus for e in expressions]
    )
    for word, count in sorted(dropped.items()):
        out.print(f"{count} clips marked {word!r} have no class in {labels.name}")
    chosen = [
        (e, int(label)) for e, label in zip(expressions, encoded, strict=True) if label != DROPPED
    ]
    # Of two from one frame the first is cut, and the other named.
    wanted = {e.key: e for e, _ in reversed(chosen)}
    label_of = {e.key: label for e, label in reversed(chosen)}
    if isinstance(corpus, Megc2019Flow):
        pairs = read_flow_images([e for e, _ in chosen])
        clips_hash = hashlib.sha256(pairs.action.tobytes()).hexdigest()
    else:
        store = ClipStore(store_root, recipe)
        keys, not_cut = cut_expressions([e for e, _ in chosen], store, jobs)
        with progress("Measuring onset to apex") as tick:
            pairs, unpaired = build_pairs(store, keys, draw, jobs=jobs, on_progress=tick)
        failures += [*not_cut, *unpaired]
        clips_hash = store.digest(keys)
    return Marked(
        pairs,
        np.array([label_of[key] for key in pairs.keys], dtype=np.int64),
        [wanted[key].recording.corpus for key in pairs.keys],
        labels.classes,
        clips_hash,
        tuple(failures),
    )


def spread(marked: Marked, count: int) -> NDArray[np.int64]:
    """Positions of ``count`` clips to show: classes in turn, people as different as can be."""
    left = list(range(len(marked.labels)))
    chosen: list[int] = []
    while left and len(chosen) < count:
        turn = len(chosen) % len(marked.classes)
        shown = [marked.pairs.subjects[i] for i in chosen]
        best = min(
            left,
            key=lambda i: (
                marked.labels[i] != turn,
                shown.count(marked.pairs.subjects[i]),
            ),
        )
        left.remove(best)
        chosen.append(best)
    return np.array(chosen, dtype=np.int64)


def label_set_of(protocol: Protocol, corpus: str) -> LabelSet:
    """The protocol's classes; for those that leave them open, the three of MEGC2019."""
    return protocol.label_set or label_set(
        "synthetic-3" if corpus.startswith("synthetic") else "megc2019"
    )


def launch(accelerator: str, devices: str, nodes: int, strategy: str, precision: str) -> Fabric:
    """Lightning's Fabric with the user's flags, its processes started.

    Raises:
        SettingsError: Lightning refuses the flags.
    """
    count: int | str = int(devices) if devices.lstrip("-").isdecimal() else devices
    try:
        fabric = Fabric(
            accelerator=accelerator,
            devices=count,
            num_nodes=nodes,
            strategy=strategy,
            precision=precision,  # type: ignore[arg-type]  # Lightning checks the word itself
        )
        fabric.launch()
    except (ValueError, RuntimeError, TypeError) as error:
        raise SettingsError(str(error).splitlines()[0], where="Lightning") from error
    return fabric


def learn(
    pairs: Pairs | None,
    folder: Path,
    settings: PretrainSettings,
    fabric: Fabric,
    about: dict[str, Any],
    init: Path | None = None,
) -> list[dict[str, Any]]:
    """Pre-train with a bar and the figures of each epoch; without pairs on the simulator."""
    with progress("Pre-training (MA2MI)") as tick:

        def after_epoch(now: Progress) -> None:
            tick(now)
            out.print(f"epoch {now.done:3d}  {figures_line(now.detail)}")

        return pretrain(
            pairs, folder, settings, init=init, fabric=fabric, about=about, on_progress=after_epoch
        )


def figures_line(figures: Mapping[str, Any]) -> str:
    """What an epoch reached on held-out subjects."""
    if "gain" in figures:
        return (
            f"loss {figures['loss']:.4f}, copy baseline {figures['copy']:.4f}, "
            f"gain over copying {100 * figures['gain']:+.1f} %"
        )
    line = f"loss {figures['loss']:.3f}, later movement found {figures['retrieval']:.0%}"
    if "units" in figures:
        line += (
            f", action units (AUC) {figures['units']:.3f}, subject named "
            f"{figures['subject']:.0%} (chance {figures['subject_chance']:.0%})"
        )
    return line


def gain_line(history: list[dict[str, Any]]) -> str:
    """The last epoch in words."""
    return f"on held-out people: {figures_line(history[-1])}"


def parse_aliases(words: Sequence[str]) -> dict[str, str]:
    """``["a/1=b/1"]`` as ``{"a/1": "b/1"}``.

    Raises:
        SettingsError: a word without "=", or with nothing on a side.
    """
    aliases = {}
    for word in words:
        name, _, other = word.partition("=")
        if not (name and other):
            raise SettingsError("is no NAME=NAME", where=f"--alias {word}")
        aliases[name] = other
    return aliases


def parse_labels(words: Sequence[str]) -> dict[str, str]:
    """``["tense=", "calm=positive"]`` as ``{"tense": "", "calm": "positive"}``.

    Raises:
        SettingsError: a word without "=", or with nothing before it.
    """
    labels = {}
    for word in words:
        name, equals, target = word.partition("=")
        if not (name and equals):
            raise SettingsError("is no WORD=CLASS", where=f"--label {word}")
        labels[name] = target
    return labels
