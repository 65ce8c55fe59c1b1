"""The local server: who is let in, which files, and that frames are those that PyAV decodes."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import wave
from fractions import Fraction
from urllib.parse import unquote

import anyio
import av
import cv2
import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("httpx2")

from starlette.testclient import TestClient

import media
import reviewing
from ma2mi.errors import StoreError, VideoError
from ma2mi.review.frames import VideoFrames
from ma2mi.review.key_file import KeyFile
from ma2mi.review.recordings import find_reviewed, open_stores
from ma2mi.review.seeking import index_video
from ma2mi.review.server import ReviewServer, page_files
from ma2mi.review.store import DecisionStore
from ma2mi.video import read_frames

PORT, TOKEN = 4321, "a-token"
ORIGIN = f"http://127.0.0.1:{PORT}"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(video, results) of a counting video; copied before anything is changed."""
    folder = tmp_path_factory.mktemp("made")
    video = reviewing.write_counting(folder / "talk.mp4")
    return video, reviewing.write_results(folder / "results" / "talk", video)


@pytest.fixture
def served(made, tmp_path):
    """A client that may ask, and the results that it asks about."""
    results = tmp_path / "talk"
    shutil.copytree(made[1], results)
    with review_of([results], tmp_path) as client:
        yield client, results


class review_of:
    """A client of a review of these places, let in."""

    def __init__(self, places, folder, *, coder="anna", store=None, videos=None, let_in=True):
        self.found = find_reviewed(places, videos)
        open_stores(self.found, coder, store)
        server = ReviewServer(self.found, coder, KeyFile(folder / "keys.json"))
        self.client = TestClient(server.app(TOKEN, PORT), base_url=ORIGIN)
        self.let_in = let_in

    def __enter__(self):
        self.client.__enter__()
        if self.let_in:
            assert self.client.get(f"/?token={TOKEN}").status_code == 200
        return self.client

    def __exit__(self, *_):
        self.client.__exit__(None, None, None)
        for one in self.found:
            one.close()


def post(client, path, tree, **headers):
    headers = {"origin": ORIGIN, "content-type": "application/json", **headers}
    return client.post(path, content=json.dumps(tree), headers=headers)


def accept(client, key="k1", **changes):
    tree = {"kind": "accept", "target": "micro-face0@10-20", "key": key,
            "onset": 10, "apex": 14, "offset": 20, **changes}  # fmt: skip
    return post(client, "/api/video/0/decisions", tree)


def test_without_the_token_there_is_nothing(made, tmp_path):
    results = tmp_path / "talk"
    shutil.copytree(made[1], results)
    with review_of([results], tmp_path, let_in=False) as client:
        for path in ("/", "/?token=", "/?token=wrong", "/page/app.js", "/api/videos",
                     "/api/video/0/frame/0", f"/api/videos?token={TOKEN}"):  # fmt: skip
            answer = client.get(path, follow_redirects=False)
            assert answer.status_code == 403, path
            assert "set-cookie" not in answer.headers
        assert accept(client).status_code == 403
        answer = client.get(f"/?token={TOKEN}", follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=strict" in cookie and "domain" not in cookie


@pytest.mark.parametrize(
    "host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:80", "", "0.0.0.0"]
)
def test_other_hosts_are_refused(served, host):
    client, _ = served
    assert client.get("/", headers={"host": host}).status_code == 403
    assert client.get(f"/?token={TOKEN}", headers={"host": host}).status_code == 403


def test_only_the_page_itself_changes_anything(served):
    client, _ = served
    path, tree = "/api/video/0/undo", {"key": "k"}
    assert post(client, path, tree, origin="http://evil.example").status_code == 403
    assert post(client, path, tree, origin="null").status_code == 403
    assert post(client, path, tree, **{"content-type": "text/plain"}).status_code == 403
    assert client.post(path, content=b"{}").status_code == 403
    assert post(client, path, tree).status_code == 200


