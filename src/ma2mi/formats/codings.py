"""What one coder marked, by recording: files of annotations, folders of them, our own results."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path, PureWindowsPath

from ma2mi.errors import CorpusError
from ma2mi.formats.annotation import Annotation, NoAnnotations
from ma2mi.formats.annotation_files import SUFFIXES, read_annotations
from ma2mi.formats.exports import event_annotation
from ma2mi.formats.findings import Finding
from ma2mi.formats.tables import ANALYSIS, read_json
from ma2mi.records import EXPRESSIONS

Marked = dict[str, list[Annotation]]


def read_coding(
    path: Path,
    *,
    kinds: Collection[str] = EXPRESSIONS,
    layers: Collection[str] = (),
    faults: list[Finding] | None = None,
) -> Marked:
    """Recording to its annotations, in order of time.

    A recording is called after its video, without folder and suffix, in lower case; where a file
    names no video, after the file.

    Args:
        path: a file of annotations (see :func:`read_annotations`), a folder of such files, or
            results of ``ma2mi analyze``, of one video or of many.
        kinds: of ``records.KINDS`` that count; annotations without a kind always do.
        layers: tiers of ELAN and behavioral categories of BORIS that count; all, if empty.
        faults: annotations that cannot be read are added here.

    Raises:
        CorpusError: nothing there holds annotations.
    """
    marked: Marked = {}
    for name, marks in _files(path, faults if faults is not None else []):
        kept = marked.setdefault(name, [])
        for one in marks:
            if (one.kind and one.kind not in kinds) or (layers and one.layer not in layers):
                continue
            video = _stem(one.media) or name
            (kept if video == name else marked.setdefault(video, [])).append(one)
        if not kept and any(_stem(one.media) not in ("", name) for one in marks):
            del marked[name]  # the file's own name is no recording: its rows name theirs
    return {
        name: sorted(found, key=lambda a: (a.start_s, a.end_s))
        for name, found in sorted(marked.items())
    }


def _files(path: Path, faults: list[Finding]) -> Iterator[tuple[str, list[Annotation]]]:
    """Every file's recording by its name, and its annotations."""
    if path.is_dir():
        analyses = sorted(path.rglob(ANALYSIS))
        for file in analyses:
            analysis = read_json(file)
            name = _stem(analysis.source) or _stem(analysis.name)
            marked = [event_annotation(analysis, event) for event in analysis.events]
            yield name, [replace(one, media="") for one in marked]
        if analyses:
            return
        files = [f for f in sorted(path.iterdir()) if f.name.lower().endswith(SUFFIXES)]
        found = False
        for file in files:
            try:
                annotations = read_annotations(file, faults=faults)
            except NoAnnotations:  # a table of something else
                continue
            found = True
            yield _stem(file.name), annotations
        if not found:
            raise CorpusError(
                "holds no file of annotations",
                where=path,
                hint=f"Known are {', '.join(SUFFIXES)}, and results of ma2mi analyze",
            )
        return
    if path.name == ANALYSIS:
        yield from _files(path.parent, faults)
        return
    yield _stem(path.name), read_annotations(path, faults=faults)


def _stem(name: str) -> str:
    """The name of a file without folder and suffixes; paths of Windows, too."""
    whole = PureWindowsPath(name).name.lower()
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        whole = whole.removesuffix(suffix)
    stem = PureWindowsPath(whole).stem
    return stem.removesuffix("_events")
