"""Marks of ELAN, BORIS, BIDS and tables: from seconds to frames, and from words to classes."""

import json
import string
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("cv2")

from hypothesis import given, settings
from hypothesis import strategies as st

from ma2mi.datasets import open_corpus
from ma2mi.datasets.annotated_frames import Meaning, expression_of
from ma2mi.datasets.annotations import Annotations
from ma2mi.datasets.convert import write_manifest
from ma2mi.errors import CorpusError
from ma2mi.formats.annotation_files import Annotation, read_annotations, write_annotations
from ma2mi.formats.findings import LeftOut
from ma2mi.records import Recording
from ma2mi.testing import FAKES, write_fake
from ma2mi.video import write_frames, write_video

FILES = ("marks.eaf", "marks.boris", "sub-07_task-film_events.tsv", "marks.csv")
SECOND = Fraction(1)


@pytest.fixture
def film(tmp_path):
    """40 frames at 20 frames a second: frame i is seen from i * 50 ms."""
    write_video(tmp_path / "film.mp4", [np.zeros((32, 32, 3), np.uint8)] * 40, 20)
    return tmp_path / "film.mp4"


def table(folder, rows, header="path,subject,start_s,end_s,emotion,aus,kind"):
    (folder / "marks.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder


def frames(corpus):
    return [(e.onset, e.apex, e.offset, e.emotion) for e in corpus.expressions()]


def only_finding(corpus):
    (finding,) = corpus.findings()
    return finding


class TestFiles:
    @pytest.mark.parametrize("name", FILES)
    @given(
        st.lists(
            st.tuples(
                st.integers(0, 500),
                st.integers(1, 60),
                st.text(string.ascii_letters + "äß<&é ", min_size=1).map(str.strip).filter(bool),
            ),
            min_size=1,
            max_size=6,
            unique_by=(lambda mark: mark[0], lambda mark: mark[2].lower()),
        ),
        st.sampled_from([Fraction(25), Fraction(30000, 1001), Fraction(60), Fraction(200)]),
    )
    @settings(max_examples=25, deadline=None)
    def test_frames_survive_writing_and_reading(self, tmp_path_factory, name, marks, fps):
        """Milliseconds are enough to find the frames again."""
        marks = [(first, first + length - 1, word) for first, length, word in sorted(marks)]
        file = tmp_path_factory.mktemp("marks") / name
        write_annotations(
            [Annotation(a / fps, (b + 1) / fps, word, word, "film.mp4") for a, b, word in marks],
            file,
        )
        times = [i / fps for i in range(600)]
        recording = Recording(file, "", "")
        back = sorted(read_annotations(file), key=lambda one: one.start_s)
        found = [expression_of(recording, one, Meaning(one.label), times) for one in back]
        assert [(e.onset, e.offset, e.emotion) for e in found] == marks

    @pytest.mark.parametrize("name", FILES)
    def test_what_a_format_holds_comes_back(self, name, tmp_path):
        one = Annotation(
            Fraction(1, 2),
            SECOND,
            "smile",
            "face",
            "film.mp4",
            "07",
            Fraction(3, 4),
            "6+12",
            "micro",
        )
        write_annotations([one], tmp_path / name)
        (back,) = read_annotations(tmp_path / name)
        layer = {"marks.csv": "emotion", FILES[2]: "trial_type"}.get(name, "face")
        assert back == replace(one, layer=layer)

    def test_elan_knows_other_times_and_annotations_of_annotations(self, tmp_path):
        (tmp_path / "a.eaf").write_text(
            """<ANNOTATION_DOCUMENT><HEADER>
            <MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/x/a.wav" MIME_TYPE="audio/x-wav"/>
            <MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/x/a.mp4" MIME_TYPE="video/mp4"
              TIME_ORIGIN="250"/></HEADER>
            <TIME_ORDER><TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="500"/>
            <TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="900"/></TIME_ORDER>
            <TIER TIER_ID="face" PARTICIPANT="anna"><ANNOTATION><ALIGNABLE_ANNOTATION
              ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
              <ANNOTATION_VALUE>smile</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
            <TIER TIER_ID="units" PARENT_REF="face"><ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a2"
              ANNOTATION_REF="a1"><ANNOTATION_VALUE>12</ANNOTATION_VALUE></REF_ANNOTATION>
              </ANNOTATION></TIER></ANNOTATION_DOCUMENT>"""
        )
        smile, unit = read_annotations(tmp_path / "a.eaf")
        assert (smile.start_s, smile.end_s) == (unit.start_s, unit.end_s)
        assert (smile.start_s, smile.end_s) == (Fraction(3, 4), Fraction(23, 20))
        assert (smile.media, smile.subject) == ("file:///C:/x/a.mp4", "anna")
        assert (unit.layer, unit.label) == ("units", "12")

    @pytest.mark.parametrize(
        "text",
        [
            "Observation id,Media file,Subject,Behavior,Behavioral category,Behavior type,"
            "Start (s),Stop (s)\no,C:\\x\\a.mp4,anna,smile,face,STATE,1.500,2.250\n",
            "Observation id;Media file name;Subject;Behavior;Behavioral category;Behavior type;"
            "Time\no;a.mp4;anna;smile;face;START;1,5\no;a.mp4;anna;smile;face;STOP;2,25\n",
            "Observation id,o\n\nTime,Media file path,Subject,Behavior,Behavioral category,Status\n"
            "1.5,a.mp4,anna,smile,face,START\n2.25,a.mp4,anna,smile,face,STOP\n",
        ],
        ids=["aggregated", "tabular", "tabular, older"],
    )
    def test_what_boris_exports(self, text, tmp_path):
        (tmp_path / "events.csv").write_text(text)
        (one,) = read_annotations(tmp_path / "events.csv")
        assert (one.start_s, one.end_s) == (Fraction(3, 2), Fraction(9, 4))
        assert (one.label, one.layer, one.subject) == ("smile", "face", "anna")
        assert one.media.endswith("a.mp4")

    @pytest.mark.parametrize(
        ("name", "text", "message"),
        [
            ("a.eaf", "<ANNOTATION", "is no XML"),
            ("a.boris", "{}", "is no BORIS project"),
            ("a.csv", "name,age\nanna,30\n", "has no columns that are known"),
            ("a.eaf", "<other/>", "is no ELAN document but other"),
            ("a.txt", "", "is no file of annotations"),
        ],
    )
    def test_what_cannot_be_read_is_named(self, name, text, message, tmp_path):
        (tmp_path / name).write_text(text)
        with pytest.raises(CorpusError, match=message) as caught:
            read_annotations(tmp_path / name)
        assert caught.value.where.startswith(str(tmp_path / name))
        assert caught.value.hint

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("start_s,end_s\n1,2\n1,soon\n", "row 3, column end_s: 'soon' is no time"),
            ("start_s,end_s\n1,2\n1,1e99999999\n", "'1e99999999' is no time"),
            ("start_s,end_s\n1,2\nnan,3\n", "'nan' is no time"),
            ("start_s,end_s\n1,2\n1700000000,3\n", "is no time of a video"),
            ("start_s,end_s\n1,2\n4,3\n", "row 3: ends at 3.000 s, before it begins"),
            ("start_s,end_s\n1,2\n1,40,2,0\n", "row 3: has 2 cells more than the header"),
            (
                "Behavior,Behavior type,Time\na,START,1\na,STOP,2\nb,START,3\n",
                "row 4: 'b' starts and never stops",
            ),
            (
                "Behavior,Behavior type,Time\na,START,1\na,STOP,2\nb,STOP,3\n",
                "row 4: 'b' stops and never started",
            ),
        ],
    )
    def test_a_row_that_cannot_be_read_takes_no_other_along(self, text, message, tmp_path):
        (tmp_path / "a.csv").write_text(text)
        faults = []
        (one,) = read_annotations(tmp_path / "a.csv", faults=faults)
        assert (one.start_s, one.end_s) == (1, 2)
        (fault,) = faults
        assert message in str(fault)
        assert fault.severity == "error"
        with pytest.warns(LeftOut, match="1 annotations are left out"):
            read_annotations(tmp_path / "a.csv")

    def test_a_slot_without_neighbours_is_named(self, tmp_path):
        write_annotations([Annotation(Fraction(0), SECOND, "smile", "face")], tmp_path / "a.eaf")
        text = (tmp_path / "a.eaf").read_text()
        (tmp_path / "a.eaf").write_text(text.replace(' TIME_VALUE="1000"', ""))
        faults = []
        assert read_annotations(tmp_path / "a.eaf", faults=faults) == []
        assert faults[0].place == "tier face, annotation a1"
        assert "has no time" in faults[0].what

    def test_videos_of_unknown_length_played_in_turn_are_named(self, tmp_path):
        write_annotations([Annotation(Fraction(0), SECOND, "smile")], tmp_path / "a.boris")
        project = json.loads((tmp_path / "a.boris").read_text())
        project["observations"]["observation"]["file"]["1"] = ["a.mp4", "b.mp4"]
        (tmp_path / "a.boris").write_text(json.dumps(project))
        faults = []
        assert read_annotations(tmp_path / "a.boris", faults=faults) == []
        assert "how long a.mp4 lasts is not known" in faults[0].what

    @pytest.mark.parametrize(("start_s", "end_s"), [(2, 1), (-1, 1)])
    @pytest.mark.parametrize("name", FILES)
    def test_times_that_do_not_rise_are_not_written(self, name, start_s, end_s, tmp_path):
        with pytest.raises(CorpusError, match="Give times that rise from 0"):
            write_annotations(
                [Annotation(Fraction(start_s), Fraction(end_s), "joy")], tmp_path / name
            )
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("name", FILES)
    def test_no_word_breaks_a_file(self, name, tmp_path):
        words = ["a\x00b\x0b", "\ud800", "=1+1", "<&>\"'", "a;b,c\td", "高兴", "x" * 5000]
        given = [
            Annotation(Fraction(n), Fraction(2 * n + 1, 2), word, "t", "film.mp4")
            for n, word in enumerate(words)
        ]
        write_annotations(given, tmp_path / name)
        back = [one.label for one in read_annotations(tmp_path / name)]
        assert back[2:] == words[2:]
        assert len(back) == len(words)

    def test_pympi_reads_what_is_written_and_writes_what_is_read(self, tmp_path):
        pympi = pytest.importorskip("pympi")
        one = Annotation(Fraction(1, 2), SECOND, "joy & <more>", "face", "film.mp4", "anna")
        two = Annotation(Fraction(3, 4), Fraction(2), "fear", "face", "film.mp4", "anna")
        write_annotations([one, two], tmp_path / "a.eaf")
        document = pympi.Elan.Eaf(str(tmp_path / "a.eaf"))
        assert document.get_annotation_data_for_tier("face") == [(500, 1000, "joy & <more>")]
        assert document.get_annotation_data_for_tier("face (2)") == [(750, 2000, "fear")]
        made = pympi.Elan.Eaf()
        made.add_linked_file("file:///C:/x/film.mp4", mimetype="video/mp4")
        made.add_linguistic_type(
            "symbolic", constraints="Symbolic_Association", timealignable=False
        )
        made.add_tier("face", part="anna")
        made.add_tier("units", ling="symbolic", parent="face")
        made.add_annotation("face", 500, 1000, "joy")
        made.add_ref_annotation("units", "face", 600, "6+12")
        made.to_file(str(tmp_path / "b.eaf"))
        faults = []
        back = read_annotations(tmp_path / "b.eaf", faults=faults)
        assert faults == []
        assert {(o.start_s, o.end_s, o.label, o.layer) for o in back} == {
            (Fraction(1, 2), SECOND, "joy", "face"),
            (Fraction(1, 2), SECOND, "6+12", "units"),
        }


