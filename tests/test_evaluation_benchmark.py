"""The benchmark: nothing leaks, nothing depends on jobs or interruptions, bad input is refused."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from ma2mi.errors import EvaluationError, StoreError
from ma2mi.evaluation import PROTOCOLS, Protocol, load_run, run_benchmark
from ma2mi.evaluation.metrics import uf1
from ma2mi.evaluation.run_folder import CodeChanged
from ma2mi.evaluation.splits import all_subjects_tested, loso
from ma2mi.files import Busy, hold

CLASSES = ("negative", "positive", "surprise")


@dataclass
class NearestMean:
    """Softmax over distances to the class means; ``record`` keeps the bytes it was given."""

    classes: int = 3
    seed: int = 0
    noise: float = 0.0
    name: str = "nearest-mean"
    fails_on: str = ""
    record: list[bytes] | None = None

    @property
    def settings(self) -> dict[str, object]:
        return {"noise": self.noise}

    def reseed(self, seed: int) -> NearestMean:
        return replace(self, seed=seed)

    def fit(self, clips, labels, subjects) -> Means:
        if self.fails_on and self.fails_on not in subjects:
            raise RuntimeError("the lights went out")
        if self.record is not None:
            self.record.append(clips.tobytes() + labels.tobytes() + subjects.tobytes())
        draw = np.random.default_rng(self.seed).normal(size=(self.classes, clips.shape[1]))
        total = self.noise * draw
        np.add.at(total, labels, clips)
        means = total / np.maximum(np.bincount(labels, minlength=self.classes), 1)[:, None]
        return Means(means, {"shrinkage": "none, fixed"})


@dataclass
class Means:
    means: np.ndarray
    chosen: dict[str, str] = field(default_factory=dict)

    def predict(self, clips):
        logits = -((clips[:, None] - self.means) ** 2).sum(axis=-1)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)


@dataclass
class RandomEpochs:
    """Predicts at random in each of its epochs: what choosing among them on test data yields."""

    seed: int = 0
    epochs: int = 60
    name: str = "random-epochs"

    @property
    def settings(self) -> dict[str, object]:
        return {"epochs": self.epochs}

    def reseed(self, seed: int) -> RandomEpochs:
        return replace(self, seed=seed)

    def fit(self, clips, labels, subjects) -> RandomEpochs:
        return replace(self, seed=self.seed + int(abs(clips).sum() * 1e6) % 2**31)

    def predict_epochs(self, clips):
        rng = np.random.default_rng(self.seed)
        odds = rng.random((self.epochs, len(clips), 3)) + 0.01
        return odds / odds.sum(axis=-1, keepdims=True)

    def predict(self, clips):
        return self.predict_epochs(clips)[-1]


class Says:
    """A predictor that returns what it was given."""

    def __init__(self, probabilities) -> None:
        self.probabilities = np.asarray(probabilities, float)

    def predict(self, clips):
        return self.probabilities


def a_set(subject_count: int = 8, clips: int = 6, signal: float = 2.0, seed: int = 0):
    """Features with a class signal: x [n, 5], labels, subjects, keys."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(subject_count * clips) % 3)
    x = rng.normal(size=(len(labels), 5))
    x[np.arange(len(labels)), labels] += signal
    subjects = [f"s{i // clips:02d}" for i in range(len(labels))]
    return x, labels, subjects, [f"clip{i:03d}" for i in range(len(labels))]


def run(learner, data, **options):
    x, labels, subjects, keys = data
    options = {"protocol": "loso", "classes": CLASSES, **options}
    return run_benchmark(learner, x, labels, subjects, keys=keys, **options)


