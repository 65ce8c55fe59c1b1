"""Serving the review until the user ends it."""

from __future__ import annotations

import socket
import threading
import webbrowser
from collections.abc import Callable

from ma2mi.errors import StoreError, optional_part
from ma2mi.review.guard import new_token
from ma2mi.review.server import ReviewServer

with optional_part("uvicorn", "review"):
    import uvicorn

HOST = "127.0.0.1"


def listen(port: int = 0) -> socket.socket:
    """A socket of this machine alone.

    Args:
        port: 0 takes any that is free.

    Raises:
        StoreError: the port is taken.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except OSError as error:
        listening.close()
        raise StoreError(
            f"cannot be used ({error.strerror})", where=f"port {port}", hint="Name another --port"
        ) from error
    return listening


def serve(
    server: ReviewServer,
    listening: socket.socket,
    *,
    browser: bool = True,
    on_ready: Callable[[str], None],
) -> None:
    """Serve until Ctrl-C.

    Args:
        server: what is asked.
        listening: of :func:`listen`.
        browser: open one.
        on_ready: called with the address, which holds the token, when pages are served.
    """
    port, token = listening.getsockname()[1], new_token()
    address = f"http://{HOST}:{port}/?token={token}"
    config = uvicorn.Config(
        server.app(token, port),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
        lifespan="off",
    )

    class Announcing(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            on_ready(address)
            if browser:
                # A browser in the terminal would hold up the server.
                threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    try:
        Announcing(config).run(sockets=[listening])
    except KeyboardInterrupt:
        pass  # the way to end it
    finally:
        listening.close()
