"""The card of an adapted recognizer: what it was adapted to, and what was measured."""

from __future__ import annotations

import json
from typing import Any

from ma2mi.training.recognizer import Recognizer


def adaptation_card(run: dict[str, Any], before: Recognizer) -> str:
    figures, loop = run["figures"], run["settings"]["loop"]
    read = ""
    if "units" in figures:
        read = f"action units off the features with few labels: AUC {figures['units']:.3f}; "
    return CARD.format(
        weights=run["weights"],
        sha256=run["weights_sha256"],
        videos=run["videos"],
        count=len(run["subjects"]),
        pairs=run["pairs"],
        subjects=", ".join(run["subjects"]),
        held=", ".join(run["held_out"]),
        settings=json.dumps(run["settings"], indent=2, sort_keys=True),
        steps=f"{loop['epochs']} epochs of {loop['epoch_steps'] or 'one pass over the pairs'}"
        + (" steps." if loop["epoch_steps"] else "."),
        read=read,
        retrieval=f"{figures['retrieval']:.0%}",
        same=f"{figures['same']:.1%}",
        drift=f"{figures['drift']:.4f}",
        before=_body(before.card) or "These weights had no card.",
    )


def _body(card: str) -> str:
    """A card without its front matter, its headings two levels down, its pictures left out."""
    if card.startswith("---"):
        card = card.partition("\n---\n")[2]
    lines = (f"##{line}" if line.startswith("#") else line for line in card.strip().splitlines())
    return "\n".join(line for line in lines if not line.startswith("!["))


CARD = """---
tags: [micro-expression, facial-action-coding, optical-flow]
---
# {weights}, adapted

The weights `{weights}` (sha256 `{sha256}`), adapted by `ma2mi adapt` to {videos} videos of {count}
subjects, without a label: {pairs} movements early and late (MA2MI), while the outputs on simulated
flow were held to what they were before.

Subjects: {subjects}. Held out of them, to evaluate on: {held}. None of them may be in a test set.

**Nothing shows that this helps.** On synthetic videos of a poor camera it did not beat the weights
before (`benchmarks/ma2mi/zero_and_ma2mi.py`), and nothing in your videos is labelled.
Measure both weights on labelled videos of the same camera before you rely on these
(`ma2mi benchmark --weights DIR --protocol zero-shot`). Calibration and thresholds are those of
`{weights}`.

## Measured

On the held-out subjects: later movement found among 32: {retrieval}; {read}on simulated flow that
was not trained on, {same} of the predicted classes are as before (drift {drift}).

## Settings

{steps}

```json
{settings}
```

## The weights before

{before}
"""