def test_every_answer_forbids_what_is_outside(served):
    client, _ = served
    for path in ("/", "/page/app.js", "/api/videos", "/api/video/0/frame/3", "/nowhere"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "'unsafe" not in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"


def test_the_page_names_nothing_outside():
    for name, (content, _) in page_files().items():
        text = content.decode()
        assert "http://" not in text and "https://" not in text, name
        if name.endswith(".html"):
            assert "style=" not in text and "onclick=" not in text, name


@pytest.mark.parametrize(
    "path",
    [
        "/page/../server.py",
        "/page/..%2fserver.py",
        "/page/%2e%2e/server.py",
        "/page/%2fetc%2fpasswd",
        "/page/server.py",
        "/page/",
        "/../../etc/passwd",
        "/api/video/0/../../etc/passwd",
        "/api/video/1",
        "/api/video/-1",
        "/api/video/..%2f..",
        "/api/video/0/frame/90",
        "/api/video/0/frame/99999999999999999999",
        "/api/video/0/frame/..",
        "/api/video/0/frame/../../../page/index.html",
        "//page/app.js",
        "/page/app.js/",
        "/page/app.js\\..\\server.py",
        "/page/__init__.py",
    ],
)
def test_no_path_leads_out(served, path):
    client, _ = served
    assert raw_get(client, path) == 404


def raw_get(client, path):
    """The status of a path as it is: a client of HTTP would take the dots out of it."""
    cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    headers = [(b"host", f"127.0.0.1:{PORT}".encode()), (b"cookie", cookie.encode())]
    scope = {"type": "http", "method": "GET", "path": unquote(path), "raw_path": path.encode(),
             "query_string": b"", "headers": headers, "root_path": "", "scheme": "http",
             "http_version": "1.1", "asgi": {"version": "3.0"}}  # fmt: skip
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    anyio.run(client.app, scope, receive, send)
    return sent[0]["status"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("view=../../etc", 400),
        ("view=face&from=90", 404),
        ("size=-1", 400),
        ("size=99999", 400),
        ("size=1e3", 400),
        ("view=face&face=x", 400),
    ],
)
def test_strange_requests_for_frames_are_refused(served, query, code):
    client, _ = served
    assert client.get(f"/api/video/0/frame/0?{query}").status_code == code


def test_too_large_a_request_is_refused(served):
    client, _ = served
    assert accept(client, note="x" * 70_000).status_code == 413
    bad = {"origin": ORIGIN, "content-type": "application/json"}
    path = "/api/video/0/decisions"
    assert client.post(path, content=b"{", headers=bad).status_code == 400
    assert client.post(path, content=b'{"kind": "accept"}', headers=bad).status_code == 409


def test_frames_are_those_that_pyav_decodes(served, made):
    client, _ = served
    truth = reviewing.decoded(made[0])
    for number in (0, 89, 50, 49, 12, 51, 3):
        answer = client.get(f"/api/video/0/frame/{number}?format=png")
        image = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)
        assert np.array_equal(image[..., ::-1], truth[number]), number
        small = client.get(f"/api/video/0/frame/{number}?size=64")
        assert small.headers["content-type"] == "image/jpeg"
        assert cv2.imdecode(np.frombuffer(small.content, np.uint8), 1).shape[1] == 64


def test_a_face_is_cut_out_where_the_analysis_saw_it(served, made):
    client, _ = served
    answer = client.get("/api/video/0/frame/5?view=face&format=png")
    image = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    # The landmarks are 60 x 70 px at 20, 10; the square around them is 1.5 times as wide.
    assert image.shape == (105, 105, 3)
    truth = reviewing.decoded(made[0])[5]
    left, top = round(50 - 105 / 2), round(45 - 105 / 2)
    assert np.array_equal(image[-top : 96 - top, -left:105], truth[: 105 + top, : 105 + left])
    answer = client.get("/api/video/0/frame/5?view=flow&from=3")
    assert answer.status_code == 409 and "no face" in answer.json()["error"]


def test_what_the_page_is_given(served):
    client, _ = served
    video = client.get("/api/video/0").json()
    assert (video["status"], video["frames"], video["problem"]) == ("ready", 90, "")
    assert [one["target"] for one in video["events"]] == [
        "micro-face0@10-20", "micro-face0@30-40", "blink-face0@45-49", "macro-face0@60-80",
    ]  # fmt: skip
    assert video["events"][0]["lanes"] == ["brows", "mouth"]
    assert video["events"][1]["reading"]["abstained"]
    assert video["candidates"][0]["reason"].startswith("score 0.10")
    doubts = [one["doubt"] for one in video["events"]]
    assert max(doubts) == doubts[1]  # 0.52 is nearest to the threshold of 0.5
    times = np.frombuffer(client.get("/api/video/0/times").content, "<f8")
    assert times == pytest.approx(np.arange(90) / 30)
    curve = client.get("/api/video/0/curve?from=10&to=29&bins=10").json()
    assert len(curve["curve"]) == 10 and set(curve["lanes"]) == set(video["lanes"])
    # Two frames a bin, of which the larger counts.
    values = [0.02 + 0.001 * (frame % 7) for frame in range(10, 30)]
    expected = [max(pair) for pair in zip(values[::2], values[1::2], strict=True)]
    assert curve["curve"] == pytest.approx(expected, abs=1e-5)
    assert video["faces"][0]["floor_px"] == pytest.approx(1.2 * 0.023, abs=1e-3)


