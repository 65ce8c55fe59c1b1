"""Worker processes end with the process that started them, killed or not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import joblib

from ma2mi.workers import ending_with_this

PROGRAM = """
import os, time
import joblib
from ma2mi.workers import ending_with_this

def work(number):
    time.sleep(0.1)
    return os.getpid()

tasks = (joblib.delayed(ending_with_this(work))(n) for n in range(4))
print(*set(joblib.Parallel(n_jobs=2)(tasks)), flush=True)
time.sleep(60)
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:  # noqa: PTH123  (it may vanish)
        return file.read().rpartition(")")[2].split()[0] != "Z"


def test_workers_of_a_killed_process_end():
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    workers = [int(word) for word in program.stdout.readline().split()]
    assert workers and all(map(alive, workers))
    os.kill(program.pid, signal.SIGKILL)
    program.wait()
    until = time.monotonic() + 20
    while any(map(alive, workers)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(map(alive, workers))
    program.stdout.close()


def test_in_one_process_it_is_the_function():
    assert ending_with_this(sorted)([2, 1], reverse=True) == [2, 1]
    assert joblib.Parallel(n_jobs=1)([joblib.delayed(ending_with_this(abs))(-1)]) == [1]
