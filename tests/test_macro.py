"""Corpora of large expressions: who is seen and what, from paths and from the files beside them."""

import warnings
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("cv2")

import av

from ma2mi.datasets import CORPORA, open_corpus
from ma2mi.datasets.macro import MacroCorpus
from ma2mi.errors import CorpusError, VideoError
from ma2mi.formats.findings import LeftOut
from ma2mi.testing import FAKES, write_fake
from ma2mi.testing.macro import SUBJECTS
from ma2mi.video import TruncatedVideo, read_frames, write_video
from ma2mi.video.times import frame_times

MACRO = sorted(name for name in CORPORA if issubclass(CORPORA[name], MacroCorpus))

# path of a clip as the owners hand it out: corpus, person, the recording's name, the word
TOLD = {
    "cohn-kanade-images/S005/001": ("ckplus", "S005", "S005/001", ""),
    "OriginalImg/NI/Dark/P080/Fear": ("oulu-casia", "P080", "NI/Dark/P080/Fear", "Fear"),
    "B_OriginalImg/VL/Weak/P001/Anger": ("oulu-casia", "P001", "VL/Weak/P001/Anger", "Anger"),
    "Sessions/224/S002-106.avi": ("mmi", "S002", "S002-106", ""),
    "subjects3/001/anger/take000": ("mug", "001", "001/anger/take000", "anger"),
    "subjects3/033/033/fear/take002": ("mug", "033", "033/fear/take002", "fear"),
    "Clip/jpg_256/00042": ("dfew", "00042", "00042", ""),
    "2_ClipsforFaceCrop/Crime/Sad/0010": ("ferv39k", "Crime/Sad/0010", "Crime/Sad/0010", "Sad"),
    "VideoFlash/1091_WSI_NEU_X.flv": ("crema-d", "1091", "1091_WSI_NEU_X", "neutral"),
    "Actor_12/02-01-06-01-02-01-12.mp4": ("ravdess", "12", "01-06-01-02-01-12", "fearful"),
    "Video_Song_Actor_03/Actor_03/01-02-02-01-02-01-03.mp4": (
        "ravdess",
        "03",
        "02-02-01-02-01-03",
        "calm",
    ),
    "W009/video/left_30/sad/level_3/030.mp4": (
        "mead",
        "W009",
        "W009/video/left_30/sad/level_3/030",
        "sad",
    ),
    "Val_AFEW/Fear/000046280.avi": ("afew", "Fear/000046280", "Fear/000046280", "Fear"),
    "test/mp4/id00017/5MkXgwdrmJw/00001.mp4": (
        "voxceleb2",
        "id00017",
        "id00017/5MkXgwdrmJw/00001",
        "",
    ),
}


def put(root, path, *, frames=3):
    """An empty video, or a folder of empty frames."""
    clip = root / path
    if clip.suffix:
        clip.parent.mkdir(parents=True, exist_ok=True)
        clip.touch()
    else:
        clip.mkdir(parents=True)
        for number in range(frames):
            (clip / f"img{number}.jpg").touch()
    return clip


@pytest.mark.parametrize("path", TOLD)
def test_a_path_tells_who_and_what(path, tmp_path):
    name, person, clip, word = TOLD[path]
    put(tmp_path, path)
    corpus = open_corpus(name, tmp_path)
    (recording,) = corpus.recordings()
    assert (recording.person, recording.name) == (f"{name}/{person}", clip)
    (match,) = corpus._clips.values()
    assert corpus.label(recording, match).emotion == word


def test_every_corpus_is_told():
    assert {name for name, *_ in TOLD.values()} == set(MACRO)


@pytest.mark.parametrize("name", MACRO)
def test_an_empty_folder_names_the_layout(name, tmp_path):
    with pytest.raises(CorpusError, match="holds no clips") as caught:
        open_corpus(name, tmp_path)
    assert CORPORA[name].about.layouts[0].example in str(caught.value)