def files_of(folder: Path) -> dict[str, bytes]:
    """All result files; timings tell the clock and are none."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != "timings.csv"
    }


class TestHonestRun:
    def test_a_signal_is_found_and_every_clip_predicted_once(self):
        data = a_set()
        result = run(NearestMean(), data)
        pool = result.pool()
        assert sorted(pool.keys) == data[3]
        assert len(result.folds) == 8
        assert result.scores()["mean"]["uf1"] > 0.6
        assert "nearest-mean on loso" in result.text()
        assert result.folds[0].chosen == {"shrinkage": "none, fixed"}
        assert result.folds[3].subjects == ("s03",) * 6
        assert "s03" not in result.folds[3].train_subjects

    def test_several_seeds_give_mean_and_sd(self):
        result = run(NearestMean(noise=8.0), a_set(), seeds=(0, 1, 2))
        tree = result.scores()
        each = [tree["seeds"][str(seed)]["overall"]["uf1"] for seed in (0, 1, 2)]
        assert len(set(each)) > 1
        assert tree["mean"]["uf1"] == pytest.approx(np.mean(each), abs=1e-15)
        assert tree["sd"]["uf1"] == pytest.approx(np.std(each, ddof=1), abs=1e-15)

    def test_databases_are_scored_apart(self):
        data = a_set()
        bases = ["one"] * 24 + ["two"] * 24
        result = run(NearestMean(), data, databases=bases, protocol="cde")
        by_database = result.scores()["seeds"]["0"]["databases"]
        assert set(by_database) == {"one", "two"}
        pool = result.pool()
        one = pool.databases == "one"
        assert by_database["one"]["uf1"] == uf1(pool.truth[one], pool.predicted[one], 3)
        assert result.folds[0].fold == "one/s00"

    def test_a_class_that_a_database_lacks_is_said(self):
        x, labels, subjects, keys = a_set()
        labels = np.where((np.arange(48) < 24) & (labels == 2), 0, labels)
        bases = ["one"] * 24 + ["two"] * 24
        result = run(NearestMean(), (x, labels, subjects, keys), databases=bases, protocol="cde")
        by_database = result.scores()["seeds"]["0"]["databases"]
        assert by_database["one"]["absent_counted_as_0"] == ["surprise"]
        assert "absent_counted_as_0" not in by_database["two"]

    def test_aliases_leave_a_person_out_under_both_names(self):
        result = run(NearestMean(), a_set(), aliases={"s07": "s00"})
        assert len(result.folds) == 7
        assert len(result.folds[0].keys) == 12

    def test_action_units_take_many_labels_a_clip(self):
        x, _, subjects, keys = a_set()
        labels = (x[:, :4] > 0.5).astype(int)
        protocol = Protocol("units", loso, "", units=tuple("1234"), metrics=("mean_unit_f1",))

        class Threshold(NearestMean):
            def fit(self, clips, labels, subjects):
                return self

            def predict(self, clips):
                return 1 / (1 + np.exp(-4 * (clips[:, :4] - 0.5)))

        result = run_benchmark(Threshold(), x, labels, subjects, keys=keys, protocol=protocol)
        assert result.scores()["mean"]["mean_unit_f1"] == 1.0
        assert set(result.scores()["seeds"]["0"]["classes"]) == set("1234")

    def test_zero_shot_trains_nothing(self):
        x, labels, subjects, keys = a_set()
        result = run_benchmark(
            Means(np.eye(3, 5) * 2),
            x,
            labels,
            subjects,
            keys=keys,
            protocol="zero-shot",
            classes=CLASSES,
        )
        assert [fold.train_subjects for fold in result.folds] == [()]
        assert result.scores()["mean"]["uf1"] > 0.6

    def test_what_is_told_in_notes(self):
        x, labels, subjects, keys = a_set(subject_count=3)
        labels = np.where(labels == 2, 0, labels)
        labels[:2] = 2
        result = run(
            NearestMean(), (x, labels, subjects, keys), pretraining_subjects=["s01", "stranger"]
        )
        assert result.notes == (
            "test subjects that are in the pre-training: s01",
            "seed 0, s00: no training subject shows surprise",
        )

    def test_other_counts_than_the_protocol_has_are_refused(self):
        data = a_set()
        bases = ["casme2"] * 24 + ["samm"] * 24
        result = run(NearestMean(), data, protocol="megc2019", databases=bases, classes=())
        assert "442 clips of 68 subjects, these are 48 of 8" in result.notes[0]

    def test_the_hook_hears_each_fold(self):
        heard = []
        run(NearestMean(), a_set(), on_progress=heard.append)
        assert [(p.done, p.total, p.detail.fold) for p in heard][-1] == (8, 8, "s07")
        assert not any(p.detail.resumed for p in heard)


class TestNoLeak:
    def test_labels_of_the_left_out_leave_training_untouched(self):
        x, labels, subjects, keys = a_set()
        mine = np.array(subjects) == "s02"
        changed = np.where(mine, (labels + 1) % 3, labels)
        fits = []
        for these in (labels, changed):
            seen: list[bytes] = []
            learner = Shared(seen)
            result = run(learner, (x, these, subjects, keys), backend="sequential")
            fits.append((seen, result.folds[2].probabilities))
        assert fits[0][0][2] == fits[1][0][2]
        assert fits[0][0][1] != fits[1][0][1]  # others do train on s02
        assert fits[0][1] == fits[1][1]

    def test_labels_that_follow_only_the_person_score_no_better_than_chance(self):
        subject_count, clips, honest, leaking = 30, 6, [], []
        labels = np.repeat(np.arange(subject_count) % 3, clips)
        subjects = np.array([f"s{i:02d}" for i in np.repeat(np.arange(subject_count), clips)])
        keys = [f"k{i}" for i in range(len(labels))]
        for seed in range(12):
            rng = np.random.default_rng(seed)
            x = np.repeat(rng.normal(size=(subject_count, 40)), clips, axis=0)
            x += 0.05 * rng.normal(size=x.shape)
            apart = run(NearestMean(), (x, labels, subjects, keys), backend="sequential")
            honest.append(apart.scores()["mean"]["uar"])
            # The same learner with the same subjects on both sides.
            mixed = NearestMean().fit(x[::2], labels[::2], subjects[::2])
            leaking.append((mixed.predict(x[1::2]).argmax(1) == labels[1::2]).mean())
        assert np.mean(honest) < 1 / 3 + 0.05
        assert np.mean(leaking) > 0.8

    def test_folds_share_no_state(self):
        class Remembers(NearestMean):
            fits = 0

            def reseed(self, seed):
                return self

            def fit(self, clips, labels, subjects):
                self.fits += 1
                assert self.fits == 1
                return super().fit(clips, labels, subjects)

        run(Remembers(), a_set(), backend="sequential")


class Shared(NearestMean):
    """Records into one list, though the benchmark copies it for each fold."""

    def __init__(self, record: list[bytes]) -> None:
        super().__init__()
        self.record = record

    def __deepcopy__(self, memo):
        return Shared(self.record)

    def reseed(self, seed):
        return self


class TestBestOnTest:
    def test_chance_looks_far_better_when_selected_on_test_data(self, tmp_path):
        data = a_set(subject_count=20, signal=0.0)
        result = run(RandomEpochs(), data, also_best_on_test=True, out=tmp_path / "run")
        tree = result.scores()
        assert tree["mean"]["accuracy"] < 0.5
        assert tree["best_on_test"]["mean"]["accuracy"] > 0.65
        assert tree["best_on_test"]["stamp"] == "selected on test data"
        assert "SELECTED ON TEST DATA" in result.text()
        assert json.loads((tmp_path / "run/scores.json").read_text())["best_on_test"]["stamp"]
        assert "selected on test data" in (tmp_path / "run/predictions.csv").read_text()

    def test_the_honest_scores_do_not_change(self):
        data = a_set(subject_count=6, signal=0.0)
        plain, both = run(RandomEpochs(), data), run(RandomEpochs(), data, also_best_on_test=True)
        assert plain.scores()["seeds"] == both.scores()["seeds"]
        assert plain.pool().probabilities.tobytes() == both.pool().probabilities.tobytes()
        with pytest.raises(EvaluationError, match="also-report-best-on-test"):
            plain.pool(best_on_test=True)

    def test_a_learner_without_epochs_is_reported(self):
        with pytest.raises(EvaluationError, match="remembers no epochs"):
            run(NearestMean(), a_set(), also_best_on_test=True)


class TestSameBytes:
    def test_jobs_and_backends_do_not_change_a_byte(self, tmp_path):
        data, seen = a_set(), {}
        for name, options in {
            "one": {},
            "two": {"jobs": 2},
            "threads": {"jobs": 2, "backend": "threading"},
            "plain": {"backend": "sequential"},
        }.items():
            result = run(NearestMean(noise=3.0), data, seeds=(0, 7), out=tmp_path / name, **options)
            seen[name] = files_of(tmp_path / name)
            assert load_run(tmp_path / name) == result
            assert set(load_run(tmp_path / name).fit_s) == set(result.fit_s)
        assert len(seen["one"]) == 7 + 16
        assert all(files == seen["one"] for files in seen.values())

    def test_an_interrupted_run_goes_on_to_the_same_bytes(self, tmp_path):
        data, heard = a_set(), []
        whole = run(NearestMean(), data, out=tmp_path / "whole")
        with pytest.raises(EvaluationError, match="lights") as caught:
            run(NearestMean(fails_on="s04"), data, out=tmp_path / "cut")
        assert caught.value.where.endswith(":NearestMean.fit, fold s04, seed 0")
        assert len(list((tmp_path / "cut/folds").iterdir())) == 4
        with pytest.raises(EvaluationError, match="has not finished"):
            load_run(tmp_path / "cut")
        (tmp_path / "cut/folds/0-0004-s04.json.part").write_text("{half a fi")
        again = run(NearestMean(), data, out=tmp_path / "cut", on_progress=heard.append)
        (tmp_path / "cut/folds/0-0004-s04.json.part").unlink(missing_ok=True)
        assert [p.detail.resumed for p in heard] == [True] * 4 + [False] * 4
        assert again == whole == load_run(tmp_path / "cut")
        assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")

    def test_a_killed_run_goes_on_to_the_same_bytes(self, tmp_path):
        script = """
