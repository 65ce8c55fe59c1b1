"""Numba's compiler, with a cache on disk that may be missing, read-only, full or damaged."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

from ma2mi.errors import optional_part

with optional_part("numba", "video"):
    from numba import njit
    from numba.core.caching import FunctionCache

Kernel = TypeVar("Kernel", bound=Callable[..., object])


class _SpareCache(FunctionCache):  # type: ignore[misc]  # numba has no types
    """Numba's cache, without which all goes on, only slower: a kernel is compiled once a process.

    Numba itself raises errors of the disk when a kernel is kept, and whatever a damaged file makes
    pickle raise when it is read.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # a damaged file may make pickle raise anything: begin anew
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(OSError):
            super().save_overload(sig, data)


def compiler(**options: bool) -> Callable[[Kernel], Kernel]:
    """A decorator that compiles a kernel when it is first called, and keeps it for other processes.

    Args:
        options: of ``numba.njit``, such as ``fastmath``.
    """

    def compiled(kernel: Kernel) -> Kernel:
        dispatcher = njit(**options)(kernel)
        # RuntimeError: neither beside the module nor in the user's cache may anything be written.
        with suppress(RuntimeError):
            dispatcher._cache = _SpareCache(kernel)
        return cast(Kernel, dispatcher)

    return compiled
