"""Agreement of coders against hand-computed cases, scikit-learn and the krippendorff package."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from ma2mi.errors import EvaluationError
from ma2mi.evaluation.agreement import Coding, compare_coders, frame_alpha
from ma2mi.evaluation.coded_events import MatchSettings, match_annotations, overlap_of
from ma2mi.evaluation.kappas import alpha_of, kappa_of, modified_kappa
from ma2mi.formats.annotation import Annotation
from ma2mi.formats.annotation_files import write_annotations
from ma2mi.formats.codings import read_coding


def mark(start: float, end: float, label: str = "", aus: str = "", **more: object) -> Annotation:
    return Annotation(Fraction(str(start)), Fraction(str(end)), label, aus=aus, **more)  # type: ignore[arg-type]


def draw_codings(seed: int, recordings: int = 4, coders: int = 2) -> list[Coding]:
    """Coders who see the same events a little differently, miss some, and mistake some."""
    rng = np.random.default_rng(seed)
    codings: list[dict[str, list[Annotation]]] = [{} for _ in range(coders)]
    for number in range(recordings):
        starts = np.sort(rng.uniform(0, 60, 8))
        truth = [
            (s, s + rng.uniform(0.1, 0.5), rng.choice(["happy", "sad", "anger"])) for s in starts
        ]
        for coding in codings:
            found = []
            for start, end, label in truth:
                if rng.random() < 0.2:
                    continue
                word = label if rng.random() < 0.8 else "anger"
                shift = rng.normal(0, 0.02, 2)
                units = "+".join(rng.choice(["1", "4", "12"], 2, replace=False))
                found.append(
                    mark(round(start + shift[0], 3), round(end + abs(shift[1]), 3), word, units)
                )
            coding[f"r{number}"] = found
    return [Coding(f"coder{i}", coding) for i, coding in enumerate(codings)]


def test_overlap_and_matching_by_hand() -> None:
    # shared 2 s of 6 s; 1 s of 5 s
    assert overlap_of(mark(0, 4), mark(2, 6)) == pytest.approx(1 / 3)
    assert overlap_of(mark(0, 1), mark(2, 3)) == 0
    assert overlap_of(mark(1, 1), mark(1, 1)) == 1
    first, second = [mark(0, 1), mark(2, 3)], [mark(0.1, 1), mark(2, 2.4), mark(5, 6)]
    assert match_annotations(first, second, MatchSettings()) == [(0, 0)]
    assert match_annotations(first, second, MatchSettings(iou=0.4)) == [(0, 0), (1, 1)]
    by_time = MatchSettings(tolerance_s=0.1)
    assert match_annotations(first, second, by_time) == [(0, 0)]


def test_one_long_event_matches_one_of_two_halves() -> None:
    halves = [mark(0, 0.6), mark(0.6, 1)]
    assert match_annotations([mark(0, 1)], halves, MatchSettings()) == [(0, 0)]


@pytest.mark.parametrize("seed", range(5))
def test_kappa_equals_scikit_learn_and_alpha_krippendorff(seed: int) -> None:
    krippendorff = pytest.importorskip("krippendorff")
    rng = np.random.default_rng(seed)
    one, other = rng.integers(0, 3, (2, 40))
    table = np.zeros((3, 3), int)
    np.add.at(table, (one, other), 1)
    assert kappa_of(table) == pytest.approx(cohen_kappa_score(one, other))
    expected = krippendorff.alpha([one, other], level_of_measurement="nominal")
    assert alpha_of(table) == pytest.approx(expected)


def test_alpha_of_frames_of_three_coders_equals_krippendorff() -> None:
    krippendorff = pytest.importorskip("krippendorff")
    codings = draw_codings(3, coders=3)
    settings = MatchSettings(step_s=0.05)
    words = sorted({a.label for c in codings for r in c.recordings.values() for a in r})
    rows = []
    for coding in codings:
        row: list[int] = []
        for name in sorted(coding.recordings):
            last = max(float(a.end_s) for c in codings for a in c.recordings[name])
            frames = math.ceil(last / 0.05 - 1e-9)
            seen = [len(words)] * frames
            for a in coding.recordings[name]:
                for frame in range(frames):
                    if float(a.start_s) <= (frame + 0.5) * 0.05 < float(a.end_s):
                        seen[frame] = words.index(a.label)
            row += seen
        rows.append(row)
    expected = krippendorff.alpha(rows, level_of_measurement="nominal")
    assert frame_alpha(codings, settings) == pytest.approx(expected)
    two = compare_coders(codings[:2], settings)[0]
    # Two of the coders alone see other last events, so frames without any may be fewer.
    assert frame_alpha(codings[:2], settings) == pytest.approx(two.frame_alpha.value)


def test_modified_kappa_by_hand() -> None:
    """A table whose fitted counts are found by hand.

    4 and 2 events of two classes match, 2 of class A and 2 of class B stay with each coder:
    doubled [[8, 0, 2], [0, 4, 2], [2, 2, 0]], margins 10, 6, 4. With the last cell 0 and the same
    margins on both sides the fitted table is [[a, b, c], [b, d, e], [c, e, 0]] with c + e = 4 and
    all of the form x_i x_j: x = (p, q, r), p r + q r = 4, p (p + q + r) = 10, q (p + q + r) = 6.
    So p = 5 t, q = 3 t, r = 4 / (8 t), and 5 t (8 t + 1 / (2 t)) = 10 gives 40 t^2 = 7.5.
    """
    table = np.array([[4, 0, 2], [0, 2, 2], [2, 2, 0]])
    t2 = 7.5 / 40
    chance = 25 * t2 + 9 * t2
    observed = 12.0
    assert modified_kappa(table) == pytest.approx((observed - chance) / (20 - chance), abs=1e-6)


def test_modified_kappa_of_one_class_is_0_and_of_full_agreement_1() -> None:
    assert modified_kappa([[5, 1], [2, 0]]) == pytest.approx(0, abs=1e-9)
    assert modified_kappa([[3, 0, 0], [0, 4, 0], [0, 0, 0]]) == pytest.approx(1)


def test_figures_of_two_coders_by_hand() -> None:
    anna = Coding(
        "anna",
        {
            "a": [
                mark(1, 1.4, "happy", "6+12", apex_s=Fraction(6, 5)),
                mark(3, 3.2, "anger", "4"),
                mark(5, 5.2, "anger", "4"),
            ],
            "b": [mark(2, 2.5, "happy", "12")],
        },
    )
    ben = Coding(
        "ben",
        {
            "a": [
                mark(1.02, 1.4, "happiness", "12", apex_s=Fraction(5, 4)),
                mark(3, 3.2, "disgust", "4+9"),
            ],
            "b": [mark(2, 2.4, "happy", "12"), mark(9, 9.3, "anger", "4")],
        },
    )
    pair = compare_coders([anna, ben])[0]
    assert pair.events == (4, 4)
    assert (pair.matched, pair.agreed) == (3, 2)
    assert pair.detection.value == pytest.approx(2 * 3 / 8)
    assert pair.reliability.value == pytest.approx(2 * 2 / 8)
    assert pair.classes == ("anger", "disgust", "happiness")
    assert pair.table.tolist() == [[0, 1, 0, 1], [0, 0, 0, 0], [0, 0, 2, 0], [1, 0, 0, 0]]
    onset, apex, offset = pair.differences
    assert (onset.count, apex.count, offset.count) == (3, 1, 3)
    assert onset.mean_s == pytest.approx(0.02 / 3)
    assert apex.mean_s == pytest.approx(0.05)
    assert math.isnan(apex.sd_s)
    assert offset.mean_s == pytest.approx(-0.1 / 3)
    assert offset.high_s - offset.mean_s == pytest.approx(1.96 * np.std([0, 0, -0.1], ddof=1))
    units = {u.unit: u for u in pair.units}
    assert (units["12"].first, units["12"].second, units["12"].both) == (2, 2, 2)
    assert units["4"].reliability == pytest.approx(2 * 1 / (2 + 2))
    assert units["6"].reliability == 0
    assert pair.curve[0.5] == pytest.approx(0.75)
    assert pair.curve[0.9] == pytest.approx(2 * 2 / 8)  # IoU 0.95, 1 and 0.8


def test_agreement_with_oneself_is_full_and_intervals_hold_the_value() -> None:
    one, other = draw_codings(1)
    same = compare_coders([one, Coding("twin", one.recordings)])[0]
    for figure in (
        same.detection,
        same.reliability,
        same.kappa,
        same.modified_kappa,
        same.frame_kappa,
    ):
        assert figure.value == pytest.approx(1)
    pair = compare_coders([one, other])[0]
    for figure in (pair.detection, pair.modified_kappa, pair.frame_alpha):
        assert figure.low <= figure.value <= figure.high
        assert figure.low < figure.high


def test_swapping_coders_changes_no_figure() -> None:
    one, other = draw_codings(2)
    here, there = compare_coders([one, other])[0], compare_coders([other, one])[0]
    for name in ("detection", "reliability", "kappa", "alpha", "modified_kappa", "frame_alpha"):
        assert getattr(here, name).value == pytest.approx(getattr(there, name).value)
    assert here.differences[0].mean_s == pytest.approx(-there.differences[0].mean_s)


def test_coders_without_a_recording_in_common_are_refused() -> None:
    with pytest.raises(EvaluationError, match="no recording in common"):
        compare_coders([Coding("a", {"x": []}), Coding("b", {"y": []})])
    with pytest.raises(EvaluationError, match="two or more"):
        compare_coders([Coding("a", {"x": []})])


def test_nothing_marked_by_anybody_is_not_defined() -> None:
    pair = compare_coders([Coding("a", {"x": []}), Coding("b", {"x": []})])[0]
    assert pair.matched == 0
    assert math.isnan(pair.detection.value)
    assert math.isnan(pair.modified_kappa.value)


@pytest.mark.parametrize("suffix", [".eaf", ".boris", "_events.tsv", ".csv"])
def test_agree_reads_every_format(suffix: str, tmp_path: Path) -> None:
    codings = draw_codings(5, recordings=1)
    for coding in codings:
        folder = tmp_path / coding.coder
        folder.mkdir()
        write_annotations(coding.recordings["r0"], folder / f"r0{suffix}")
    read = [Coding(c.coder, read_coding(tmp_path / c.coder)) for c in codings]
    assert [list(c.recordings) for c in read] == [["r0"], ["r0"]]
    found, expected = compare_coders(read)[0], compare_coders(codings)[0]
    assert found.table.tolist() == expected.table.tolist()
    assert found.differences[0].mean_s == pytest.approx(expected.differences[0].mean_s, abs=1e-6)


def test_agree_prints_a_sentence_and_writes_files(
    tmp_path: Path, ma2mi: Callable[..., tuple[int, str, str]]
) -> None:
    for coding in draw_codings(6, recordings=3, coders=3):
        folder = tmp_path / coding.coder
        folder.mkdir()
        for name, marks in coding.recordings.items():
            write_annotations(marks, folder / f"{name}.csv")
    paths = [str(tmp_path / f"coder{i}") for i in range(3)]
    code, shown, _ = ma2mi("agree", *paths[:2], f"third={paths[2]}", "--out", tmp_path / "out")
    assert code == 0
    assert "report: coder0 and coder1 marked" in shown
    assert "coder0 and third" in shown
    assert "alpha of all 3 coders" in shown
    tree = json.loads((tmp_path / "out" / "agreement.json").read_text())
    assert len(tree["pairs"]) == 3
    rows = (tmp_path / "out" / "matched.csv").read_text().splitlines()
    assert len(rows) == 1 + sum(pair["matched"] for pair in tree["pairs"])
    assert (tmp_path / "out" / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_files_of_one_recording_each_are_compared_whatever_their_names(
    tmp_path: Path, ma2mi: Callable[..., tuple[int, str, str]]
) -> None:
    one, other = draw_codings(7, recordings=1)
    write_annotations(one.recordings["r0"], tmp_path / "anna.eaf")
    write_annotations(other.recordings["r0"], tmp_path / "ben.csv")
    code, shown, _ = ma2mi("agree", tmp_path / "anna.eaf", tmp_path / "ben.csv")
    assert code == 0
    assert "taken as one recording: anna, ben" in shown


def test_wrong_calls_of_agree_are_one_line(
    tmp_path: Path, ma2mi: Callable[..., tuple[int, str, str]]
) -> None:
    write_annotations([mark(1, 2, "happy")], tmp_path / "a.csv")
    (tmp_path / "empty").mkdir()
    for words in (["a.csv"], ["a.csv", "nowhere"], ["a.csv", "empty"], ["a.csv", "a.csv"]):
        code, _, said = ma2mi("agree", *words)
        assert code == 2, words
        assert len(said.strip().splitlines()) == 1, said