def test_decisions_live_on_and_undo_crosses_sessions(made, tmp_path):
    results = tmp_path / "talk"
    shutil.copytree(made[1], results)
    with review_of([results], tmp_path) as client:
        assert accept(client).json()["decisions"]["micro-face0@10-20"]["verdict"] == "accept"
        accept(client, key="k2", kind="edit", onset=9, label="positive", units=["L12C"])
    with review_of([results], tmp_path) as client:
        state = client.get("/api/video/0/decisions").json()
        one = state["decisions"]["micro-face0@10-20"]
        assert (one["onset"], one["label"], one["units"]) == (9, "positive", ["L12C"])
        assert client.get("/api/videos").json()["videos"][0]["decided"] == 1
        newest = f"/api/video/0/decisions?since={state['revision']}"
        assert client.get(newest).json() == {"revision": state["revision"]}
        one = post(client, "/api/video/0/undo", {"key": "u"}).json()["decisions"]
        assert one["micro-face0@10-20"]["onset"] == 10
    # The exact times are those of the frames, as fractions.
    store = DecisionStore(results / "review.sqlite")
    video = find_reviewed([results])[0]
    (first, *_) = store.actions(video=video.digest, coder="anna")
    assert [Fraction(time) for time in first.times] == [Fraction(n, 30) for n in (10, 14, 20)]
    store.close()


def test_coders_do_not_see_each_other(made, tmp_path):
    results = tmp_path / "talk"
    shutil.copytree(made[1], results)
    with review_of([results], tmp_path, coder="anna") as anna:
        with review_of([results], tmp_path, coder="ben") as ben:
            accept(anna, key="a")
            assert ben.get("/api/video/0/decisions").json()["decisions"] == {}
            accept(ben, key="b", kind="reject")
        one = anna.get("/api/video/0/decisions").json()["decisions"]["micro-face0@10-20"]
        assert one["verdict"] == "accept"


def test_a_video_that_changed_takes_no_decisions(made, tmp_path):
    video = reviewing.write_counting(tmp_path / "talk.mp4")
    results = reviewing.write_results(tmp_path / "results" / "talk", video)
    video.write_bytes(video.read_bytes() + b"\0")
    with review_of([results], tmp_path) as client:
        told = client.get("/api/video/0").json()
        assert told["status"] == "changed" and "content differs" in told["problem"]
        assert accept(client).status_code == 409
        assert client.get("/api/video/0/frame/0").status_code == 409
    reviewing.write_counting(video)
    with review_of([results], tmp_path) as client:
        assert accept(client).status_code == 200
        video.write_bytes(video.read_bytes()[:-7])  # while it is looked at
        assert accept(client, key="k2").status_code == 409
        assert "changed meanwhile" in client.get("/api/video/0").json()["problem"]
    video.unlink()
    with review_of([results], tmp_path) as client:
        told = client.get("/api/video/0").json()
        assert told["status"] == "missing" and "--videos DIR" in told["problem"]
        assert len(client.get("/api/video/0/times").content) == 8 * 90  # the timeline is there
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "deep").mkdir(parents=True)
    reviewing.write_counting(elsewhere / "deep" / "another name.mp4")
    with review_of([results], tmp_path, videos=elsewhere) as client:
        assert client.get("/api/video/0").json()["status"] == "ready"  # found by its content


def test_plain_coding_needs_no_analysis(tmp_path):
    reviewing.write_counting(tmp_path / "a.mp4", 20)
    reviewing.write_counting(tmp_path / "b.mp4", 30)
    with review_of([tmp_path], tmp_path) as client:
        listed = client.get("/api/videos").json()["videos"]
        assert [one["name"] for one in listed] == ["a.mp4", "b.mp4"]
        video = client.get("/api/video/1").json()
        assert (video["status"], video["frames"], video["events"]) == ("ready", 30, [])
        assert len(video["classes"]) == 9
        tree = {"kind": "add", "target": "added-1", "key": "k", "onset": 29, "apex": 29,
                "offset": 29}  # fmt: skip
        assert post(client, "/api/video/1/decisions", tree).status_code == 200
        assert (tmp_path / "b.mp4.review.sqlite").exists()


