"""Tables checked by hand, and a page that needs nothing from anywhere."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
from types import MappingProxyType

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

from ma2mi.errors import EvaluationError
from ma2mi.evaluation import (
    LearningCurve,
    compare_curves,
    run_benchmark,
    run_learning_curve,
)
from ma2mi.report.figures import draw_attention, draw_pretraining, draw_strip
from ma2mi.report.page import Picture, make_page
from ma2mi.report.rows import make_rows
from ma2mi.report.run_figures import (
    draw_calibration,
    draw_confusions,
    draw_fold_curves,
    draw_learning_curves,
    draw_scores,
    draw_subjects,
)
from ma2mi.report.styles import text_table
from ma2mi.report.tables import (
    compare_table,
    curve_table,
    curve_tables,
    curve_text,
    run_tables,
    score_table,
)

TRUTH = np.array([0, 1, 0, 1, 0, 1, 0, 1])
PEOPLE = ["a", "a", "b", "b", "c", "c", "d", "d"]


class Says:
    """Answers what it was told to answer, clip by clip."""

    settings = MappingProxyType({})

    def __init__(self, name, answers):
        self.name, self.answers = name, np.asarray(answers)

    def reseed(self, seed):
        return self

    def fit(self, clips, labels, subjects):
        return self

    def predict(self, clips):
        return np.eye(2)[self.answers[clips]]


def run(name, answers, n=8, learner=Says, **options):
    return run_benchmark(
        learner(name, answers),
        np.arange(n),
        TRUTH[:n],
        PEOPLE[:n],
        keys=[f"k{i}" for i in range(n)],
        protocol="loso",
        classes=("calm", "moved"),
        **options,
    )


@pytest.fixture(scope="module")
def results():
    # "half" says "calm" of everything: F1 is 8/12 and 0, so UF1 1/3, UAR 1/2, accuracy 1/2.
    return [run("half", [0] * 8), run("perfect", TRUTH), run("<b>bold</b>", 1 - TRUTH)]


def test_cells_by_hand(results):
    rows = make_rows(results)
    half, perfect, wrong = run_tables(results)[0].lines
    assert half == (
        *("half", "1", "0.333 [0.333, 0.333]", "", "0.500 [0.500, 0.500]", "0.500"),
        *("", "", "", ""),
    )
    # Of the 2^4 swaps of persons only "none" and "all" give a difference of 2/3: p = 2/16, and
    # of two tests Holm's is twice that.
    assert perfect == (
        *("perfect", "1", "1.000 [1.000, 1.000]", "", "1.000 [1.000, 1.000]", "1.000"),
        *("+0.667", "0.125", "0.250", "half"),
    )
    assert wrong[5:] == ("0.000", "-0.333", "0.125", "0.250", "half")
    assert rows[1].test.difference == pytest.approx(2 / 3)
    assert (rows[0].subjects, rows[0].clips) == (4, 8)


def test_each_against_its_own_control(results):
    rows = make_rows(results, [None, None, 1])
    assert [row.against for row in rows] == ["", "", "perfect"]
    assert rows[2].test.difference == pytest.approx(-1.0)


def test_runs_over_other_clips_are_not_compared(results):
    with pytest.raises(EvaluationError, match="short and half were tested on other clips"):
        make_rows([results[0], run("short", TRUTH, n=6)])


def test_small_p_is_not_rounded_to_zero(results, monkeypatch):
    from dataclasses import replace

    from ma2mi.report import rows as scored

    tiny = lambda *given: {0: replace(compare_curves(*given)[0], p=0.0004)}  # noqa: E731
    monkeypatch.setattr(scored, "compare_curves", tiny)
    assert [line[7] for line in run_tables(results)[0].lines] == ["", "< 0.001", "< 0.001"]


class Trains(Says):
    """Reports a curve, as a network that was trained in epochs does."""

    @property
    def curve(self):
        return [{"epoch": n, "train_loss": 1 / n, "inner_uar": 0.5 + n / 10} for n in (1, 2, 3)]

    chosen = MappingProxyType({"epoch": 3, "blend": {"pixels": 0.25}})


class SaysBySeed(Says):
    """Right with seed 0; "calm" of everything with others."""

    def reseed(self, seed):
        return SaysBySeed(self.name, TRUTH if seed == 0 else np.zeros(8, int))


def test_all_seeds_count(results):
    both = run("both", TRUTH, learner=SaysBySeed, seeds=(0, 1))
    row = make_rows([results[0], both])[1]
    assert row.scores["uf1"].value == pytest.approx((1 + 1 / 3) / 2)
    assert row.means["accuracy"] == pytest.approx(3 / 4)
    assert row.seeds_sd["uf1"] == pytest.approx((2 / 3) / 2**0.5)  # of 1 and 1/3, n - 1
    assert {seed: one["uf1"] for seed, one in row.seed_scores.items()} == {
        0: 1,
        1: pytest.approx(1 / 3),
    }
    # A subject's two seeds are swapped together, so that the smallest p is still 2/16.
    assert row.test.difference == pytest.approx(1 / 3)
    assert row.test.p == pytest.approx(0.125)


def test_text_table():
    assert text_table(("a", "bb"), [("ccc", "d"), ("", "e")]) == (
        "a    bb\n---  --\nccc  d\n     e"
    )


def test_score_table_says_how_it_was_measured(results):
    text = score_table(results)
    lines = text.splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["half", "perfect", "<b>bold</b>"]
    assert "loso: 8 clips of 4 subjects" in text


def test_every_table_has_a_line_for_each_database():
    databases = ["one", "one", "one", "one", "two", "two", "two", "two"]
    answers = [0, 1, 0, 1, 1, 0, 1, 0]  # right in the first database, wrong in the second
    both = [run(name, answers, databases=databases) for name in ("a", "b")]
    for table in (score_table(both), compare_table(both)):
        rows = [line.split() for line in table.splitlines()]
        # Equal in both runs, so that both are best.
        assert [r for r in rows if r and r[0] == "one"] == [["one", *["1.000*"] * 3]] * 2
        assert [r for r in rows if r and r[0] == "two"] == [["two", *["0.000*"] * 3]] * 2


def curve(name, answers, **options):
    return run_learning_curve(
        Says(name, answers),
        np.arange(8),
        TRUTH,
        PEOPLE,
        keys=[f"k{i}" for i in range(8)],
        protocol="loso",
        classes=("calm", "moved"),
        **{"sizes": (1, 3), "draws": 2, "backend": "sequential", **options},
    )


@pytest.fixture(scope="module")
def curves(results):
    whole = LearningCurve("whole", {0: (results[2],)})
    return [curve("half", [0] * 8), curve("perfect", TRUTH, seeds=(0, 1)), whole]


def test_learning_curves_by_hand(curves):
    lines = curve_tables(curves)[0].lines
    half, no_half = "0.333 [0.333, 0.333]", "1.000 [1.000, 1.000]"
    # Of 2^4 swaps of subjects two give so large a difference: p = 1/8; four tests, so Holm's is
    # four times that.
    assert lines[:4] == [
        ("half", "1", "2", "1", half, "0.000", "", "", "", "", ""),
        ("half", "3", "2", "1", half, "0.000", "", "", "", "", ""),
        ("perfect", "1", "2", "2", no_half, "0.000", "0.000", "+0.667", "0.125", "0.500", "half"),
        ("perfect", "3", "2", "2", no_half, "0.000", "0.000", "+0.667", "0.125", "0.500", "half"),
    ]
    level = [line[:4] + line[5:] for line in lines[4:]]
    assert level == [
        ("whole", "1", "1", "1", "", "", "-0.333", "0.125", "0.500", "half"),
        ("whole", "3", "1", "1", "", "", "-0.333", "0.125", "0.500", "half"),
    ]
    first = curve_tables([curves[2], curves[0]])[0].lines
    assert [line[:2] for line in first] == [("whole", "level"), ("half", "1"), ("half", "3")]


def test_learning_curves_in_every_style(curves):
    text = curve_text(curves)
    assert "UF1 [95 %]" in text
    assert "loso: 8 clips of 4 subjects" in text
    assert curve_table(curves) in text
    assert curve_table(curves, "markdown").startswith("| model | training subjects | draws |")
    assert "\\toprule" in curve_table(curves, "latex")
    rows = list(csv.reader(curve_table(curves, "csv").splitlines()))
    assert tuple(rows[0]) == curve_tables(curves)[0].header
    assert [row[0] for row in rows[1:]] == ["half"] * 2 + ["perfect"] * 2 + ["whole"] * 2


def test_a_page_of_learning_curves_alone(curves):
    page = make_page("Curves", curve_tables(curves), [], {})
    assert "<th>training subjects</th>" in page
    assert "<td>perfect</td>" in page
    assert "each predicted by a model trained on so many of the others" in page
    assert "<h2>Scores</h2>" not in page


def pictures(results):
    rng = np.random.default_rng(0)
    faces = rng.integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    history = [
        {"epoch": e, "loss": 1 / e, "copy": 0.7, "gain": 1 - 1 / e / 0.7, "variance": 0.5}
        for e in (1, 2, 3)
    ]
    attention = rng.random((2, 4, 4), dtype=np.float32)
    return {
        "scores": draw_scores(make_rows(results)),
        "confusions": draw_confusions(results),
        "subjects": draw_subjects(results),
        "calibration": draw_calibration(results),
        "training": draw_fold_curves([run("trained", TRUTH, learner=Trains)]),
        "curves": draw_learning_curves([curve("half", [0] * 8), curve("perfect", TRUTH)]),
        "pretraining": draw_pretraining(history),
        "attention": draw_attention(faces, faces, faces, attention, ["one", "two"]),
        "strip": draw_strip(faces, ["one", "two"]),
    }


@pytest.fixture(scope="module")
def drawn(results):
    return pictures(results)


def test_figures_are_png_and_the_same_twice(results, drawn):
    assert all(png.startswith(b"\x89PNG") for png in drawn.values())
    assert len({len(png) for png in drawn.values()}) == len(drawn)
    assert pictures(results) == drawn


def make(results, drawn):
    shown = [Picture(name, name, "A <caption>.", png) for name, png in drawn.items()]
    return make_page("A & B", run_tables(results), shown, {"protocol": "loso"})


def test_page_is_self_contained_and_the_same_twice(results, drawn):
    page = make(results, drawn)
    assert page == make(results, drawn)
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", page)
    assert "@import" not in page
    assert "url(" not in page
    assert "<script" not in page
    assert "<link" not in page
    sources = re.findall(r'src="([^"]*)"', page)
    assert len(sources) == len(drawn)
    assert all(source.startswith("data:image/png;base64,") for source in sources)


def test_page_holds_the_table_and_escapes_names(results, drawn):
    page = make(results, drawn)
    for name in run_tables(results)[0].filled().header:
        assert f"<th>{name}</th>" in page
    assert "<td><b>1.000</b> [1.000, 1.000]</td>" in page
    assert "A &amp; B" in page
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert "<b>bold" not in page
    assert "8 clips of 4 subjects" in page
    assert "no lie detector" in " ".join(page.split())


ODD = ("$x_$", "$\\frac{$", "=1+1", "@SUM(A1)", "a & b % {c} \\d ^ ~", "[/b]", "a|b", "two\nlines")


@pytest.mark.parametrize("name", ODD)
def test_names_are_no_code_anywhere(name):
    """No formula of matplotlib, LaTeX, a spreadsheet, HTML or Markdown."""
    named = [run(name, [0] * 8), run("perfect", TRUTH)]
    assert draw_scores(make_rows(named)).startswith(b"\x89PNG")
    assert draw_confusions(named).startswith(b"\x89PNG")
    first = next(csv.reader(compare_table(named, "csv").splitlines()[1:]))[0]
    assert not first.startswith(("=", "@", "+"))
    table = compare_table(named, "markdown").split("\n\n")[0]
    assert table.count("\n") == 3
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_numbers_in_tables_for_spreadsheets_stay_numbers(results):
    rows = list(csv.DictReader(compare_table(results, "csv").splitlines()))
    assert float(rows[1]["UF1 difference"]) == pytest.approx(2 / 3, abs=1e-3)
    assert rows[2]["UF1 difference"].startswith("-")


def test_pictures_leave_the_callers_style_alone_and_do_not_take_it(results):
    import matplotlib

    plain = draw_scores(make_rows(results))
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "text.usetex": True}):
        before = dict(matplotlib.rcParams)
        assert draw_scores(make_rows(results)) == plain
        assert dict(matplotlib.rcParams) == before


def test_a_log_that_is_none_is_one_line(tmp_path):
    from ma2mi.cli.report import _read_log
    from ma2mi.errors import CheckpointError

    for content in (None, b"", b"epoch,loss\n", b"epoch,loss\n1,2\n", b"epoch\nx\n", b"\xff\xfe"):
        path = tmp_path / "log.csv"
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(CheckpointError, match="pre-training"):
            _read_log(path)
    path.write_text("epoch,loss,retrieval\n1,2,0.5\n", encoding="utf-8")
    assert _read_log(path) == [{"epoch": 1, "loss": 2, "retrieval": 0.5}]


def test_a_page_of_somebody_else_is_never_replaced(results, tmp_path):
    from ma2mi.cli.report import write_report
    from ma2mi.errors import StoreError

    page = tmp_path / "report.html"
    write_report(page, results)
    first = page.read_bytes()
    pictures = sorted(p.name for p in (tmp_path / "report-figures").glob("*.png"))
    assert pictures == ["calibration.png", "confusions.png", "scores.png", "subjects.png"]
    write_report(page, results)  # ours, unchanged
    assert page.read_bytes() == first
    for content in (b"my notes", b"", first.replace(b"Scores", b"My scores", 1), first[:-20]):
        page.write_bytes(content)
        with pytest.raises(StoreError, match="was not written by ma2mi report"):
            write_report(page, results)
        assert page.read_bytes() == content
    page.unlink()
    (tmp_path / "report-figures" / "scores.png").write_bytes(b"drawn by hand")
    with pytest.raises(StoreError, match="were changed since"):
        write_report(page, results)
    assert (tmp_path / "report-figures" / "scores.png").read_bytes() == b"drawn by hand"


ODD_LATEX = (
    *ODD,
    "[x] & [y]",
    "*star*",
    "a--b ``c'' ?`d",
    "Müller ± σ-net",
    "\\",
    "{",
    "%",
    "=" * 90,
)


def latex_document(named):
    """A whole document around the tables, and the preamble that their first line asks for."""
    preamble = (
        "\\documentclass{article}\n\\usepackage{booktabs,graphicx}\n\\usepackage[T1]{fontenc}"
    )
    assert named.startswith("% \\usepackage{booktabs,graphicx}\n")
    return f"{preamble}\n\\begin{{document}}\n{named}\n\\end{{document}}\n"


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="no TeX engine on this machine")
def test_latex_compiles(results, curves, tmp_path):
    odd = [run(name.replace("σ", "s"), TRUTH if i else [0] * 8) for i, name in enumerate(ODD_LATEX)]
    seeds = [run("both", TRUTH, learner=SaysBySeed, seeds=(0, 1, 2)), results[1]]
    texts = [
        compare_table(odd, "latex"),
        compare_table(seeds, "latex"),
        curve_table(curves, "latex"),
    ]
    (tmp_path / "t.tex").write_text(latex_document("\n\n".join(texts)), encoding="utf-8")
    call = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    if "booktabs.sty' not found" in done.stdout:
        pytest.skip("this TeX has no booktabs")
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
    assert (tmp_path / "t.pdf").stat().st_size > 1000


@pytest.mark.parametrize("name", ODD_LATEX)
def test_latex_by_its_grammar(name):
    """Whatever TeX there is: braces are closed, every row has all its cells, no bare special."""
    for table in compare_table([run(name, [0] * 8), run("perfect", TRUTH)], "latex").split("\n\n"):
        bare = re.sub(r"\\[\\%&_#${}]|%.*", "", table)
        depth = 0
        for sign in re.findall(r"[{}]", bare):
            depth += 1 if sign == "{" else -1
            assert depth >= 0
        assert depth == 0
        columns = re.search(r"begin\{tabular\}\{(l+)\}", table)[1]
        rows = [line for line in table.splitlines() if line.endswith(r" \\")]
        assert len(rows) > 2
        for row in rows:
            assert len(re.findall(r"(?<!\\)&", row)) == len(columns) - 1
            assert not row.startswith(("[", "*"))
            text = re.sub(r"\\(text\w+|quad)|\\[%&_#${}]|\$(\\pm|[<>])\$", "", row[:-3])
            assert not set(text) & set("%_#$\\^~"), text
        assert table.count("\\caption{") == table.count("\\label{tab:ma2mi-") == 1


def test_the_best_are_bold_in_every_style(results):
    both = [results[0], results[1], run("again", TRUTH)]
    assert "0.333 [0.333, 0.333]  " in compare_table(both)
    assert compare_table(both).count("1.000 [1.000, 1.000]*") == 4  # UF1 and UAR of the two
    assert "*: best of the scores compared" in compare_table(both)
    assert compare_table(both, "markdown").count("**1.000** [1.000, 1.000]") == 4
    assert compare_table(both, "latex").count("\\textbf{1.000} [1.000, 1.000]") == 4
    assert "*" not in compare_table(both, "csv")
    alone = compare_table(results[:1])
    assert "*" not in alone


def test_the_caption_says_what_was_compared_and_how(results):
    caption = re.search(r"\\caption\{(.*)\}", compare_table(results, "latex"))[1]
    for words in (
        "2 classes (calm, moved)",
        "protocol loso: 8 clips of 4 subjects",
        "95 \\% intervals by bootstrap over subjects",
        "paired permutation test over subjects on UF1, adjusted by Holm",
        "against half",
        "1 seed;",
    ):
        assert words in caption
    seeds = run("both", TRUTH, learner=SaysBySeed, seeds=(0, 1))
    caption = re.search(r"\\caption\{(.*)\}", compare_table([seeds, results[1]], "latex"))[1]
    assert "Mean over 1 to 2 seeds" in caption


def test_every_seed_and_every_class_is_shown():
    both = run("both", TRUTH, learner=SaysBySeed, seeds=(0, 1))
    scores, classes, seeds = run_tables([both])
    assert scores.lines[0][3] == "0.471"  # (1 - 1/3) / sqrt 2
    assert [tuple(line) for line in classes.lines] == [
        ("calm", "both", "4", "0.833 ± 0.236", "1.000 ± 0.000", "0.750 ± 0.354"),
        ("moved", "both", "4", "0.500 ± 0.707", "0.500 ± 0.707", "0.500 ± 0.707"),
    ]
    assert tuple(seeds.header) == ("model", "metric", "seed 0", "seed 1", "mean", "sd")
    assert tuple(seeds.lines[0]) == ("both", "UF1", "1.000", "0.333", "0.667", "0.471")
    page = make_page("Seeds", run_tables([both]), [], {})
    for cell in ("0.471", "0.833 ± 0.236", "seed 1"):
        assert cell in page
        assert cell in score_table([both])


def test_confusions_sum_all_seeds(monkeypatch):
    """The picture's numbers are those of all seeds together, and it says so."""
    from matplotlib.axes import Axes

    words = []
    monkeypatch.setattr(Axes, "text", lambda self, x, y, s, **o: words.append(s))
    monkeypatch.setattr(Axes, "set_title", lambda self, s, **o: words.append(s))
    draw_confusions([run("both", TRUTH, learner=SaysBySeed, seeds=(0, 1))])
    # Seed 0 is right 8 times; seed 1 calls all 8 "calm", 4 of them rightly.
    assert words == ["8", "0", "4", "4", "both\nsum of 2 seeds"]


