"""Corpora of whole recordings: several expressions in one, none in another."""

from __future__ import annotations

from ma2mi.datasets.coded import CodedCorpus
from ma2mi.formats.findings import Finding


class LongCorpus(CodedCorpus):
    """A coded corpus of long recordings. That one has no row is usual: nothing was seen in it."""

    def findings(self) -> list[Finding]:
        recordings = {str(folder) for folder in self.folders.values()}
        return [
            item
            for item in super().findings()
            if item.severity == "error" or item.place or item.file not in recordings
        ]
