"""The card of the shipped weights, in words."""

from __future__ import annotations

import textwrap

from ma2mi.evaluation.priors import prior_offsets
from ma2mi.training.recognizer import Recognizer


def fill_card(recognizer: Recognizer, table: str, still: float, kept: float) -> str:
    """The card.

    Args:
        recognizer: calibrated; its config holds "recipe" and "weights_sha256".
        table: of the judging domains, in Markdown.
        still: share of the still samples that are classified as still.
        kept: share of the calibration domains' expressions that count as movements.
    """
    told, recipe = recognizer.settings, recognizer.config["recipe"]
    offsets = prior_offsets("megc2019", told.classes)
    thresholds = zip(told.units, told.thresholds, strict=True)
    text = CARD.format(
        table=table,
        still=f"{still:.0%}",
        kept=f"{kept:.0%}",
        model=recognizer.config["model"],
        parameters=sum(p.numel() for p in recognizer.net.parameters()),
        units=" ".join(told.units),
        learned=recipe["learned"],
        temperature=told.temperature,
        thresholds=", ".join(f"{unit} {threshold:.2f}" for unit, threshold in thresholds),
        abstain=told.abstain_below,
        movement=told.movement_threshold,
        prior=", ".join(f"{p:+.2f}" for p in offsets),
        commit=recipe["commit"],
        hash=recognizer.config["weights_sha256"],
    )
    return "\n\n".join(_wrapped(part) for part in text.split("\n\n"))


def _wrapped(part: str) -> str:
    """A paragraph in lines of 100 characters; tables, headings and lists as they are."""
    plain = not part.startswith(("|", "#", "-", "!"))
    return textwrap.fill(" ".join(part.split()), 100, break_on_hyphens=False) if plain else part


CARD = """---
license: apache-2.0
tags: [micro-expression, facial-action-coding, optical-flow]
---
# zero

Reads a small facial movement, from onset to apex: negative, positive or surprise; the action units
{units}; how strong; and whether there is an expression at all. `{model}`, {parameters:,}
parameters, stored in half precision.

**Corpora and people in the training: none.** {learned}
Units by emotion from the FACS literature (`ma2mi.motion.facs`). No real face and no annotation of a
gated corpus had a part in it. It sees movement alone, not the face that moves.

**What it is not.** No lie detector, no diagnosis, and no way to know what a person feels: it
predicts which of three words coders tend to give such a movement. Show its predictions as
candidates for a person to review. The EU AI Act bans emotion recognition at work and in schools.

## Measured

Subjects of other seeds, and unseen rendered heads whose movement is weaker, less symmetric and
noisier. "Unseen" stands where neither training nor calibration saw the estimator or the renderer.
95 % intervals over subjects (BCa). These are synthetic; on real corpora expect less.

{table}

Of still samples of the rendered heads, {still} are classified as still at the threshold that lets
{kept} of the calibration domains' expressions pass. Each action unit, and the weights before these
on the same samples: `benchmarks/zero/README.md`.

![calibration](calibration.png)

## Chosen, and on what

On 40 other synthetic faces, measured by our flow, OpenCV's TV-L1 and Farneback's, and on 16 other
rendered heads: temperature {temperature}; a temperature, a bias and a threshold for each action
unit, from which it counts as shown ({thresholds}); it abstains where no class reaches {abstain} or
the expression's own probability is below {movement}. Nothing was chosen on real labels.

**No prior of the classes** is in these weights: all three count alike. Where classes are as common
as in the MEGC2019 composite (250, 109 and 83 clips), `--prior megc2019` adds {prior} to the logits.

## Made by

`make weights` (`scripts/zero/make.py`), commit {commit}; sha256 of `model.safetensors`:
`{hash}`. On one kind of machine the same bytes
come out; on another, expect scores within the intervals above.
"""
