"""The card of a model that was trained on labelled clips: who is in it, and how good it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: Below so many subjects intervals are wide, and temperature and thresholds are guesses. Ours.
FEW_SUBJECTS = 10
#: Subjects of a corpus that are listed by name; the config lists all.
NAMED = 60


def caution(clips: int, subjects: int) -> str:
    """A sentence for a model of few subjects; "" for others."""
    if subjects >= FEW_SUBJECTS:
        return ""
    return (
        f"{clips} clips of {subjects} subjects are few: scores, intervals, temperature and "
        f"thresholds mean little below {FEW_SUBJECTS} subjects."
    )


def model_card(trained: Mapping[str, Any]) -> str:
    """The card as Markdown.

    Args:
        trained: the table "trained" of the config, see ``experiment.training``.
    """
    scores = trained["scores"]
    gated = [name for name, one in trained["corpora"].items() if one["gated"]]
    clips = sum(one["clips"] for one in trained["corpora"].values())
    subjects = sum(len(one["subjects"]) for one in trained["corpora"].values())
    few = caution(clips, subjects)
    return CARD.format(
        classes=", ".join(trained["classes"]),
        how=_HOW[trained["method"]].format(start=trained["init"] or "random weights"),
        clips=clips,
        subjects=subjects,
        few=f"\n**{few}**\n" if few else "",
        corpora=_corpora(trained["corpora"], trained["classes"]),
        gated=GATED.format(names=", ".join(gated)) if gated else "",
        who=_who(trained["corpora"]),
        folds=trained["cross_validation"],
        error=trained["calibration_error"],
        uf1=scores["uf1"]["text"],
        uar=scores["uar"]["text"],
        accuracy=scores["accuracy"]["text"],
        per_class=_table(
            ("class", "clips", "precision", "recall", "F1"),
            [
                (name, str(one["clips"]), *(f"{one[k]:.3f}" for k in ("precision", "recall", "f1")))
                for name, one in trained["per_class"].items()
            ],
        ),
        chosen=_table(
            ("what", "value", "chosen on"),
            [(one["name"], _shown(one["value"]), one["source"]) for one in trained["chosen"]],
        ),
        others=OTHERS.format(init=trained["init"]) if trained["keeps_outputs"] else "",
        protocol=trained["protocol"],
        version=trained["ma2mi"],
        data=trained["data_hash"],
    )


def _corpora(corpora: Mapping[str, Mapping[str, Any]], classes: Sequence[str]) -> str:
    rows = [
        (
            one["title"],
            str(len(one["subjects"])),
            str(one["clips"]),
            *(str(one["classes"].get(name, 0)) for name in classes),
            one["licence"],
        )
        for one in corpora.values()
    ]
    return _table(("corpus", "subjects", "clips", *classes, "licence"), rows)


def _who(corpora: Mapping[str, Mapping[str, Any]]) -> str:
    lines = []
    for name, one in corpora.items():
        subjects = one["subjects"]
        more = f", and {len(subjects) - NAMED} more" if len(subjects) > NAMED else ""
        lines.append(f"- {name}: {', '.join(subjects[:NAMED])}{more}")
    return "\n".join(lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *lines])


def _shown(value: object) -> str:
    if isinstance(value, Mapping):  # of a kernel
        parts = ", ".join(f"{name} {share:.2g}" for name, share in value["weights"].items())
        width = value["width"]
        return f"{parts}; " + ("linear" if width is None else f"Gaussian of width {width:g}")
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_shown, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


_HOW = {
    "ridge": "A ridge on frozen features (of `{start}`): nothing but the classifier was learned.",
    "fine-tune": "All of the network was trained, starting from `{start}`.",
}

GATED = """
**Do not publish these weights.** They were learned from {names}, whose licence you signed: what is
learned from a gated corpus may fall under its licence, and some kernels keep measurements of its
clips.
"""

OTHERS = """
Action units, intensity and the probability of an expression are those of `{init}`, unchanged; they
were not learned from these clips.
"""

CARD = """---
tags: [micro-expression, optical-flow]
---
# {classes}

Reads a small facial movement, from onset to apex: {classes}.
{how}

**What it is not.** No lie detector, no diagnosis, and no way to know what a person feels: it
predicts which of these words coders tend to give such a movement. Show its predictions as
candidates for a person to review. The EU AI Act bans emotion recognition at work and in schools.

## Learned from

{clips} clips of {subjects} subjects, labels as protocol {protocol} has them.

{corpora}
{gated}{others}
## Measured

By cross-validation ({folds}): each subject is predicted by a model
that never saw that subject. 95 % intervals by bootstrap over subjects. The model in this folder was
then fitted on all of them. Expected calibration error: {error:.3f}.
{few}
| UF1 | UAR | accuracy |
|---|---|---|
| {uf1} | {uar} | {accuracy} |

{per_class}

Each prediction is in `predictions.csv`; how often predictions of a given probability are right:

![calibration](calibration.png)

## Chosen, and on what

No class is taken to be more common than another (a flat prior).

{chosen}

## Who is in it

None of them may be in a test set; `ma2mi benchmark` and `ma2mi audit` know them from `config.json`.

{who}

## Made by

ma2mi {version}; sha256 of the data `{data}`.
Command line and libraries: `environment.json`, settings: `settings.json`, folds:
`cross-validation/`.
"""