@pytest.mark.parametrize("name", [n for n in MACRO if CORPORA[n].about.emotions])
def test_a_full_sized_fake_has_the_published_counts(name):
    about = CORPORA[name].about
    clips = list(FAKES[name].plan(full_size=True))
    words = Counter(clip.word.lower() for clip in clips)
    assert words == about.emotions
    assert len({clip.subject for clip in clips}) == (about.subjects or SUBJECTS)
    layout = FAKES[name].layouts[0]
    assert len({FAKES[name].place(clip, layout) for clip in clips}) == about.clips


@pytest.mark.parametrize("name", ["crema-d", "mmi", "mead"])
def test_an_expression_ends_with_the_last_frame_that_decodes(name, tmp_path):
    for e in open_corpus(name, write_fake(name, tmp_path)).expressions():
        frames = list(read_frames(e.recording.path))
        assert (e.onset, e.offset, e.kind) == (0, len(frames) - 1, "macro")
        assert e.apex is None


def test_sequences_that_end_at_the_peak_have_an_apex(tmp_path):
    clip = put(tmp_path, "OriginalImg/VL/Strong/P001/Anger", frames=7)
    (e,) = open_corpus("oulu-casia", tmp_path).expressions()
    assert (e.recording.path, e.onset, e.apex, e.offset) == (clip, 0, 6, 6)


def test_strangers_and_twins_are_left_out_and_told(tmp_path):
    for name in ("01-01-06-01-02-01-12", "02-01-06-01-02-01-12", "trailer"):
        put(tmp_path, f"Actor_12/{name}.mp4")
    put(tmp_path, "Actor_12/._01-01-06-01-02-01-12.mp4")
    corpus = open_corpus("ravdess", tmp_path)
    assert [r.path.name for r in corpus.recordings()] == ["01-01-06-01-02-01-12.mp4"]
    with pytest.warns(LeftOut, match="left out 1 clips"):  # it is empty
        assert corpus.expressions() == []
    stranger, twin, empty = corpus.findings()
    assert stranger.severity == "warning"
    assert stranger.file.endswith("trailer.mp4")
    assert twin.severity == "note"
    assert twin.file.endswith("02-01-06-01-02-01-12.mp4")
    assert (empty.severity, empty.what) == ("error", "has zero bytes")


class TestCkPlus:
    def test_float_files_tell_the_word_and_the_units(self, tmp_path):
        put(tmp_path, "cohn-kanade-images/S005/001")
        put(tmp_path, "cohn-kanade-images/S005/002")
        for folder, text in (
            ("Emotion", "   3.0000000e+00\n"),
            ("FACS", "   9.0000000e+00   4.0000000e+00\n   1.7000000e+01   0.0000000e+00\n"),
        ):
            file = tmp_path / folder / "S005" / "001" / f"S005_001_00000011_{folder.lower()}.txt"
            file.parent.mkdir(parents=True)
            file.write_text(text)
        corpus = open_corpus("ckplus", tmp_path)
        assert len(corpus.recordings()) == 2
        (e,) = corpus.expressions()
        assert (e.emotion, e.action_units) == ("disgust", ("9", "17"))

    @pytest.mark.parametrize(("text", "what"), [("joy\n", "is no number"), ("9.0", "9 is no emot")])
    def test_a_wrong_file_is_named(self, text, what, tmp_path):
        put(tmp_path, "cohn-kanade-images/S005/001")
        file = tmp_path / "Emotion" / "S005" / "001" / "S005_001_00000011_emotion.txt"
        file.parent.mkdir(parents=True)
        file.write_text(text)
        (finding,) = open_corpus("ckplus", tmp_path).findings()
        assert finding.severity == "error"
        assert what in finding.what
        assert finding.file == str(file)


