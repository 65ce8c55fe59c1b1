"""Predictions that can hit nothing: in videos, or of emotions, that the truth does not name."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ma2mi.evaluation.labels import plain_word
from ma2mi.records import Event


@dataclass(frozen=True)
class Unplaced:
    """Predictions in a video that no label names, so that each is a false alarm.

    Right for a video without events; else the name is spelled otherwise, and nothing can be hit.

    Args:
        subject, video: as predicted.
        count: predictions there.
        near: (subject, video) of the truth that differs only in case, leading zeros, "sub" before
            a number, folder, suffix or Unicode form; None if there is none.
    """

    subject: str
    video: str
    count: int
    near: tuple[str, str] | None

    def __str__(self) -> str:
        line = f"{_place(self.subject, self.video)}: {_counted(self.count, 'prediction')}"
        return f"{line}; the truth has {_place(*self.near)}" if self.near else line


def unplaced(truth: Sequence[Event], predicted: Sequence[Event]) -> list[Unplaced]:
    """The videos of predictions that the truth does not name, sorted by name."""
    known = {(mark.subject, mark.video) for mark in truth}
    spelled = {_spelled(*place): place for place in sorted(known, reverse=True)}
    counts = Counter((mark.subject, mark.video) for mark in predicted)
    return [
        Unplaced(*place, counts[place], spelled.get(_spelled(*place)))
        for place in sorted(counts)
        if place not in known
    ]


def other_words(truth: Sequence[Event], predicted: Sequence[Event]) -> list[str]:
    """Emotions that are predicted and that no label has, case and plural aside, sorted."""
    known = {plain_word(mark.emotion) for mark in truth}
    return sorted({m.emotion for m in predicted if plain_word(m.emotion) not in known})


def _spelled(subject: str, video: str) -> tuple[str, str]:
    """A name without what spreadsheets and scripts change in it."""
    words = [unicodedata.normalize("NFKC", word).casefold() for word in (subject, video)]
    words[1] = re.sub(r"\.[a-z0-9]{2,4}$", "", re.split(r"[/\\]", words[1])[-1])
    subject, video = (re.sub(r"0*(\d+)", r"\1", re.sub(r"[\W_]+", " ", w).strip()) for w in words)
    return re.sub(r"^(subject|sub|s) ?(?=\d)", "", subject), video


def _place(subject: str, video: str) -> str:
    return f"subject {subject}, video {video}" if subject else f"video {video}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
