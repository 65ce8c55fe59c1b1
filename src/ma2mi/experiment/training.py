"""From labelled clips to a model: cross-validated, calibrated, then fitted on all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from lightning.fabric import Fabric
from pydantic import BaseModel, ConfigDict, Field

from ma2mi.errors import FaceError, SettingsError
from ma2mi.evaluation.audit import FINGERPRINTS, write_fingerprints
from ma2mi.evaluation.benchmark import run_benchmark
from ma2mi.evaluation.learner import Clips, Learner
from ma2mi.evaluation.protocols import Protocol
from ma2mi.evaluation.results import RunResult
from ma2mi.evaluation.run_folder import predictions_csv, write_failures
from ma2mi.evaluation.splits import k_folds_by_subject, loso
from ma2mi.evaluation.subjects import subject_ids
from ma2mi.experiment.entries import head_rows
from ma2mi.experiment.labelled import LabelledPairs
from ma2mi.experiment.model_description import describe_people, describe_training
from ma2mi.experiment.runs import seen_subjects
from ma2mi.files import replace_file
from ma2mi.progress import OnProgress, Progress, ignore
from ma2mi.report.run_figures import draw_calibration
from ma2mi.training.calibration import Calibration, calibrate_on
from ma2mi.training.checkpoint import read_config, weights_digest
from ma2mi.training.claim import run_folder, writing
from ma2mi.training.export import export_onnx
from ma2mi.training.finetune import FineTune, FineTuneSettings
from ma2mi.training.mixed_kernel import MixedKernel
from ma2mi.training.model_card import model_card
from ma2mi.training.recognizer import Recognizer
from ma2mi.training.set_kernels import SetClips, given_mix
from ma2mi.training.trained import (
    FineTuneByLogits,
    open_blocks,
    recognizer_of_network,
    recognizer_on_blocks,
    refuse_fitted,
)

#: Below the folder of a model.
CROSS_VALIDATION = "cross-validation"
PREDICTIONS, CALIBRATION, ONNX = "predictions.csv", "calibration.png", "model.onnx"


class TrainSettings(BaseModel):
    """How a model is learned.

    Args:
        method: "ridge" fits a kernel ridge on frozen features; "fine-tune" trains all of a
            network, for at most ``recipe.loop.epochs``.
        folds: of the cross-validation, whole subjects; 0 leaves one subject out at a time.
        recipe: of fine-tuning; "stop" is "inner": every fold chooses its epoch on subjects that are
            held out of its training.
        seed: of weights, folds and order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    method: Literal["ridge", "fine-tune"] = "ridge"
    folds: int = Field(0, ge=0)
    recipe: FineTuneSettings = FineTuneSettings(stop="inner")
    seed: int = Field(0, ge=0)


@dataclass(frozen=True)
class TrainedModel:
    """What came out.

    Args:
        recognizer: as it was saved.
        cross: the cross-validation, its probabilities calibrated.
        onnx: largest difference of the ONNX file from torch; None without one.
    """

    recognizer: Recognizer
    cross: RunResult
    onnx: float | None = None