def test_best_on_test_rows_mean_all_seeds_and_stay_apart():
    class Remembers(Says):
        def reseed(self, seed):
            return Remembers(self.name, TRUTH if seed == 0 else np.zeros(8, int))

        def predict_epochs(self, clips):
            return np.stack([self.predict(clips)] * 2)

    one = run("both", [0] * 8, learner=Remembers, seeds=(0, 1), also_best_on_test=True)
    table = run_tables([one])[0]
    assert table.lines[1][0] == "both [SELECTED ON TEST DATA, no result]"
    assert table.lines[1][1:3] == ("2", table.lines[0][2])
    assert list(table.stamped) == [1]
    assert not table.best
    assert '<tr class="stamped">' in make_page("Stamped", [table], [], {})


def test_notes_are_on_the_page_as_in_the_console(results):
    from dataclasses import replace

    few = "27 of 442: not comparable"
    given = ((results[0], (few,)), (results[1], (few, "own")))
    noted = [
        replace(one, record=one.record.model_copy(update={"notes": notes})) for one, notes in given
    ]
    text = score_table(noted)
    assert text.count("note: 27 of 442: not comparable") == 1
    assert "note: perfect: own" in text
    page = make_page("Notes", run_tables(noted), [], {}, ["a.mp4: not a video"])
    assert "note: 27 of 442: not comparable" in page
    assert "note: perfect: own" in page
    assert "<li>a.mp4: not a video</li>" in page


