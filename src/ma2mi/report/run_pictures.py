"""The pictures of runs and learning curves on a page, each with its caption."""

from __future__ import annotations

from collections.abc import Sequence

from ma2mi.evaluation.learning_curve import LearningCurve
from ma2mi.evaluation.results import RunResult
from ma2mi.report import run_figures
from ma2mi.report.page import Picture
from ma2mi.report.rows import make_rows


def curve_pictures(curves: Sequence[LearningCurve]) -> list[Picture]:
    """The chart of learning curves; nothing without any."""
    if not curves:
        return []
    caption = (
        "Points: mean over draws of the training subjects and over seeds, each pooled over all "
        "folds; bars: 95 % interval by bootstrap over left-out subjects. Dashed: runs that are no "
        "learning curve."
    )
    title = "Score against the number of training subjects"
    png = run_figures.draw_learning_curves(curves)
    return [Picture("learning-curve", title, caption, png)]


def run_pictures(
    results: Sequence[RunResult], against: Sequence[int | None] | None = None
) -> list[Picture]:
    """Scores, confusions, subjects, calibration and training of runs, all seeds in each.

    Args:
        results, against: see :func:`ma2mi.report.rows.make_rows`.
    """
    if not results:
        return []
    pictures = [
        Picture(
            "scores",
            "Scores at a glance",
            "Dots: pooled score, mean over seeds; bars: 95 % interval; ticks: each seed, where "
            "there are several.",
            run_figures.draw_scores(make_rows(results, against)),
        )
    ]
    if not results[0].record.multi_label:
        pictures.append(
            Picture(
                "confusions",
                "Confusion matrices",
                "Rows are true classes, columns predictions; numbers count clips, summed over "
                "seeds.",
                run_figures.draw_confusions(results),
            )
        )
    pictures += [
        Picture(
            "subjects",
            "Subject by subject",
            "Bars: share of right predictions of a left-out subject, mean over seeds; lines: from "
            "the worst seed to the best. Subjects in the order of the first run.",
            run_figures.draw_subjects(results),
        ),
        Picture(
            "calibration",
            "Calibration",
            "How often predictions of so much probability are right, all seeds pooled, in ten bins "
            "of equal width. On the dashed line they are right as often as they say.",
            run_figures.draw_calibration(results),
        ),
    ]
    return [*pictures, *_training_pictures(results)]


def _training_pictures(results: Sequence[RunResult]) -> list[Picture]:
    """The curves of folds that were trained by epochs; nothing without any."""
    if not any(fold.curve for result in results for fold in result.folds):
        return []
    caption = (
        "Lines: mean over folds and seeds; bands: the middle 80 % of them. All on training "
        "subjects: no figure of a left-out subject is among them."
    )
    png = run_figures.draw_fold_curves(results)
    return [Picture("training", "Training, fold by fold", caption, png)]
