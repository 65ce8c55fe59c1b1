"""Compare a copy of a corpus with what its owners published, down to the bytes of every frame."""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ma2mi.datasets.base import Corpus, DataSheet, corpus_class
from ma2mi.errors import CorpusError, Ma2miError
from ma2mi.files import natural
from ma2mi.formats.findings import Finding, Findings, LeftOut
from ma2mi.progress import OnProgress, Progress
from ma2mi.records import Expression, Recording
from ma2mi.video.folders import FrameIndex, index_frames, picture_size
from ma2mi.video.times import frame_times

_ORDER = {"error": 0, "warning": 1, "note": 2}
_SHOWN = 3  # entries of a folder in the tree


def check_corpus(
    name: str,
    root: Path | str,
    *,
    layout: str = "",
    repairs: bool | Path = True,
    on_progress: OnProgress | None = None,
) -> Findings:
    """Look at everything: the sheet, the folders, whether each frame decodes to its end, and
    whether each mark lies within its recording.

    Args:
        name: of a registered corpus.
        root: its folder.
        layout, repairs: as ``CodedCorpus``; other corpora have neither.
        on_progress: called after each recording.

    Raises:
        CorpusError: no corpus has this name, or it has no layouts. All else becomes a finding.
    """
    kind = corpus_class(name)
    given = [*(["layout"] if layout else []), *(["repairs"] if isinstance(repairs, Path) else [])]
    for what in given:
        if what not in kind.options:
            raise CorpusError(
                f"has no option {what}", where=name, hint="Leave it out for this corpus"
            )
    options = {"layout": layout, "repairs": repairs}
    items: list[Finding] = []
    expressions: list[Expression] = []
    recordings: list[Recording] = []
    try:
        corpus = kind(root, **{name: options[name] for name in sorted(kind.options)})
        recordings = corpus.recordings()
        items += _look_at(corpus, recordings, on_progress)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LeftOut)  # the findings list them in full
            expressions = corpus.expressions()
        items += corpus.findings()
        expressions, beyond = _within(corpus, expressions)
        items += beyond
        items += _counts(kind.about, corpus.root, expressions)
    except Ma2miError as error:
        items.append(Finding.of(error))
    usable: Sequence[Expression | Recording] = expressions
    if not expressions and not any(item.severity == "error" for item in items):
        usable = recordings  # a corpus without marks
    items.sort(key=lambda item: _ORDER[item.severity])
    return Findings(
        name,
        Path(root),
        tuple(items),
        len(usable),
        len({one.subject for one in usable}),
        tuple(_expected(kind.about)),
        tuple(_tree(Path(root))),
    )


# -- pictures ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Looked:
    items: list[Finding]
    digest: str = ""
    misnamed: str = ""


def _look_at(
    corpus: Corpus, recordings: list[Recording], on_progress: OnProgress | None
) -> Iterator[Finding]:
    frame = corpus.layout.frame if corpus.layout else ""
    first_with: dict[str, Path] = {}
    misnamed: list[tuple[Path, str]] = []
    # OpenCV decodes outside Python's lock, so threads are enough.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        looked = pool.map(lambda recording: _look_at_one(recording, frame), recordings)
        for done, (recording, one) in enumerate(zip(recordings, looked, strict=True), 1):
            yield from one.items
            if one.misnamed:
                misnamed.append((recording.path, one.misnamed))
            if one.digest and (twin := first_with.setdefault(one.digest, recording.path)) != (
                recording.path
            ):
                yield Finding(
                    "warning",
                    str(recording.path),
                    "",
                    f"holds the same pictures as {twin}",
                    "Copy both again; one of them is misplaced",
                )
            if on_progress:
                on_progress(Progress("check", done, len(recordings)))
    if misnamed and corpus.layout:
        folder, name = misnamed[0]
        yield Finding(
            "note",
            str(folder / name),
            "",
            f"is not named as in {corpus.layout.example}; so in {len(misnamed)} of "
            f"{len(recordings)} clips",
            "Nothing to do: frames are read by the numbers in their names",
        )


def _look_at_one(recording: Recording, frame: str) -> _Looked:
    path = recording.path
    try:
        if not path.is_dir():
            return _look_at_file(path)
        index = index_frames(path)
    except Ma2miError as error:
        return _Looked([Finding.of(error)])
    except OSError as error:
        return _Looked([_unreadable(path, error)])
    items = list(_names(index))
    sizes: dict[tuple[int, int], Path] = {}
    digest = hashlib.sha256()
    for file in index.files:
        try:
            content = file.read_bytes()
            digest.update(content)
            sizes.setdefault(picture_size(file, content), file)
        except Ma2miError as error:
            items.append(Finding.of(error))
        except OSError as error:
            items.append(_unreadable(file, error))
    if len(sizes) > 1:
        (one, _), (other, file) = list(sizes.items())[:2]
        items.append(
            Finding(
                "error",
                str(file),
                "",
                f"is {other[0]}x{other[1]}, frames before it are {one[0]}x{one[1]}",
                "Copy the clip again; all frames of a clip must be of one size",
            )
        )
    odd = (f.name for f in index.files if frame and not re.fullmatch(frame, f.name))
    return _Looked(items, digest.hexdigest(), next(odd, ""))


