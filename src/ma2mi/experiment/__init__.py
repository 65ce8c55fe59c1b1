"""An experiment from a corpus to a result: corpora, labelled pairs, entries, runs."""

from ma2mi.experiment.corpora import find_corpora, find_corpus, render_corpus
from ma2mi.experiment.entries import Entry, check_model, check_network
from ma2mi.experiment.labelled import (
    LabelledPairs,
    check_labels,
    choose_examples,
    label_pairs,
    labelled_subjects,
)
from ma2mi.experiment.runs import check_unseen, run_entry, run_entry_curve
from ma2mi.experiment.unlabelled import cut_recordings, measure_movements

__all__ = [
    "Entry",
    "LabelledPairs",
    "check_labels",
    "check_model",
    "check_network",
    "check_unseen",
    "choose_examples",
    "cut_recordings",
    "find_corpora",
    "find_corpus",
    "label_pairs",
    "labelled_subjects",
    "measure_movements",
    "render_corpus",
    "run_entry",
    "run_entry_curve",
]
