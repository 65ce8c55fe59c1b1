"""The local web application: the page, frames, and decisions, for this machine alone."""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, get_args

from ma2mi._version import __version__
from ma2mi.errors import Ma2miError, StoreError, optional_part
from ma2mi.face.track import Detector
from ma2mi.review.actions import ReviewState, read_action
from ma2mi.review.frames import ImageFormat
from ma2mi.review.guard import Guard
from ma2mi.review.key_file import KeyFile
from ma2mi.review.movement import bin_curve
from ma2mi.review.recordings import ReviewedVideo
from ma2mi.review.sound import read_sound
from ma2mi.review.summary import describe_state, describe_video, list_video
from ma2mi.review.views import FaceViews, View, ViewRequest

with optional_part("starlette", "review"):
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
MOST_BINS = 4000  # of a curve, more than a screen is wide
WIDEST = 8192  # px of a picture

Handler = Callable[[Request], Response]


@cache
def page_files() -> dict[str, tuple[bytes, str]]:
    """The files of the page by name, with their types; no other file is ever served."""
    folder = files("ma2mi.review") / "page"
    return {
        one.name: (one.read_bytes(), TYPES[suffix])
        for one in folder.iterdir()
        if (suffix := one.name[one.name.rfind(".") :]) in TYPES
    }


