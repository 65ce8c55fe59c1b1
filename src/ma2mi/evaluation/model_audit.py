"""Who is in a model: subjects with labels and without, by corpus, as its config says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def model_subjects(config: Mapping[str, Any]) -> dict[str, dict[str, list[str]]]:
    """Corpus to subjects, "with_labels" and "without_labels".

    Args:
        config: of a folder of weights.
    """
    trained = list(config.get("trained_subjects", []))
    others = [one for one in config.get("people", []) if one not in trained]
    return {"with_labels": _by_corpus(trained), "without_labels": _by_corpus(others)}


def model_text(name: str, config: Mapping[str, Any]) -> str:
    """The same as plain text."""
    about = config.get("trained", {})
    lines = [f"{name}: a model ({config['model']})", ""]
    for kind, found in model_subjects(config).items():
        count = sum(map(len, found.values()))
        lines.append(f"{kind.replace('_', ' ')}: {count} subjects")
        lines += [f"  {corpus}: {', '.join(subjects)}" for corpus, subjects in found.items()]
    if about:
        lines.append(f"data: {about['data_hash']}, protocol {about['protocol']}")
    lines.append("none of those with labels can be tested with it; of the others, a test is noted")
    return "\n".join(lines)


def _by_corpus(subjects: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in sorted(subjects):
        corpus, _, name = one.rpartition("/")
        found.setdefault(corpus, []).append(name)
    return found
