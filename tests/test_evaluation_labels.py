"""Label sets: the counts of the literature, what is dropped, and unknown words."""

from __future__ import annotations

import numpy as np
import pytest

from ma2mi.errors import EvaluationError
from ma2mi.evaluation.labels import LABEL_SETS, LabelSet, encode_action_units, label_set

SAMM = {
    "anger": 57,
    "happiness": 26,
    "Other": 26,
    "surprise": 15,
    "contempt": 12,
    "disgust": 9,
    "fear": 8,
    "sadness": 6,
}
CASME3 = {
    "disgust": 250,
    "surprise": 187,
    "others": 100,
    "Others": 61,
    "fear": 86,
    "anger": 64,
    "sad": 57,
    "happy": 55,
}


def counts(name: str, words: dict[str, int]) -> tuple[dict[str, int], int]:
    """Clips by class, and how many are dropped."""
    labels = label_set(name)
    rows = [word for word, times in words.items() for _ in range(times)]
    encoded, dropped = labels.encode(rows)
    assert dropped.total() == (encoded == -1).sum()
    by_class = {c: int((encoded == i).sum()) for i, c in enumerate(labels.classes)}
    return by_class, dropped.total()


@pytest.mark.parametrize(
    ("name", "words", "by_class", "dropped"),
    [
        ("samm-3", SAMM, {"negative": 92, "positive": 26, "surprise": 15}, 26),
        ("megc2019", SAMM, {"negative": 92, "positive": 26, "surprise": 15}, 26),
        (
            "samm-5",
            SAMM,
            {"anger": 57, "happiness": 26, "other": 26, "surprise": 15, "contempt": 12},
            23,
        ),
        (
            "casme3-4",
            CASME3,
            {"negative": 457, "surprise": 187, "others": 161, "positive": 55},
            0,
        ),
        ("casme3-3", CASME3, {"negative": 457, "surprise": 187, "positive": 55}, 161),
        (
            "casme3-7",
            CASME3,
            {
                "disgust": 250,
                "surprise": 187,
                "others": 161,
                "fear": 86,
                "anger": 64,
                "sadness": 57,
                "happiness": 55,
            },
            0,
        ),
    ],
)
def test_the_counts_of_the_literature(name, words, by_class, dropped):
    assert counts(name, words) == (by_class, dropped)


def test_fear_and_sadness_of_casme2_are_dropped_but_for_mmnet():
    words = ["fear", "sadness", "disgust", "others"]
    assert label_set("casme2-3").encode(words)[0].tolist() == [-1, -1, 0, -1]
    assert label_set("casme2-3-mmnet").encode(words)[0].tolist() == [0, 0, 0, -1]
    megc = label_set("megc2019")
    assert megc.encode(words[:2], ["casme2", "samm"])[0].tolist() == [-1, 0]
    assert megc.encode(words[:2], ["casme2", "casme2"])[1] == {"fear": 1, "sadness": 1}


def test_case_plural_and_blanks_do_not_matter():
    labels, dropped = label_set("casme2-5").encode([" Others", "other", "OTHERS", "Happy", "Sad"])
    assert labels.tolist() == [4, 4, 4, 0, -1]
    assert dropped == {"sadness": 1}
    assert labels.dtype == np.int64


def test_an_unknown_word_names_its_row_and_the_known_ones():
    with pytest.raises(
        EvaluationError,
        match=r'label set mmew-4, row 1: the word "bored" is unknown.*known are: anger',
    ):
        label_set("mmew-4").encode(["fear", "bored"])


def test_every_set_is_complete():
    for name, labels in LABEL_SETS.items():
        assert labels.name == name
        assert labels.source
        reached = {target for target in labels.mapping.values() if target}
        assert reached == set(labels.classes)
        assert len(set(labels.classes)) == len(labels.classes) >= 3


def test_mistakes_are_refused():
    with pytest.raises(EvaluationError, match="casme9: is not a known label set"):
        label_set("casme9")
    with pytest.raises(EvaluationError, match=r"odd: \['c'\] are none of its classes"):
        LabelSet("odd", ("a", "b"), {"x": "c"}, "stranger")
    with pytest.raises(EvaluationError, match="1 words, but 2 databases"):
        label_set("megc2019").encode(["fear"], ["samm", "samm"])


def test_action_units_without_side_and_strength():
    labels = encode_action_units([["4", "L10"], ["R12B", "AU14"], ["28"], []], ("4", "10", "12"))
    assert labels.tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]]
    with pytest.raises(EvaluationError, match='row 1: "blink" is not an action unit'):
        encode_action_units([["4"], ["blink"]])