def train_model(
    labelled: LabelledPairs,
    out: Path,
    settings: TrainSettings,
    *,
    init: Path | None = None,
    aliases: Mapping[str, str] | None = None,
    onnx: bool = False,
    jobs: int = 1,
    on_progress: OnProgress | None = None,
) -> TrainedModel:
    """One model from all labelled pairs; a run that was killed goes on, and ends with the same.

    What is chosen is chosen on subjects that are held out: each fold of the cross-validation
    chooses for itself on its training subjects, temperature and abstention threshold are chosen on
    the predictions of all folds, and the final fit takes all clips.

    Writes to ``out`` a recognizer, as ``ma2mi.load_model`` takes it, with its card and
    ``calibration.png``, ``predictions.csv`` (of the cross-validation, calibrated),
    ``cross-validation/`` (a run folder), ``settings.json`` and ``environment.json``.

    Args:
        labelled: pairs with labels.
        out: the folder of the model.
        settings: see :class:`TrainSettings`.
        init: folder of weights to start from, or None.
        aliases: other names of the same subjects.
        onnx: also write ``model.onnx``.
        jobs: folds at a time, of fine-tuning; a ridge takes seconds.
        on_progress: called after each fold ("folds") and after the final fit ("final fit").

    Raises:
        SettingsError: a protocol that knows no classes, or ``out`` holds another training.
        EvaluationError: one subject only, or a class without a clip.
        CheckpointError: ``init`` is damaged, or nothing to start from.
        Busy: another process trains in ``out``.
    """
    tick = on_progress or ignore
    check_protocol(labelled.protocol)
    meant = _decisive(labelled, settings, init, aliases) | {"onnx": onnx}
    with run_folder(out, meant, Fabric(accelerator="cpu", devices=1)):
        plan = _plan(labelled, settings, init)
        cross = _cross_validate(
            plan,
            labelled,
            settings,
            init,
            out / CROSS_VALIDATION,
            {"jobs": jobs, "on_progress": tick, "aliases": aliases},
        )
        pool = cross.pool()
        calibration = calibrate_on(pool.probabilities, pool.truth)
        cross = _calibrated(cross, calibration)
        recognizer, chosen = plan.fit_all(cross, calibration)
        tick(Progress("final fit", 1, 1))
        trained = describe_training(
            labelled,
            cross,
            [*chosen, *calibration.describe()],
            method=settings.method,
            init=init.resolve().name if init else "",
            keeps_outputs=recognizer.settings.outputs > len(labelled.classes),
        )
        recognizer.config |= describe_people(labelled, aliases or {}, init) | {"trained": trained}
        recognizer.card = model_card(trained)
        with writing(out):
            replace_file(out / PREDICTIONS, predictions_csv(cross).encode())
            replace_file(out / CALIBRATION, draw_calibration([cross]))
            difference = export_onnx(recognizer, out / ONNX) if onnx else None
            recognizer.save_pretrained(out)
    return TrainedModel(recognizer, cross, difference)


def _decisive(
    labelled: LabelledPairs,
    settings: TrainSettings,
    init: Path | None,
    aliases: Mapping[str, str] | None,
) -> dict[str, Any]:
    """All that decides which weights come out."""
    return {
        "train": settings.model_dump(mode="json"),
        "protocol": labelled.protocol.name,
        "classes": list(labelled.classes),
        "init_sha256": weights_digest(init) if init else "",
        "data": labelled.clips_hash,
        "labels_sha256": hashlib.sha256(labelled.labels.tobytes()).hexdigest(),
        "aliases": dict(aliases or {}),
        "pairs": labelled.settings.model_dump(mode="json"),
    }


def _cross_validate(
    plan: _Plan,
    labelled: LabelledPairs,
    settings: TrainSettings,
    init: Path | None,
    out: Path,
    options: dict[str, Any],
) -> RunResult:
    """Predict each subject by a learner that never saw that subject; finished folds are kept."""
    seen, with_labels = seen_subjects(init)
    if settings.method == "ridge":
        options = {**options, "jobs": 1}  # seconds in all, less than processes take to start
    cross = run_benchmark(
        plan.learner,
        plan.clips,
        labelled.labels,
        labelled.pairs.subjects.tolist(),
        keys=labelled.pairs.keys.tolist(),
        protocol=_cross_validated(labelled.protocol, settings),
        databases=labelled.databases,
        classes=labelled.classes,
        seeds=(settings.seed,),
        out=out,
        settings={"corpus": labelled.corpus, "init_sha256": weights_digest(init) if init else ""},
        pretraining_subjects=seen,
        trained_subjects=with_labels,
        clips_hash=labelled.clips_hash,
        **options,
    )
    write_fingerprints(out / FINGERPRINTS, labelled.prints)
    write_failures(out, labelled.failures)
    return cross


def check_protocol(given: Protocol) -> None:
    """Refuse a protocol from which no model can be learned.

    Raises:
        SettingsError: it knows no classes, or trains nothing.
    """
    if given.units or not given.trains:
        raise SettingsError(
            "knows action units, no classes" if given.units else "trains nothing",
            where=given.name,
            hint="Take loso, megc2019 or another protocol that trains on classes",
        )


def _cross_validated(given: Protocol, settings: TrainSettings) -> Protocol:
    """The classes of a protocol, over whole subjects of any corpora."""
    splitter: Any = loso
    name = "leave one subject out"
    if settings.folds:
        name = f"{settings.folds} folds of subjects"

        def splitter(subjects: Any, databases: Any = None, aliases: Any = None) -> Any:
            return k_folds_by_subject(
                subjects, settings.folds, settings.seed, databases=databases, aliases=aliases
            )

    return replace(
        given,
        name=name if given.name == "loso" else f"{given.name}, {name}",
        splitter=splitter,
        databases=(),
        clips=0,
        subjects=0,
    )


