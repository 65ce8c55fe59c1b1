"""Who a model has seen: subjects in its weights are never tested, clips of others never tested."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import numpy as np
import pytest

from ma2mi.errors import EvaluationError
from ma2mi.evaluation import load_run, run_benchmark, run_learning_curve
from ma2mi.evaluation.audit import Fingerprint, audit_run, audit_text

CLASSES = ("negative", "positive", "surprise")
#: 3 subjects of mine and 2 of theirs with 3 clips each, one a class.
SUBJECTS = ["anna", "ben", "eve"] * 3 + ["01", "02"] * 3
BASES = ["mine"] * 9 + ["theirs"] * 6
LABELS = np.repeat([0, 1, 2], 3).tolist() + np.repeat([0, 1, 2], 2).tolist()
KEYS = [f"{base}/{one}/{i}" for i, (base, one) in enumerate(zip(BASES, SUBJECTS, strict=True))]
THEIRS = np.array(BASES) == "theirs"
SAME = {"theirs/02": "mine/ben"}


@dataclass
class Remembers:
    """Keeps what it was given to fit on; predicts the first class."""

    given: list = field(default_factory=list)
    name: str = "remembers"
    settings: dict = field(default_factory=dict)

    def __deepcopy__(self, memo):
        return self

    def reseed(self, seed):
        return self

    def fit(self, clips, labels, subjects):
        self.given.append((clips[:, 0].astype(int).tolist(), labels.tolist(), subjects.tolist()))
        return self

    def predict(self, clips):
        return np.tile([0.5, 0.25, 0.25], (len(clips), 1))


def run(learner=None, **options):
    options = {"training_only": THEIRS, "backend": "sequential", "protocol": "loso", **options}
    return run_benchmark(
        learner or Remembers(),
        np.arange(15.0)[:, None],
        LABELS,
        SUBJECTS,
        databases=BASES,
        keys=KEYS,
        classes=CLASSES,
        **options,
    )


class TestTrainingOnly:
    def test_joins_every_fold_and_is_never_tested(self):
        learner = Remembers()
        result = run(learner)
        assert [f.fold for f in result.folds] == ["mine/anna", "mine/ben", "mine/eve"]
        assert sorted(result.pool().keys) == sorted(KEYS[:9])
        for (rows, labels, subjects), fold in zip(learner.given, result.folds, strict=True):
            left_out = [i for i in range(9) if f"mine/{SUBJECTS[i]}" == fold.fold]
            assert rows == [i for i in range(15) if i not in left_out]
            assert labels == [LABELS[i] for i in rows]
            assert fold.fold not in subjects
            assert set(fold.train_subjects) == set(subjects)

    def test_a_subject_of_mine_under_their_name_leaves_the_fold(self):
        learner = Remembers()
        result = run(learner, aliases=SAME)
        without = [i for i in range(15) if SUBJECTS[i] not in ("ben", "02")]
        assert learner.given[1][0] == without
        assert len(learner.given[0][0]) == 12
        assert "mine/ben; where they are tested" in result.notes[0]
        assert result.record.train_also == {
            "mine/ben": tuple(KEYS[10::2]),
            "theirs/01": tuple(KEYS[9::2]),
        }

    def test_a_curve_keeps_all_of_them_at_every_size(self):
        learner = Remembers()
        curve = run_learning_curve(
            learner,
            np.arange(15.0)[:, None],
            LABELS,
            SUBJECTS,
            databases=BASES,
            keys=KEYS,
            classes=CLASSES,
            protocol="loso",
            sizes=[1, 2],
            draws=2,
            training_only=THEIRS,
            backend="sequential",
        )
        assert [len(runs) for runs in curve.runs.values()] == [2, 2]
        for number, (rows, _, _) in enumerate(learner.given):
            assert set(range(9, 15)) <= set(rows)
            assert len(rows) == 6 + 3 * (1 if number < 6 else 2)

    def test_without_any_it_is_the_run_that_it_was(self, tmp_path):
        run(training_only=None, out=tmp_path / "one")
        run(training_only=np.zeros(15, bool), out=tmp_path / "one")  # goes on: nothing differs

    def test_it_is_part_of_the_record(self, tmp_path):
        result = run(out=tmp_path / "run")
        assert load_run(tmp_path / "run") == result
        with pytest.raises(EvaluationError, match="other train_also"):
            run(aliases=None, training_only=None, out=tmp_path / "run")

    def test_a_run_of_before_still_loads(self, tmp_path):
        result = run(training_only=None, out=tmp_path / "run")
        sheet = tmp_path / "run" / "run.json"
        tree = json.loads(sheet.read_text("utf-8"))
        del tree["train_also"], tree["trained_subjects"]
        sheet.write_text(json.dumps(tree), "utf-8")
        assert load_run(tmp_path / "run") == result

    def test_mine_need_all_classes_and_theirs_do_not(self):
        labels = np.array(LABELS)
        x = np.arange(15.0)[:, None]
        options = {"databases": BASES, "keys": KEYS, "classes": CLASSES, "protocol": "loso"}
        fewer = np.where(THEIRS, 0, labels)
        run_benchmark(Remembers(), x, fewer, SUBJECTS, training_only=THEIRS, **options)
        lacking = np.where(~THEIRS & (labels == 2), 0, labels)
        with pytest.raises(EvaluationError, match="no clip shows surprise"):
            run_benchmark(Remembers(), x, lacking, SUBJECTS, training_only=THEIRS, **options)

    def test_a_database_that_the_protocol_does_not_know_may_join(self):
        bases = ["casme2" if b == "mine" else b for b in BASES]
        bases[0:9:3] = ["samm"] * 3
        options = {"protocol": "megc2019", "backend": "sequential", "keys": KEYS}
        x = np.arange(15.0)[:, None]
        args = Remembers(), x, LABELS, SUBJECTS
        result = run_benchmark(*args, databases=bases, training_only=THEIRS, **options)
        assert "these are 9 of 3" in result.notes[0]
        with pytest.raises(EvaluationError, match="database theirs is none of"):
            run_benchmark(*args, databases=bases, **options)

    @pytest.mark.parametrize(
        ("rows", "what"),
        [
            (np.ones(15, bool), "with some to test"),
            (np.zeros(14, bool), "shape"),
            (np.zeros(15, int), "int64"),
        ],
    )
    def test_a_mask_that_is_none_is_refused(self, rows, what):
        with pytest.raises(EvaluationError, match=what):
            run(training_only=rows)

    def test_nothing_can_join_where_nothing_is_trained(self):
        with pytest.raises(EvaluationError, match="zero-shot: trains nothing"):
            run(protocol="zero-shot")


class TestTrainedSubjects:
    @pytest.mark.parametrize("protocol", ["zero-shot", "loso"])
    def test_none_of_them_is_tested(self, protocol):
        with pytest.raises(EvaluationError, match="labelled clips of mine/anna, and would be"):
            run(
                protocol=protocol,
                training_only=None,
                trained_subjects=["mine/anna", "elsewhere/01"],
            )

    def test_under_another_name_neither(self):
        with pytest.raises(EvaluationError, match="mine/ben"):
            run(trained_subjects=["theirs/02"], aliases=SAME)

    def test_they_may_join_the_training(self):
        result = run(trained_subjects=["theirs/02"])
        assert result.record.trained_subjects == ("theirs/02",)
        text = audit_text(result, audit_run(result))
        assert "in the weights, with labels: 1 subjects (theirs/02)" in text
        assert "only trained on: 6 clips of 2 subjects (theirs/01, theirs/02)" in text

    def test_many_are_counted(self):
        with pytest.raises(EvaluationError, match="mine/anna, mine/ben, mine/eve and 1 more"):
            run(
                training_only=None,
                trained_subjects=["mine/anna", "mine/ben", "mine/eve", "theirs/01"],
            )

    def test_an_audit_finds_them_in_a_record(self):
        result = run()
        record = result.record.model_copy(update={"trained_subjects": ("mine/eve",)})
        forged = type(result)(record, result.folds)
        assert audit_run(forged).faults == (
            "fold mine/eve: mine/eve left out, but in the weights, with labels",
        )


class TestCopies:
    def faults(self, first, second, **options):
        prints = [Fingerprint(key, str(i) * 64, "") for i, key in enumerate(KEYS[:9])]
        prints += [Fingerprint(key, "abcdef"[i] * 64, "") for i, key in enumerate(KEYS[9:])]
        prints[second] = Fingerprint(KEYS[second], prints[first].exact, "")
        sheet = audit_run(run(**options), prints)
        return sheet.faults, sheet.remarks

    def test_a_copy_of_a_tested_clip_is_a_fault(self):
        faults, _ = self.faults(1, 9)
        assert faults == ("mine/ben/1 and theirs/01/9 are the same frames, under two subjects",)

    def test_one_of_the_same_subject_is_left_out_of_that_fold(self):
        assert self.faults(1, 10, aliases=SAME)[0] == ()

    def test_two_that_are_only_trained_on_are_a_remark(self):
        faults, remarks = self.faults(9, 12)
        assert not faults
        assert (
            "theirs/01/9 and theirs/02/12 are the same frames; both are only trained on" in remarks
        )
