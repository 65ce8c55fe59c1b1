"""Evaluation: leaves subjects out, scores any learner on them, and cannot leak a test label."""

from ma2mi.evaluation.benchmark import FoldProgress, run_benchmark
from ma2mi.evaluation.curve_folder import load_curve
from ma2mi.evaluation.curve_runs import run_learning_curve
from ma2mi.evaluation.labels import LABEL_SETS, LabelSet, encode_action_units, label_set
from ma2mi.evaluation.learner import EpochPredictor, Learner, Predictor
from ma2mi.evaluation.learning_curve import LearningCurve, compare_curves
from ma2mi.evaluation.protocols import PROTOCOLS, Protocol, protocol
from ma2mi.evaluation.results import RunResult
from ma2mi.evaluation.run_folder import RunFolder, load_run
from ma2mi.evaluation.run_record import FoldResult
from ma2mi.evaluation.splits import Split, SubjectSplitter, inner_splits, k_folds_by_subject
from ma2mi.evaluation.training_draws import TrainingDraw, draw_training

__all__ = [
    "LABEL_SETS",
    "PROTOCOLS",
    "EpochPredictor",
    "FoldProgress",
    "FoldResult",
    "LabelSet",
    "Learner",
    "LearningCurve",
    "Predictor",
    "Protocol",
    "RunFolder",
    "RunResult",
    "Split",
    "SubjectSplitter",
    "TrainingDraw",
    "compare_curves",
    "draw_training",
    "encode_action_units",
    "inner_splits",
    "k_folds_by_subject",
    "label_set",
    "load_curve",
    "load_run",
    "protocol",
    "run_benchmark",
    "run_learning_curve",
]
