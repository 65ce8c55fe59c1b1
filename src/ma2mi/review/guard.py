"""Who may talk to the local page: only a browser that was given the token, on this machine."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from ma2mi.errors import optional_part

with optional_part("starlette", "review"):
    from starlette.datastructures import Headers, MutableHeaders
    from starlette.responses import PlainTextResponse, RedirectResponse
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_BYTES = 32
MOST_BODY_BYTES = 64 * 1024  # of a request
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    # Faces are biometric data: no copy stays in the browser.
    "cache-control": "no-store",
}


def new_token() -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)


class Guard:
    """Lets through what bears the token and names this host, and sets the headers of answers.

    The token comes in the address once; then it is an HttpOnly cookie, and the address is plain. A
    name that leads here but is none of ``hosts`` is refused (DNS rebinding), and so is what
    another site's page sends.

    Args:
        app: that is guarded.
        token: see :func:`new_token`.
        port: of the server: cookies do not tell ports apart, so it is in the cookie's name.
        hosts: names of this machine that the browser may use.
    """

    def __init__(
        self,
        app: ASGIApp,
        token: str,
        port: int,
        hosts: Iterable[str] = ("127.0.0.1", "localhost"),
    ) -> None:
        self._app, self._token = app, token
        self._cookie = f"ma2mi-review-{port}"
        self._hosts = {f"{host}:{port}" for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._answer(scope, headers)(scope, receive, marked)

    def _answer(self, scope: Scope, headers: Headers) -> ASGIApp:
        if headers.get("host", "") not in self._hosts:
            return PlainTextResponse("This name does not belong to the review.", 403)
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if self._is_token(given) and scope["path"] == "/" and scope["method"] == "GET":
            response = RedirectResponse("/", 303)
            response.set_cookie(
                self._cookie, self._token, httponly=True, samesite="strict", path="/"
            )
            return response
        if not self._is_token(self._cookie_of(headers)):
            return PlainTextResponse(
                "Open the address that `ma2mi review` printed; it holds a token.", 403
            )
        if scope["method"] not in ("GET", "HEAD") and not self._is_own(headers):
            return PlainTextResponse("Only the page itself may change anything.", 403)
        length = headers.get("content-length", "0")
        chunked = "transfer-encoding" in headers
        if chunked or not length.isdecimal() or int(length) > MOST_BODY_BYTES:
            return PlainTextResponse("The request is too large.", 413)
        return self._app

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._token.encode())

    def _is_own(self, headers: Headers) -> bool:
        """Whether a change comes from the page itself; a browser always says where from."""
        origin = headers.get("origin", "")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        return kind == "application/json" and origin in {f"http://{host}" for host in self._hosts}

    def _cookie_of(self, headers: Headers) -> str:
        try:
            cookies = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            return ""
        morsel = cookies.get(self._cookie)
        return morsel.value if morsel else ""