class ReviewServer:
    """The answers to what the page asks.

    Args:
        videos: with their stores open.
        coder: who decides.
        keys: where key bindings are kept.
        detector: for faces; loaded when needed by default.
    """

    def __init__(
        self,
        videos: Sequence[ReviewedVideo],
        coder: str,
        keys: KeyFile,
        detector: Detector | None = None,
    ) -> None:
        self._videos, self._coder, self._keys = videos, coder, keys
        self._views = [FaceViews(video, detector) for video in videos]

    def app(self, token: str, port: int) -> Guard:
        """The application behind its guard."""
        video = "/api/video/{number:int}"
        routes = [
            Route("/", self._page),
            Route("/page/{name}", self._page),
            Route("/api/videos", self._list),
            Route("/api/keys", self._read_keys, methods=["GET"]),
            Route("/api/keys", self._posted(self._write_keys), methods=["POST"]),
            Route(video, self._describe),
            Route(f"{video}/times", self._times),
            Route(f"{video}/curve", self._curve),
            Route(f"{video}/frame/{{frame:int}}", self._frame),
            Route(f"{video}/sound", self._sound),
            Route(f"{video}/decisions", self._decisions, methods=["GET"]),
            Route(f"{video}/decisions", self._posted(self._decide), methods=["POST"]),
            Route(f"{video}/undo", self._posted(self._undo), methods=["POST"]),
        ]
        handlers: Any = {HTTPException: _refuse, Ma2miError: _explain}
        app = Starlette(routes=routes, exception_handlers=handlers)
        app.router.redirect_slashes = False
        return Guard(app, token, port)

    # Pages

    def _page(self, request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        if name not in page_files():
            raise HTTPException(404, "no such file")
        content, kind = page_files()[name]
        return Response(content, media_type=f"{kind}; charset=utf-8")

    def _list(self, request: Request) -> Response:
        del request
        listed = [list_video(video, self._state(video)) for video in self._videos]
        return JSONResponse({"coder": self._coder, "version": __version__, "videos": listed})

    def _read_keys(self, request: Request) -> Response:
        del request
        return JSONResponse(self._keys.read())

    def _write_keys(self, request: Request, tree: Any) -> Response:
        del request
        self._keys.write(tree)
        return JSONResponse(self._keys.read())

    # One video

    def _describe(self, request: Request) -> Response:
        video = self._video(request)
        video.open()
        return JSONResponse(describe_video(video))

    def _times(self, request: Request) -> Response:
        """Little-endian doubles: when each frame is seen, seconds after the first."""
        times = array("d", self._video(request).times_s())
        return Response(times.tobytes(), media_type="application/octet-stream")

    def _curve(self, request: Request) -> Response:
        """The largest values of the curve and of each lane in equal bins of a stretch."""
        table = self._video(request).movement
        face = table.faces.get(_number(request, "face", 0)) if table else None
        if table is None or face is None:
            return JSONResponse({"curve": [], "lanes": {}, "first": 0, "last": -1})
        end = len(table.times_s) - 1
        first = min(_number(request, "from", 0), end)
        last = min(_number(request, "to", end), end)
        if last < first:
            raise HTTPException(400, "from lies after to")
        bins = max(1, min(_number(request, "bins", 1200), MOST_BINS))
        lanes = {name: bin_curve(row, first, last, bins) for name, row in face.lanes.items()}
        curve = bin_curve(face.curve, first, last, bins)
        return JSONResponse({"curve": curve, "lanes": lanes, "first": first, "last": last})

    def _frame(self, request: Request) -> Response:
        video = self._video(request)
        frame = int(request.path_params["frame"])
        if frame >= video.frames.count:
            raise HTTPException(404, f"there is no frame {frame}")
        kind: ImageFormat = "png" if request.query_params.get("format") == "png" else "jpeg"
        view = request.query_params.get("view", "full")
        width = _number(request, "size", 0)
        if view not in get_args(View) or width > WIDEST:
            raise HTTPException(400, "no such view")
        if view == "full":
            ahead = "ahead" in request.query_params
            coded = video.frames.picture(frame, width, kind, ahead=ahead)
            return Response(coded, media_type=f"image/{kind}")
        anchor, peak = _number(request, "from", frame), _number(request, "peak", frame)
        if max(anchor, peak) >= video.frames.count:
            raise HTTPException(404, f"there is no frame {max(anchor, peak)}")
        shown: Any = view
        asked = ViewRequest(shown, frame, anchor, peak, _number(request, "face", 0))
        views = self._views[video.number]
        coded = views.picture(asked, width, kind)
        times = {} if view == "face" else {"x-times": f"{views.times(asked):g}"}
        return Response(coded, media_type=f"image/{kind}", headers=times)

    def _sound(self, request: Request) -> Response:
        video = self._video(request)
        frames = video.frames
        return Response(read_sound(frames.path, frames.index.times[0]), media_type="audio/wav")

    # Decisions

    def _decisions(self, request: Request) -> Response:
        video = self._video(request)
        since = _number(request, "since", -1) if "since" in request.query_params else -1
        store = video.store
        assert store is not None
        if since >= 0 and store.revision(video=self._key(video), coder=self._coder) == since:
            return JSONResponse({"revision": since})
        return JSONResponse(describe_state(self._state(video)))

    def _decide(self, request: Request, tree: Any) -> Response:
        video = self._video(request)
        frames = video.frames  # decisions are about frames that can be seen
        assert video.store is not None
        action = read_action(tree, frames.count)
        state = video.store.add(
            action, video=video.digest, coder=self._coder, times=frames.index.times
        )
        return JSONResponse(describe_state(state))

    def _undo(self, request: Request, tree: Any) -> Response:
        video = self._video(request)
        key = tree.get("key") if isinstance(tree, dict) else None
        if not isinstance(key, str) or not 0 < len(key) <= 120:
            raise StoreError("an undo needs a key", where="the request")
        assert video.store is not None
        state = video.store.undo(key, video=self._key(video), coder=self._coder)
        return JSONResponse(describe_state(state))

    def _state(self, video: ReviewedVideo) -> ReviewState:
        assert video.store is not None
        if not video.digest:  # plain coding of a video that is not open yet
            return ReviewState()
        return video.store.state(video=video.digest, coder=self._coder)

    def _key(self, video: ReviewedVideo) -> str:
        if not video.digest:
            video.open()
        return video.digest

    def _video(self, request: Request) -> ReviewedVideo:
        number = int(request.path_params["number"])
        if number >= len(self._videos):
            raise HTTPException(404, f"there is no video {number}")
        return self._videos[number]

    @staticmethod
    def _posted(handler: Callable[[Request, Any], Response]) -> Any:
        """A handler that is given the JSON of the request."""

        async def answer(request: Request) -> Response:
            try:
                tree = json.loads(await request.body())
            except ValueError as error:
                raise HTTPException(400, "the request is no JSON") from error
            return await run_in_threadpool(handler, request, tree)

        return answer


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise HTTPException(400, f"{name} is no number")
    return int(text)


def _refuse(request: Request, error: HTTPException) -> Response:
    del request
    return JSONResponse({"error": error.detail}, error.status_code)


def _explain(request: Request, error: Ma2miError) -> Response:
    """Our own errors as one line; the page shows it."""
    del request
    return JSONResponse({"error": str(error)}, 409)