@dataclass(frozen=True)
class _Plan:
    """A learner, the clips as it takes them, and the final fit on all of them.

    ``fit_all`` takes the cross-validation and the calibration, and returns the recognizer and what
    was chosen, in rows of the card.
    """

    learner: Learner
    clips: Clips
    fit_all: Callable[[RunResult, Calibration], tuple[Recognizer, list[dict[str, Any]]]]


def _plan(labelled: LabelledPairs, settings: TrainSettings, init: Path | None) -> _Plan:
    """The plan of a method.

    Raises:
        FaceError: crops smaller than the network's input.
    """
    side = labelled.pairs.action.shape[1]
    size = read_config(init)["size"] if init else settings.recipe.size
    if len(labelled.pairs.first) and side < size:
        raise FaceError(
            f"crops of {side} px, the network sees {size} px",
            hint=f"Prepare crops of {size} px or more",
        )
    plan = _plan_ridge if settings.method == "ridge" else _plan_fine_tuning
    return plan(labelled, settings, init)


def _plan_ridge(labelled: LabelledPairs, settings: TrainSettings, init: Path | None) -> _Plan:
    blocks = open_blocks(init, settings.recipe.size)
    mixes = (given_mix(blocks.groups),)
    clips = SetClips.of(blocks.extract(labelled.pairs), mixes)
    learner = MixedKernel(len(labelled.classes), mixes, features=blocks.digest())

    def fit_all(
        cross: RunResult, calibration: Calibration
    ) -> tuple[Recognizer, list[dict[str, Any]]]:
        predictor = learner.fit(clips, labelled.labels, _ids(labelled, cross.record.aliases))
        on = str(predictor.chosen["chosen_on"])
        chosen = [
            {"name": name, "value": predictor.chosen[name], "unit": "", "source": on}
            for name in ("mix", "strength", "temperature", "class_biases")
        ]
        chosen[2]["name"] = "temperature of the kernel's scores"
        return recognizer_on_blocks(predictor, blocks, labelled.classes, calibration), chosen

    return _Plan(learner, clips, fit_all)


def _plan_fine_tuning(labelled: LabelledPairs, settings: TrainSettings, init: Path | None) -> _Plan:
    config = read_config(init) if init else {}
    if init:
        refuse_fitted(config, init)
    before = Recognizer.from_pretrained(init) if init and "recognizer" in config else None
    recipe = settings.recipe
    if init:
        described = {"model": config["model"], "size": config["size"]}
        recipe = recipe.model_copy(update={**described, "model_settings": config["settings"]})
    learner = FineTuneByLogits(
        FineTune(
            len(labelled.classes),
            recipe,
            init,
            head_rows(config, labelled.classes),
            seed=settings.seed,
        )
    )

    def fit_all(
        cross: RunResult, calibration: Calibration
    ) -> tuple[Recognizer, list[dict[str, Any]]]:
        epochs = [int(str(fold.chosen["epoch"])) for fold in cross.folds]
        middle = int(np.median(epochs))
        last = recipe.model_copy(
            update={"stop": "fixed", "loop": recipe.loop.model_copy(update={"epochs": middle})}
        )
        final = replace(learner.inner, recipe=last)
        ids = _ids(labelled, cross.record.aliases)
        predictor = final.fit(labelled.pairs, labelled.labels, ids)
        on = "median of the folds, each chose its own on subjects held out of its training"
        chosen = [{"name": "epochs", "value": middle, "unit": "epochs", "source": on}]
        model = recognizer_of_network(predictor, final, labelled.classes, calibration, before)
        return model, chosen

    return _Plan(learner, labelled.pairs, fit_all)


def _ids(labelled: LabelledPairs, aliases: Mapping[str, str]) -> Any:
    return subject_ids(labelled.pairs.subjects.tolist(), labelled.databases, aliases)


def _calibrated(cross: RunResult, calibration: Calibration) -> RunResult:
    """The same run with calibrated probabilities; which class is predicted stays."""
    folds = [
        fold.model_copy(
            update={
                "probabilities": tuple(
                    map(tuple, calibration.apply(np.array(fold.probabilities)).tolist())
                )
            }
        )
        for fold in cross.folds
    ]
    return replace(cross, folds=tuple(folds))