import os, signal, sys
import numpy as np
from ma2mi.evaluation import run_benchmark

class Centroid:
    name, settings = "centroid", {}
    def reseed(self, seed):
        return self
    def fit(self, clips, labels, subjects):
        if sys.argv[2] == "dies" and "s3" not in subjects:
            os.kill(os.getpid(), signal.SIGKILL)
        self.means = np.stack([clips[labels == c].mean(axis=0) for c in range(2)])
        return self
    def predict(self, clips):
        odds = np.exp(-((clips[:, None] - self.means) ** 2).sum(axis=-1))
        return odds / odds.sum(axis=1, keepdims=True)

x = np.random.default_rng(0).normal(size=(24, 4))
run_benchmark(Centroid(), x, np.arange(24) % 2, [f"s{i // 4}" for i in range(24)],
              keys=[f"k{i}" for i in range(24)], protocol="loso", classes=("a", "b"),
              out=sys.argv[1])
"""

        def start(out, fate):
            command = [sys.executable, "-c", script, str(tmp_path / out), fate]
            return subprocess.run(command, check=False).returncode

        assert start("whole", "lives") == 0
        assert start("cut", "dies") == -signal.SIGKILL
        assert len(list((tmp_path / "cut/folds").iterdir())) == 3
        assert start("cut", "lives") == 0
        assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")

    def test_a_run_killed_at_its_very_start_goes_on(self, tmp_path):
        (tmp_path / "run").mkdir()
        (tmp_path / "run/.run.json.4711").write_text('{"vers')
        result = run(NearestMean(), a_set(subject_count=3), out=tmp_path / "run")
        assert load_run(tmp_path / "run") == result

    def test_a_run_killed_before_its_environment_was_written_goes_on(self, tmp_path):
        whole = run(NearestMean(), a_set(subject_count=3), out=tmp_path / "whole")
        (tmp_path / "run").mkdir()
        (tmp_path / "run/run.json").write_bytes((tmp_path / "whole/run.json").read_bytes())
        assert run(NearestMean(), a_set(subject_count=3), out=tmp_path / "run") == whole
        assert (tmp_path / "run/environment.json").is_file()

    def test_another_run_is_refused(self, tmp_path):
        data = a_set()
        run(NearestMean(), data, out=tmp_path / "run")
        with pytest.raises(EvaluationError, match="other settings"):
            run(NearestMean(noise=1.0), data, out=tmp_path / "run")
        x, labels, subjects, keys = data
        with pytest.raises(EvaluationError, match="other data_hash"):
            run(NearestMean(), (x + 1e-9, labels, subjects, keys), out=tmp_path / "run")
        (tmp_path / "run/folds/0-0000-s00.json").write_text("{}")
        with pytest.raises(EvaluationError, match="was changed since it was written"):
            run(NearestMean(), data, out=tmp_path / "run")
        (tmp_path / "run/.written.json").unlink()
        with pytest.raises(EvaluationError, match="damaged"):
            run(NearestMean(), data, out=tmp_path / "run")
        (tmp_path / "attic").mkdir()
        (tmp_path / "attic/letters.txt").write_text("dear")
        with pytest.raises(EvaluationError, match="holds files, but no run"):
            run(NearestMean(), data, out=tmp_path / "attic")

    @pytest.mark.slow
    @pytest.mark.enable_socket
    @pytest.mark.filterwarnings("ignore")  # dask and ray warn of their own inner workings
    @pytest.mark.parametrize("backend", ["dask", "ray"])
    def test_clusters_do_not_change_a_byte(self, backend, tmp_path):
        class Here:
            """A local class travels by value: the workers cannot import this file."""

            name, settings = "here", {}

            def reseed(self, seed):
                return self

            def fit(self, clips, labels, subjects):
                self.means = np.stack([clips[labels == label].mean(axis=0) for label in range(3)])
                return self

            def predict(self, clips):
                odds = np.exp(-((clips[:, None] - self.means) ** 2).sum(axis=-1))
                return odds / odds.sum(axis=1, keepdims=True)

        data = a_set()
        run(Here(), data, out=tmp_path / "one")
        run(Here(), data, out=tmp_path / "many", jobs=2, backend=backend)
        assert files_of(tmp_path / "one") == files_of(tmp_path / "many")


class TestFolder:
    def test_what_differs_is_named_setting_by_setting(self, tmp_path):
        data = a_set(subject_count=3)
        run(NearestMean(), data, out=tmp_path / "run", settings={"a": 1, "b": [1, 2]})
        with pytest.raises(EvaluationError) as raised:
            run(NearestMean(noise=1.0), data, out=tmp_path / "run", settings={"a": 2, "c": {}})
        line = str(raised.value)
        for output in (
            "settings.learner.noise was 0.0, is 1.0",
            "settings.run.a was 1, is 2",
            "settings.run.b was [1, 2], is not there",
        ):
            assert output in line

    def test_another_version_is_refused_and_another_state_of_the_code_is_said(
        self, tmp_path, monkeypatch
    ):
        data = a_set(subject_count=4)
        with pytest.raises(EvaluationError, match="lights"):
            run(NearestMean(fails_on="s02"), data, out=tmp_path / "run")
        monkeypatch.setattr("ma2mi.evaluation.benchmark.code_digest", lambda: "other")
        with pytest.warns(CodeChanged, match="another state of ma2mi's code"):
            run(NearestMean(), data, out=tmp_path / "run")
        run(NearestMean(), data, out=tmp_path / "run")  # finished: nothing is mixed
        monkeypatch.setattr("ma2mi._version.__version__", "0.0.1")
        with pytest.raises(EvaluationError, match=r'version was ".*", is "0\.0\.1"'):
            run(NearestMean(), data, out=tmp_path / "run")

    @pytest.mark.parametrize(
        "name", ["folds/0-0001-s01.json", "predictions.csv", "scores.json", ".written.json"]
    )
    def test_what_was_deleted_is_missed_and_made_again(self, tmp_path, name):
        data = a_set(subject_count=3)
        result = run(NearestMean(), data, out=tmp_path / "run")
        before = files_of(tmp_path / "run")
        (tmp_path / "run" / name).unlink()
        if name.startswith("folds"):
            with pytest.raises(EvaluationError, match=r"is missing\. Run it again"):
                load_run(tmp_path / "run")
        assert run(NearestMean(), data, out=tmp_path / "run") == result
        assert files_of(tmp_path / "run") == before

    @pytest.mark.parametrize("name", ["folds/0-0001-s01.json", "predictions.csv", "scores.json"])
    def test_what_was_changed_is_never_replaced(self, tmp_path, name):
        data = a_set(subject_count=3)
        run(NearestMean(), data, out=tmp_path / "run")
        path = tmp_path / "run" / name
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(EvaluationError, match=r"was changed since it was written\. Move it"):
            run(NearestMean(), data, out=tmp_path / "run")
        assert path.read_bytes() == content[: len(content) // 2]
        if name.startswith("folds"):
            with pytest.raises(EvaluationError, match="was changed since it was written"):
                load_run(tmp_path / "run")
        path.unlink()
        run(NearestMean(), data, out=tmp_path / "run")
        assert path.read_bytes() == content

    def test_folders_of_versions_before_are_read(self, tmp_path):
        result = run(NearestMean(), a_set(subject_count=3), out=tmp_path / "run")
        (tmp_path / "run/.written.json").unlink()
        sheet = json.loads((tmp_path / "run/run.json").read_text())
        del sheet["code"]
        (tmp_path / "run/run.json").write_text(json.dumps(sheet))
        assert load_run(tmp_path / "run").folds == result.folds

    def test_two_at_once_are_one_and_a_line(self, tmp_path):
        with hold(tmp_path / "run"), pytest.raises(Busy, match="another process is writing here"):
            run(NearestMean(), a_set(subject_count=3), out=tmp_path / "run")
        assert not (tmp_path / "run").exists()

    def test_a_file_where_the_folder_would_be(self, tmp_path):
        (tmp_path / "run").write_text("notes")
        for out in (tmp_path / "run", tmp_path / "run/inner"):
            with pytest.raises(StoreError, match="A file stands where a folder is needed"):
                run(NearestMean(), a_set(subject_count=3), out=out)

    def test_a_hook_that_raises_is_not_blamed_on_the_disk(self, tmp_path):
        def hook(_):
            raise OSError(28, "of the hook")

        with pytest.raises(OSError, match="of the hook"):
            run(NearestMean(), a_set(subject_count=3), out=tmp_path / "run", on_progress=hook)

    @pytest.mark.parametrize("backend", ["loky", "sequential", "threading"])
    def test_the_process_keeps_its_threads(self, backend):
        limits = [(pool["filepath"], pool["num_threads"]) for pool in threadpool_info()]
        heard = []

        def hook(_):
            if backend != "threading":  # which shares them with its folds
                heard.extend(pool["num_threads"] for pool in threadpool_info())

        run(NearestMean(), a_set(subject_count=3), backend=backend, on_progress=hook)
        after = [(pool["filepath"], pool["num_threads"]) for pool in threadpool_info()]
        assert after == limits
        assert set(heard) <= {threads for _, threads in limits}


class TestBadInput:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"labels": [0, 1, 2, -1]}, r"row 3, clip d: label -1 is outside 0..2"),
            ({"labels": [0, 1, 1, 0]}, "no clip shows surprise"),
            ({"labels": [0.0, 1, 2, 0]}, "float64"),
            ({"subjects": ["s"] * 4}, r"only one subject \(s\)"),
            ({"subjects": ["s", "t", "", "t"]}, "row 2: no subject"),
            ({"subjects": ["s", "t"]}, "2 subjects, but 4 keys"),
            ({"keys": ["a", "b", "c", "a"]}, "row 3, clip a: the same clip as row 0"),
            ({"x": np.array([[0.0], [1], [np.nan], [3]])}, "row 2, clip c: values are not finite"),
            ({"x": np.zeros((3, 1))}, "3 clips, but 4 keys"),
            ({"classes": ("a", "a", "b")}, "two or more different classes"),
            ({"classes": ()}, "Name two or more"),
            ({"protocol": "casme2-5"}, "casme2-5: classes negative.*Its classes are happiness"),
            ({"seeds": (1, 1)}, "each seed once"),
            ({"jobs": 0}, "0 jobs"),
            ({"backend": "abacus"}, "abacus: is not a known backend"),
            ({"protocol": "lotto"}, "lotto: is not a known protocol"),
            ({"protocol": "cde"}, "cde: no databases"),
            (
                {"protocol": "megc2019", "classes": (), "databases": ["x"] * 4},
                "row 0: database x is none of",
            ),
            ({"learner": Says([])}, "Says: cannot fit"),
            ({"settings": {"model": object()}}, "settings cannot be written"),
        ],
    )
    def test_is_reported(self, change, message):
        given = {
            "learner": NearestMean(),
            "x": np.arange(4.0)[:, None],
            "labels": [0, 1, 2, 0],
            "subjects": ["s", "t", "s", "t"],
            "keys": ["a", "b", "c", "d"],
            **change,
        }
        data = tuple(given.pop(name) for name in ("x", "labels", "subjects", "keys"))
        with pytest.raises(EvaluationError, match=message):
            run(given.pop("learner"), data, **given)

    @pytest.mark.parametrize(
        ("output", "message"),
        [
            ([[1, 0, 0]], r"shape \(1, 3\), not \(3, 3\)"),
            ([[1, 0, 0], [0.5, np.nan, 0.5], [0, 0, 1]], "clip b: probabilities are not finite"),
            ([[1, 0, 0], [0, 1, 0], [1.2, -0.2, 0]], "clip c: probabilities outside"),
            ([[1, 0, 0], [0, 1, 0], [0.5, 0.2, 0]], "clip c: probabilities do not sum to 1"),
        ],
    )
    def test_a_prediction_names_its_clip(self, output, message):
        with pytest.raises(EvaluationError, match=message):
            run(
                Says(output),
                (np.zeros((3, 1)), [0, 1, 2], ["s"] * 3, ["a", "b", "c"]),
                protocol="zero-shot",
            )


class Faulty:
    """A learner whose one method returns, or raises, what it should not."""

    def __init__(self, method, returns):
        self.method, self.returns = method, returns

    def _call(self, method, otherwise):
        if method != self.method:
            return otherwise
        if isinstance(self.returns, Exception):
            raise self.returns
        return self.returns

    def reseed(self, seed):
        return self._call("reseed", self)

    def fit(self, clips, labels, subjects):
        return self._call("fit", self)

    def predict(self, clips):
        return self._call("predict", np.full((len(clips), 3), 1 / 3))

    @property
    def chosen(self):
        return self._call("chosen", {})


class TestFaultsOfALearner:
    @pytest.mark.parametrize(
        ("method", "returns", "message"),
        [
            (
                "reseed",
                ValueError("no\nluck"),
                "Faulty.reseed, fold s00, seed 0: ValueError: no luck",
            ),
            (
                "reseed",
                None,
                "reseed, fold s00.*TypeError: returned NoneType, which has no method fit",
            ),
            ("fit", KeyError("x"), "Faulty.fit, fold s00, seed 0: KeyError: 'x'"),
            (
                "fit",
                7,
                "Faulty.fit, fold s00.*: TypeError: returned int, which has no method predict",
            ),
            (
                "predict",
                MemoryError(),
                "Faulty.predict, fold s00, seed 0: MemoryError. MA2MI_TRACE",
            ),
            ("predict", "words", "Faulty.predict, fold s00, seed 0: ValueError: could not convert"),
            ("predict", None, r"Faulty.predict, fold s00, seed 0: probabilities have shape \(\)"),
            (
                "predict",
                [[0.5, 0.5]],
                r"Faulty.predict, fold s00.*probabilities have shape \(1, 2\)",
            ),
            ("chosen", {"a": object()}, "Faulty.chosen, curve or notes, fold s00"),
        ],
    )
    def test_one_line_names_class_method_and_fold(self, method, returns, message):
        with pytest.raises(EvaluationError, match=message) as raised:
            run(Faulty(method, returns), a_set(subject_count=3))
        assert "\n" not in str(raised.value)

    def test_another_process_reports_it_as_well(self):
        with pytest.raises(EvaluationError, match=r"Faulty.fit, fold s0\d, seed 0: OSError: gone"):
            run(Faulty("fit", OSError("gone")), a_set(subject_count=3), jobs=2)

    def test_notes_of_a_predictor_are_kept(self):
        learner = Faulty("", None)
        learner.notes = ["drawn by lot"]
        result = run(learner, a_set(subject_count=3))
        assert "seed 0, s01: drawn by lot" in result.notes


class TestProtocols:
    def test_each_is_complete(self):
        for name, protocol in PROTOCOLS.items():
            assert protocol.name == name
            assert protocol.source
            assert protocol.metrics
            assert protocol.trains == (protocol.splitter is not all_subjects_tested)

    def test_the_names_of_the_literature_are_there(self):
        assert {"loso", "sde", "cde", "hde", "megc2019", "cd6me", "zero-shot"} <= set(PROTOCOLS)
        assert {"casme2-5", "casme2-3", "samm-5", "mmew-4", "casme3-7"} <= set(PROTOCOLS)
        assert PROTOCOLS["megc2019"].classes == CLASSES
        assert len(PROTOCOLS["cd6me"].classes) == 12

    def test_megc2019_leaves_three_clips_out(self):
        leaves_out = PROTOCOLS["megc2019"].leaves_out
        assert leaves_out("casme2", "sub04", "EP12_01f")
        assert leaves_out("casme2", "24", "EP02_07")
        assert not leaves_out("casme2", "5", "EP12_01f")
        assert not leaves_out("samm", "04", "EP12_01f")
        assert not leaves_out("casme2", "sub", "EP12_01f")


def test_files_keep_the_names_of_earlier_versions(tmp_path):
    """Scripts and older runs read "people" where the code says subjects."""
    run(NearestMean(), a_set(subject_count=3), out=tmp_path / "run")
    fold = json.loads((tmp_path / "run" / "folds" / "0-0000-s00.json").read_text())
    assert (fold["people"], fold["train_people"]) == (["s00"] * 6, ["s01", "s02"])
    assert "pretraining_people" in json.loads((tmp_path / "run" / "run.json").read_text())
    assert "subjects" not in fold