class TestMmi:
    @pytest.mark.parametrize(("value", "word"), [("6", "surprise"), ("8", "")])
    def test_a_metatag_tells_the_word(self, value, word, tmp_path):
        film = put(tmp_path, "Sessions/1/S001-001.avi")
        film.with_suffix(".xml").write_text(
            f'<Session><Metatag Name="Pose" Value="2"/><Metatag Name="Emotion" Value="{value}"/>'
            "</Session>"
        )
        corpus = open_corpus("mmi", tmp_path)
        ((recording, match),) = corpus._clips.items()
        assert corpus.label(recording, match).emotion == word

    def test_damaged_xml_is_named(self, tmp_path):
        film = put(tmp_path, "Sessions/1/S001-001.avi")
        film.with_suffix(".xml").write_text("<Session>")
        (finding,) = open_corpus("mmi", tmp_path).findings()
        assert finding.file == str(film.with_suffix(".xml"))
        assert "is no XML" in finding.what


class TestDfew:
    def test_both_layouts_read_alike(self, tmp_path):
        read = []
        for layout in ("frames", "video"):
            root = write_fake("dfew", tmp_path / layout, layout=layout)
            read.append([(e.emotion, e.offset) for e in open_corpus("dfew", root).expressions()])
        assert read[0] == read[1] == [("angry", 15), ("happy", 15), ("surprise", 15)] * 3

    def test_without_its_lists_it_has_no_words(self, tmp_path):
        put(tmp_path, "Clip/jpg_256/00042")
        corpus = open_corpus("dfew", tmp_path)
        (finding,) = corpus.findings()
        assert (finding.severity, corpus.expressions()) == ("warning", [])
        assert "EmoLabel_DataSplit" in finding.what

    def test_a_wrong_label_names_its_row(self, tmp_path):
        put(tmp_path, "Clip/jpg_256/00042")
        lists = tmp_path / "EmoLabel_DataSplit" / "train(single-labeled)" / "set_1.csv"
        lists.parent.mkdir(parents=True)
        lists.write_text("video_name,label\n00042,8\n")
        corpus = open_corpus("dfew", tmp_path)
        with pytest.warns(LeftOut, match="'8' is no emotion"):
            assert corpus.expressions() == []
        (finding,) = corpus.findings()
        assert finding.place == "row 2, column label"


class TestFrameTimes:
    IMAGES = tuple(np.full((32, 48, 3), 8 * i, np.uint8) for i in range(20))

    def encoded(self, path, codec, times_ms, **options):
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=1000, options=options)
            stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
            for image, time in zip(self.IMAGES, times_ms, strict=True):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = time, Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    @pytest.mark.parametrize(
        ("name", "codec"),
        [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.flv", "flv"), ("a.flv", "libx264")],
    )
    def test_they_are_those_of_the_decoder(self, name, codec, tmp_path):
        """Frames that refer to later ones, and no two of them equally far apart."""
        times_ms = np.cumsum(np.random.default_rng(0).integers(20, 60, 20)).tolist()
        file = self.encoded(tmp_path / name, codec, times_ms)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TruncatedVideo)  # the last frame's length is a guess
            assert frame_times(file) == [frame.time_s for frame in read_frames(file)]
        assert len(set(np.diff([float(t) for t in frame_times(file)]).round(3))) > 5

    def test_a_folder_has_those_of_its_rate(self, tmp_path):
        write_fake("mug", tmp_path)
        clip = tmp_path / "subjects3" / "001" / "anger" / "take000"
        assert frame_times(clip, Fraction(19)) == [Fraction(i, 19) for i in range(16)]
        with pytest.raises(VideoError, match="carries no times"):
            frame_times(clip)

    def test_half_a_file_is_refused(self, tmp_path):
        write_video(tmp_path / "a.mp4", self.IMAGES, 25)
        content = (tmp_path / "a.mp4").read_bytes()
        (tmp_path / "a.mp4").write_bytes(content[: len(content) // 2])
        with pytest.raises(VideoError, match="cut off"):
            frame_times(tmp_path / "a.mp4")