def _unreadable(path: Path, error: OSError) -> Finding:
    return Finding("error", str(path), "", f"cannot be read ({error.strerror or error})")


def _look_at_file(path: Path) -> _Looked:
    from ma2mi.video import IMAGE_SUFFIXES, inspect_video

    if path.suffix.lower() in IMAGE_SUFFIXES:
        picture_size(path)
    else:
        inspect_video(path)
    return _Looked([])


def _names(index: FrameIndex) -> Iterator[Finding]:
    for file in index.strangers:
        yield Finding(
            "warning",
            str(file),
            "",
            "is not named as the other frames",
            "Delete it if it is a copy or a contact sheet",
        )
    for number in index.repeated:
        yield Finding(
            "error",
            str(index.folder),
            f"frame {number}",
            "is there twice",
            "Delete one of the two files",
        )
    if runs := index.gaps():
        listed = ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in runs[:5])
        missing = sum(b - a + 1 for a, b in runs)
        yield Finding(
            "warning",
            str(index.folder),
            f"frames {listed}" + (" ..." if len(runs) > 5 else ""),
            f"missing ({missing} of {missing + len(index.positions)})",
            "Copy the clip again from the owners' archive",
        )


# -- lengths ---------------------------------------------------------------------------------------


def _within(
    corpus: Corpus, expressions: list[Expression]
) -> tuple[list[Expression], list[Finding]]:
    """The expressions that end before their recording does, and what is wrong with the others."""
    lengths = dict.fromkeys(one.recording for one in expressions)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = dict(zip(lengths, pool.map(_frame_count, lengths), strict=True))
    inside, findings = [], []
    for one in expressions:
        count = counts[one.recording]
        if count is None or one.offset < count:
            inside.append(one)
            continue
        beyond = CorpusError(
            f"frame {one.offset} (from 0) is not in {one.recording.name}, which has {count}",
            where=corpus.place(one),
            hint="If frames count from 1, add a column first_frame with 1"
            if one.offset == count
            else "Check that this is the recording that was annotated",
        )
        findings.append(Finding.of(beyond))
    return inside, findings


def _frame_count(recording: Recording) -> int | None:
    """How many frames a recording has; None where it is stated elsewhere, or makes no sense."""
    from ma2mi.video import IMAGE_SUFFIXES

    path = recording.path
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return None
    try:
        return len(frame_times(path, recording.fps))
    except Ma2miError:  # it does not open, which checking its pictures reports
        return None


# -- counts and trees ----------------------------------------------------------------------------


def _counts(about: DataSheet, root: Path, expressions: list[Expression]) -> Iterator[Finding]:
    """Differences from the published counts, and words that are not among them."""
    words = Counter(expression.emotion.casefold() for expression in expressions)
    published = {word.casefold(): count for word, count in about.emotions.items()}
    differ = []
    if about.clips and len(expressions) != about.clips:
        differ.append(f"{len(expressions)} clips of {about.clips}")
    if about.subjects and (count := len({e.subject for e in expressions})) != about.subjects:
        differ.append(f"{count} subjects of {about.subjects}")
    differ += [f"{word} {words[word]} of {n}" for word, n in published.items() if words[word] != n]
    if differ:
        yield Finding(
            "warning",
            str(root),
            "",
            f"differs from the published counts: {', '.join(differ)}",
            "Report it beside your results, or complete the copy",
        )
    if published and (unknown := sorted(set(words) - set(published))):
        yield Finding(
            "warning",
            str(root),
            "",
            f"emotions that are not among the published: {', '.join(map(repr, unknown))}",
            f"Known are {', '.join(published)}",
        )


def _expected(about: DataSheet) -> Iterator[str]:
    if about.sheets:
        yield about.sheets[0]
    for number, layout in enumerate(about.layouts):
        if len(about.layouts) > 1:
            yield f"{'or ' if number else ''}{layout.name}:"
        for depth, part in enumerate(layout.example.split("/")):
            yield f"{'  ' * depth}{part}"


def _tree(root: Path, depth: int = 0) -> Iterator[str]:
    """The first entries of each folder, and how many more there are."""
    if not root.is_dir() or depth > 5:
        return
    entries = sorted(
        (entry for entry in root.iterdir() if not entry.name.startswith(".")),
        key=lambda entry: natural(entry.name),
    )
    for kind, some in (
        ("files", [e for e in entries if not e.is_dir()]),
        ("folders", [e for e in entries if e.is_dir()]),
    ):
        for number, entry in enumerate(some[:_SHOWN]):
            yield f"{'  ' * depth}{entry.name}"
            if number == 0:
                yield from _tree(entry, depth + 1)
        if len(some) > _SHOWN:
            yield f"{'  ' * depth}... {len(some) - _SHOWN} more {kind}"


def side_by_side(left: Iterable[str], right: Iterable[str]) -> list[str]:
    """Two trees in two columns, under "expected" and "found"."""
    ours, theirs = ["expected", *left], ["found", *right]
    width = max(map(len, ours)) + 4
    rows = max(len(ours), len(theirs))
    ours += [""] * (rows - len(ours))
    theirs += [""] * (rows - len(theirs))
    return [f"{a:<{width}}{b}".rstrip() for a, b in zip(ours, theirs, strict=True)]