def test_each_direction_of_hde_is_scored_once_and_then_their_mean():
    """Three databases, six directions, by hand: a clip is tested in two of them."""
    bases = np.repeat(["x", "y", "z"], 8)

    class ByTraining(Says):
        """Right where trained on database x (clips 0 to 7), else "calm" of everything."""

        def fit(self, clips, labels, subjects):
            return ByTraining(self.name, np.tile(TRUTH, 3) if clips[0] < 8 else np.zeros(24, int))

    result = run_benchmark(
        ByTraining("half", np.zeros(24, int)),
        np.arange(24),
        np.tile(TRUTH, 3),
        [f"{base}-{one}" for base, one in zip(bases, PEOPLE * 3, strict=True)],
        keys=[f"k{i}" for i in range(24)],
        databases=bases.tolist(),
        protocol="hde",
        classes=("calm", "moved"),
        seeds=(0, 1),
    )
    seed = result.scores()["seeds"]["0"]
    uf1s = {name: each["uf1"] for name, each in seed["directions"].items()}
    third = pytest.approx(1 / 3)
    assert uf1s == {
        **{"x to y": 1, "x to z": 1},
        **dict.fromkeys(("y to x", "y to z", "z to x", "z to y"), third),
    }
    assert seed["overall"]["uf1"] == pytest.approx((2 + 4 / 3) / 6)
    (row,) = make_rows([result])
    assert row.scores["uf1"].value == pytest.approx((2 + 4 / 3) / 6)
    assert (row.subjects, row.clips) == (12, 24)
    lines = [tuple(line) for line in run_tables([result])[0].lines]
    assert lines[0][2].startswith("0.556 [")
    assert [line[0] for line in lines[1:]] == [f"  {name}" for name in uf1s]
    assert lines[1][2] == "1.000"
    assert "each direction from one database to another scored alone" in score_table([result])
    # Against itself: no difference.
    assert make_rows([result, result])[1].test.p == 1
    assert draw_confusions([result]).startswith(b"\x89PNG")
