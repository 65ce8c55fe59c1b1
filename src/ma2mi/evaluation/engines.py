"""Engines: run many folds side by side, on one core, on many, or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Literal, TypeVar, get_args

import joblib
import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from ma2mi.errors import EvaluationError, optional_part
from ma2mi.workers import ending_with_this

Backend = Literal["loky", "dask", "ray", "threading", "sequential"]
Outcome = TypeVar("Outcome")


def as_completed(
    function: Callable[..., Outcome],
    shared: object,
    calls: Sequence[tuple[Any, ...]],
    *,
    backend: Backend,
    jobs: int,
    cluster: str | None,
) -> Iterator[Outcome]:
    """Yield ``function(shared, *call)`` of each call, in the order in which they are done.

    Args:
        shared: the large part, sent to each worker once where the engine can.
        backend: "loky", "threading" and "sequential" are joblib's; "dask" and "ray" start a
            cluster on this machine unless ``cluster`` gives the address of one.
        jobs: calls at a time; -1 for one a core.

    Raises:
        EvaluationError: an unknown backend, or no jobs.
        MissingPart: dask or ray is not installed.
    """
    if backend not in get_args(Backend):
        raise EvaluationError(
            "is not a known backend",
            where=backend,
            hint=f"Known are: {', '.join(get_args(Backend))}",
        )
    if jobs == 0 or jobs < -1:
        raise EvaluationError(f"{jobs} jobs", hint="Give 1 or more, or -1 for one a core")
    if not calls:
        return
    if backend == "ray":
        yield from _on_ray(function, shared, calls, jobs, cluster)
        return
    options: dict[str, Any] = {}
    with ExitStack() as stack:
        if backend == "loky":
            options["inner_max_num_threads"] = 1
        elif backend == "dask":
            stack.enter_context(_dask_client(jobs, cluster))
            options["scatter"] = [shared] if isinstance(shared, np.ndarray) else None
        if backend == "threading":
            # Threads share one limit: the first to finish would lift it for all.
            stack.enter_context(threadpool_limits(1))
        stack.enter_context(joblib.parallel_config(backend=backend, n_jobs=jobs, **options))
        call = joblib.delayed(ending_with_this(function) if backend == "loky" else function)
        yield from joblib.Parallel(return_as="generator_unordered")(
            call(shared, *one) for one in calls
        )


def _dask_client(jobs: int, cluster: str | None) -> Any:
    with optional_part("distributed", "cluster"):
        from distributed import Client
    if cluster:
        return Client(cluster)
    workers = joblib.cpu_count() if jobs == -1 else jobs
    return Client(n_workers=workers, threads_per_worker=1, dashboard_address=None)


def _on_ray(
    function: Callable[..., Outcome],
    shared: object,
    calls: Sequence[tuple[Any, ...]],
    jobs: int,
    cluster: str | None,
) -> Iterator[Outcome]:
    # ray's backend for joblib hands nothing back before all is done, so folds could not be kept.
    with optional_part("ray", "cluster"):
        import ray
    with ExitStack() as stack:
        if not ray.is_initialized():
            if cluster:
                ray.init(address=cluster)
            else:
                ray.init(num_cpus=None if jobs == -1 else jobs, include_dashboard=False)
            stack.callback(ray.shutdown)
        remote = ray.remote(num_cpus=1)(function)
        stored = ray.put(shared)
        waiting = [remote.remote(stored, *one) for one in calls]
        while waiting:
            done, waiting = ray.wait(waiting)
            yield from ray.get(done)