MARKED = [(6, 10, 15, "anger"), (24, 28, 33, "happiness"), (42, 46, 51, "surprise")]


class TestCorpus:
    @pytest.mark.parametrize("layout", FAKES["annotations"].layouts)
    def test_every_tool_tells_the_same(self, layout, tmp_path):
        corpus = open_corpus("annotations", write_fake("annotations", tmp_path, layout=layout))
        assert frames(corpus) == MARKED * 3
        assert {e.kind for e in corpus.expressions()} == {"micro"}
        assert [r.person for r in corpus.recordings()] == [f"annotations/0{i}" for i in (1, 2, 3)]
        assert corpus.findings() == []

    def test_it_converts_to_a_manifest_that_reads_alike(self, tmp_path):
        corpus = open_corpus("annotations", write_fake("annotations", tmp_path, layout="elan"))
        assert write_manifest(corpus, tmp_path / "manifest.csv") == 9
        manifest = open_corpus("manifest", tmp_path)
        assert frames(manifest) == frames(corpus)
        assert [e.subject for e in manifest.expressions()] == [
            e.subject for e in corpus.expressions()
        ]

    @pytest.mark.parametrize(
        ("start", "end", "onset", "offset"),
        [
            ("0", "0.05", 0, 0),
            ("0.099", "0.201", 2, 3),  # a millisecond off: frames 2 and 3
            ("0.02", "0.21", 0, 4),
            ("1.95", "2.0", 39, 39),
        ],
    )
    def test_seconds_become_the_frames_that_are_seen(self, film, start, end, onset, offset):
        root = table(film.parent, [f"film.mp4,anna,{start},{end},joy,,"])
        assert frames(Annotations(root)) == [(onset, None, offset, "joy")]

    def test_long_ones_are_macro_unless_told(self, film):
        rows = [
            "film.mp4,anna,0,0.5,a,,",
            "film.mp4,anna,0.6,1.15,b,,",
            "film.mp4,anna,1.2,2,c,,micro",
        ]
        kinds = [e.kind for e in Annotations(table(film.parent, rows)).expressions()]
        assert kinds == ["micro", "macro", "micro"]

    def test_a_folder_of_frames_needs_its_rate(self, tmp_path):
        write_frames(tmp_path / "clip", [np.zeros((32, 32, 3), np.uint8)] * 20)
        header = "path,start_s,end_s,emotion,fps"
        root = table(tmp_path, ["clip,0.05,0.10,joy,100"], header)
        assert frames(Annotations(root)) == [(5, None, 9, "joy")]
        root = table(tmp_path, ["clip,0.05,0.10,joy,"], header)
        assert "without a frame rate" in only_finding(Annotations(root)).what

    @pytest.mark.parametrize(
        ("row", "what", "place"),
        [
            ("film.mp4,anna,3,4,joy,,", "3.000 s is not in the video", "row 2"),
            ("film.mp4,anna,1,9,joy,,", "8.999 s is not in the video", "row 2"),
            ("film.mp4,anna,1,1,joy,,", "does not last", "row 2"),
            ("film.mp4,anna,1,1.2,joy,,tiny", "'tiny' is neither micro nor macro", "row 2"),
            ("film.mp4,anna,1,1.2,apex,,", "marks an apex outside any expression", "row 2"),
            ("other.mp4,anna,1,1.2,joy,,", "is about other.mp4, which is there 0 times", ""),
        ],
    )
    def test_what_is_left_out_is_told(self, film, row, what, place):
        corpus = Annotations(table(film.parent, [row]))
        with pytest.warns(LeftOut, match=what):
            assert corpus.expressions() == []
        finding = corpus.findings()[0]
        assert (finding.severity, finding.place) == ("error", place)
        assert finding.hint

    def test_a_doubtful_unit_does_not_cost_the_emotion(self, film):
        corpus = Annotations(table(film.parent, ["film.mp4,anna,1,1.2,joy,6+smile,"]))
        (one,) = corpus.expressions()
        assert (one.emotion, one.action_units) == ("joy", ("6",))
        told = only_finding(corpus)
        assert (told.severity, told.what) == ("warning", "smile of '6+smile' cannot be read")

    def test_two_at_once_contradict_each_other(self, film):
        rows = ["film.mp4,anna,1,1.2,joy,,", "film.mp4,anna,1,1.3,fear,,"]
        corpus = Annotations(table(film.parent, rows))
        assert only_finding(corpus).what == "begins with 'joy' in frame 20"
        with pytest.warns(LeftOut):
            assert frames(corpus) == [(20, None, 23, "joy")]

    def test_two_people_in_one_video_are_refused(self, film):
        rows = ["film.mp4,anna,1,1.2,joy,,", "film.mp4,ben,0,0.2,joy,,"]
        assert "shows anna and ben" in only_finding(Annotations(table(film.parent, rows))).what

    def test_without_names_each_video_is_a_person(self, film):
        corpus = Annotations(table(film.parent, ["film.mp4,,1,1.2,joy,,"]))
        assert [r.subject for r in corpus.recordings()] == ["film"]
        assert only_finding(corpus).severity == "note"

    def test_unmarked_videos_are_recordings_too(self, film):
        write_video(film.with_name("second.mp4"), [np.zeros((32, 32, 3), np.uint8)] * 4, 20)
        root = table(film.parent, ["film.mp4,anna,1,1.2,joy,,"])
        assert [r.name for r in Annotations(root).recordings()] == ["film.mp4", "second.mp4"]
        assert [r.name for r in Annotations(root / "marks.csv").recordings()] == ["film.mp4"]

    def test_a_table_of_something_else_is_told_and_passed_over(self, film):
        root = table(film.parent, ["film.mp4,anna,1,1.2,joy,,"])
        (root / "people.csv").write_text("name,age\nanna,30\n")
        corpus = Annotations(root)
        assert len(corpus.expressions()) == 1
        assert only_finding(corpus).severity == "warning"

    @pytest.mark.parametrize("media", ["file:///C:/my%20films/film.mp4", r"C:\films\film.mp4", ""])
    def test_a_video_is_found_wherever_it_lay(self, film, media):
        one = Annotation(Fraction(0), SECOND, "joy", "face", media, "anna")
        write_annotations([one], film.with_name("film.eaf"))
        assert frames(Annotations(film.parent)) == [(0, None, 19, "joy")]

    def test_an_empty_folder_is_refused(self, tmp_path):
        with pytest.raises(CorpusError, match="holds no file of annotations"):
            Annotations(tmp_path)


