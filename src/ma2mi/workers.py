"""Worker processes that end with the process that started them, however that ends."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from functools import cache, partial
from multiprocessing import current_process
from typing import Any

#: How often a worker looks whether the process that started it is still there, seconds.
CHECK_S = 0.2


def ending_with_this(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function for joblib: a worker process that has run it ends when this process does.

    Without it, the workers of a killed run work on beside the next one, and then wait for ever,
    with all that they hold in memory.
    """
    return partial(_run, os.getpid(), function)


def _run(parent: int, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    # Threads, dask's and ray's workers, and a single process are not started by this one. The
    # process that did may be gone already: a worker imports for seconds before its first task.
    if os.getpid() != parent and current_process().name.startswith("LokyProcess"):
        _watch(parent)
    return function(*arguments, **options)


@cache
def _watch(parent: int) -> None:
    if os.getppid() != parent:
        os._exit(1)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(CHECK_S)
    os._exit(1)
