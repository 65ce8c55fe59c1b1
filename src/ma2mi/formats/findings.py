"""What is wrong with a copy of a corpus: each finding names the place and the hint."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from ma2mi.errors import Ma2miError

Severity = Literal["error", "warning", "note"]

_PLACE = re.compile(
    r"^(.*?)(?:, ((?:tab|row|column|frames?|tier|time slot|media|observation)\b.*))?$", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be.

    Args:
        severity: "error" loses a clip, "warning" may change a result, "note" is good to know.
        file: the file or folder.
        place: row and column, or frame, in it; "" if it is the whole file.
        what: the cause, in the user's words.
        hint: what to do next.
    """

    severity: Severity
    file: str
    place: str
    what: str
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.file}, {self.place}" if self.place else self.file
        return f"{where}: {self.what}" + (f". {self.hint}" if self.hint else "")

    @classmethod
    def of(cls, error: Ma2miError, severity: Severity = "error") -> Finding:
        """The finding of an error; "sheet.xlsx, row 3" becomes file and place."""
        match = _PLACE.match(error.where)
        file, place = (match[1], match[2] or "") if match else (error.where, "")
        return cls(severity, file, place, error.what, error.hint)


class LeftOut(UserWarning):
    """Rows of a sheet that name nothing on disk, or contradict themselves, were left out."""


@dataclass(frozen=True)
class Findings:
    """The outcome of a check.

    Args:
        corpus: its registered name.
        root: the folder that was checked.
        items: what was found; errors first.
        clips, subjects: what can be used.
        expected, found: the tree that the corpus should be, and the one on disk, line by line.
    """

    corpus: str
    root: Path
    items: tuple[Finding, ...]
    clips: int
    subjects: int
    expected: tuple[str, ...] = field(default=())
    found: tuple[str, ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether there is no error and something to use."""
        return self.clips > 0 and not self.count("error")

    def count(self, severity: Severity) -> int:
        return Counter(item.severity for item in self.items)[severity]

    @property
    def verdict(self) -> str:
        """One line: whether the copy can be used, and how much of it."""
        usable = f"{self.clips} clips of {self.subjects} subjects can be used"
        counts = ", ".join(
            f"{n} {severity}{'' if n == 1 else 's'}"
            for severity in ("error", "warning", "note")
            if (n := self.count(severity))
        )
        state = "ready" if self.passed else "not ready" if not self.clips else "incomplete"
        return f"{state}: {usable}" + (f" ({counts})" if counts else "")

    def to_json(self) -> str:
        """Everything, as JSON; the same copy gives the same text."""
        about = {
            "corpus": self.corpus,
            "root": str(self.root),
            "passed": self.passed,
            "verdict": self.verdict,
            "clips": self.clips,
            "subjects": self.subjects,
            "findings": [asdict(item) for item in self.items],
            "expected": list(self.expected),
            "found": list(self.found),
        }
        return json.dumps(about, indent=1, ensure_ascii=False)