class TestLabels:
    @pytest.fixture
    def root(self, film):
        write_annotations(
            [
                Annotation(Fraction(1, 2), SECOND, "smile", "face", "film.mp4", "anna"),
                Annotation(Fraction(1, 2), Fraction(3, 4), "12", "units", "film.mp4", "anna"),
                Annotation(Fraction(3, 4), Fraction(4, 5), "peak", "face", "film.mp4", "anna"),
                Annotation(Fraction(3, 2), Fraction(7, 4), "4", "units", "film.mp4", "anna"),
                Annotation(Fraction(0), SECOND, "hello there", "speech", "film.mp4", "anna"),
            ],
            film.with_name("film.eaf"),
        )
        return film.parent

    def test_words_and_layers_are_mapped(self, root):
        (root / "labels.csv").write_text(
            "layer,label,emotion,aus,kind\n"
            ",Smile,happiness,6,macro\n,peak,apex,,\nunits,*,,*,\nspeech,*,,,\n"
        )
        first, second = Annotations(root).expressions()
        assert (first.onset, first.apex, first.offset) == (10, 15, 19)
        assert (first.emotion, first.action_units, first.kind) == (
            "happiness",
            ("6", "12"),
            "macro",
        )
        assert (second.onset, second.emotion, second.action_units) == (30, "", ("4",))

    def test_a_word_that_is_not_mapped_is_told(self, root):
        (root / "labels.csv").write_text("label,emotion\nsmile,happiness\n*,\n")
        assert len(Annotations(root).expressions()) == 1
        (root / "labels.csv").write_text("label,emotion\nsmile,happiness\n")
        told = [finding.what for finding in Annotations(root).findings()]
        assert "'peak' is not in labels.csv (layer face)" in told
        assert len(told) == 4

    def test_another_file_can_be_given(self, root, tmp_path_factory):
        other = tmp_path_factory.mktemp("other") / "mine.csv"
        other.write_text("label,emotion\nsmile,positive\n*,\n")
        assert [e.emotion for e in Annotations(root, other).expressions()] == ["positive"]
        with pytest.raises(CorpusError, match=r"nowhere.csv: does not exist"):
            Annotations(root, "nowhere.csv")