def test_a_damaged_file_is_said_on_the_page(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(400))
    with pytest.raises(VideoError, match=r"a\.mp4"):
        find_reviewed([tmp_path / "a.mp4"])  # who names it reads it before the browser opens
    with review_of([tmp_path], tmp_path) as client:
        told = client.get("/api/video/0").json()
        assert told["status"] == "unreadable" and "a.mp4" in told["problem"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_read_only_folder_is_one_line(made, tmp_path):
    results = tmp_path / "talk"
    shutil.copytree(made[1], results)
    results.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        with pytest.raises(StoreError, match="--store FILE"):
            open_stores(find_reviewed([results]), "anna")
    finally:
        results.chmod(stat.S_IRWXU)


def test_a_store_elsewhere_takes_all(made, tmp_path):
    for name in ("one", "two"):
        shutil.copytree(made[1], tmp_path / "results" / name)
    store = tmp_path / "mine.sqlite"
    with review_of([tmp_path / "results"], tmp_path, store=store) as client:
        assert len(client.get("/api/videos").json()["videos"]) == 2
        accept(client)
    assert store.exists() and not list(tmp_path.rglob("review.sqlite"))


def test_keys_are_kept_and_checked(served):
    client, _ = served
    assert client.get("/api/keys").json() == {}
    assert post(client, "/api/keys", {"accept": ["y"]}).status_code == 200
    assert client.get("/api/keys").json() == {"accept": ["y"]}
    for bad in ([], {"accept": "y"}, {"accept": [1]}, {"a" * 99: ["y"]}, {"accept": [""]}):
        assert post(client, "/api/keys", bad).status_code == 409
    assert client.get("/api/keys").json() == {"accept": ["y"]}


def test_the_sound_begins_with_the_first_frame(tmp_path):
    """A click at 0.5 s of a track that begins 0.2 s before the picture is heard at 0.3 s."""
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        picture, sound = container.add_stream("libx264", rate=25), container.add_stream("flac")
        picture.width, picture.height, picture.pix_fmt = 96, 64, "yuv420p"
        sound.rate = 16_000
        samples = np.zeros((1, 16_000), np.int16)
        samples[0, 8000:8040] = 20_000
        one = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        one.rate, one.pts = 16_000, 0
        container.mux(sound.encode(one))
        container.mux(sound.encode(None))
        for number in range(20):
            frame = av.VideoFrame.from_ndarray(media.draw(number), format="rgb24")
            frame.pts, frame.time_base = number + 5, Fraction(1, 25)
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
    with review_of([path], tmp_path) as client:
        assert client.get("/api/video/0").json()["sound"]
        with wave.open(io.BytesIO(client.get("/api/video/0/sound").content)) as track:
            heard = np.frombuffer(track.readframes(track.getnframes()), "<i2")
            rate = track.getframerate()
    assert np.argmax(np.abs(heard) > 5000) / rate == pytest.approx(0.3, abs=0.002)


# Frames of any file

VARIABLE = [0, 40, 90, 100, 105, 200, 201, 400, 440, 480, 520, 1000]


def encode(path, codec, *, count=40, times=None, pixels="yuv420p", **options):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 96, 64, pixels
        tick = Fraction(1, 1000 if times else 25)
        stream.codec_context.time_base = tick
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(media.draw(number), format="rgb24")
            frame.pts = times[number] if times else number
            frame.time_base = tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", {"g": "8", "bf": "3"}),
        ("open-gop.mkv", "libx264", {"g": "8", "bf": "3", "x264-params": "open-gop=1"}),
        ("refresh.mkv", "libx264", {"g": "10", "x264-params": "intra-refresh=1:keyint=10"}),
        ("a.ts", "libx264", {"g": "8", "bf": "2"}),
        ("a.webm", "libvpx-vp9", {"g": "10", "deadline": "realtime"}),
        ("a.mkv", "ffv1", {}),
        ("a.mpg", "mpeg2video", {"g": "8", "bf": "2"}),
        ("a.avi", "mpeg4", {"g": "8"}),
        ("one-key.mp4", "libx264", {"g": "250"}),
    ],
)
def test_any_frame_of_any_codec_is_the_one_read_in_order(tmp_path, name, codec, options):
    try:
        path = encode(tmp_path / name, codec, **options)
    except (av.error.FFmpegError, ValueError) as error:
        pytest.skip(f"this build of ffmpeg has no {codec}: {error}")
    same_as_in_order(path)


def test_frames_of_a_variable_rate(tmp_path):
    path = encode(tmp_path / "a.mkv", "libx264", count=12, times=VARIABLE, g="4")
    same_as_in_order(path)


def test_frames_of_a_folder_of_images(tmp_path):
    for number in range(12):
        cv2.imwrite(str(tmp_path / f"img{number}.png"), media.draw(number)[..., ::-1])
    same_as_in_order(tmp_path, fps=Fraction(25))


def same_as_in_order(path, fps=None):
    truth = list(read_frames(path, fps=fps))
    index = index_video(path, fps=fps)
    assert list(index.times) == [frame.time_s for frame in truth]
    frames = VideoFrames(path, index, fps=fps)
    order = np.random.default_rng(0).permutation(len(truth)).tolist()
    order += [*range(len(truth)), *reversed(range(len(truth)))]
    try:
        for number in order:
            frames._cache.images.__init__(1, lambda image: image.nbytes)  # keeps one: decodes anew
            assert np.array_equal(frames.image(number), truth[number].image), number
    finally:
        frames.close()
