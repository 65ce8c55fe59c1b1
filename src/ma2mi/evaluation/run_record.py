"""What is written of a run: its record, and the predictions of each fold."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from ma2mi.evaluation.training_draws import TrainingDraw

SELECTED_ON_TEST = "selected on test data"
Labels = tuple[int, ...] | tuple[tuple[int, ...], ...]
Rows = tuple[tuple[float, ...], ...]


class Record(BaseModel):
    # Names that are written to files stay what they were: "people" is the alias of ``subjects``.
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True
    )


class BestOnTest(Record):
    """The epoch that is best on the left-out subjects: an optimistically biased score.

    Args:
        epoch: counted from 0, the first of equals.
        probabilities: of that epoch, [clips, classes].
        stamp: shown wherever the score is shown.
    """

    epoch: int
    probabilities: Rows
    stamp: Literal["selected on test data"] = "selected on test data"


class FoldResult(Record):
    """One fold of one seed: the left-out clips and the predictions of the learner.

    Args:
        fold: name of the left-out subject or database.
        seed: what the learner was seeded with.
        keys, subjects, databases, truth: one a clip; ``truth`` has one int, or one 0/1 a unit.
        probabilities: [clips, classes].
        train_subjects: those it was trained on.
        chosen: what was chosen, and on what, as the learner reports it.
        curve: figures of each epoch of training, as the learner reports them: "epoch" from 1,
            "train_loss" and others; empty where nothing was trained by epochs.
        notes: what a reader should know, such as a class that no training subject shows.
        best_on_test: only where requested.
    """

    fold: str
    seed: int
    keys: tuple[str, ...]
    subjects: tuple[str, ...] = Field(alias="people")
    databases: tuple[str, ...]
    truth: Labels
    probabilities: Rows
    train_subjects: tuple[str, ...] = Field(alias="train_people")
    chosen: dict[str, JsonValue] = {}
    curve: tuple[dict[str, float], ...] = ()
    notes: tuple[str, ...] = ()
    best_on_test: BestOnTest | None = None


class RunRecord(Record):
    """What a run is: enough to do it again, and to refuse to mix it with another.

    Args:
        version, commit: of ma2mi; ``commit`` is None outside a checkout.
        code: digits of all its Python files; "" in runs of before.
        protocol, classes, multi_label, metrics: how predictions are scored.
        learner: its name.
        settings: the whole tree.
        data_hash: SHA-256 over keys, labels, subjects, databases and clips.
        seeds: the learner's seeds.
        aliases: subjects with several names.
        pretraining_subjects: subjects that the learner was pre-trained on.
        trained_subjects: subjects from whose labelled clips its weights were learned before.
        train_also: clips that join the training of every fold but those that test their subject,
            and are never tested: subject to keys.
        also_best_on_test: whether the best-on-test score is computed, too.
        training: how many training subjects each fold is given, and in which draw; None: all.
        notes: what a reader should know of the whole run.
    """

    version: str
    commit: str | None
    code: str = ""
    protocol: str
    classes: tuple[str, ...]
    multi_label: bool
    metrics: tuple[str, ...]
    learner: str
    settings: dict[str, JsonValue]
    data_hash: str
    seeds: tuple[int, ...]
    aliases: dict[str, str] = {}
    pretraining_subjects: tuple[str, ...] = Field((), alias="pretraining_people")
    trained_subjects: tuple[str, ...] = ()
    train_also: dict[str, tuple[str, ...]] = {}
    also_best_on_test: bool = False
    training: TrainingDraw | None = None
    notes: tuple[str, ...] = ()
