"""Do two states of the code write the same bytes from the same input?

Runs the same commands with the code of another commit and with that of this folder, and lists
every file whose content differs. What names the code, the clock or the machine is left out.

    python benchmarks/same_outputs.py before-18
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
CLIPS = ROOT.parent / "shared" / "clips"
SMALL = "--subjects 6 --clips 3 --pretrain-steps 10 --epochs 1 --seeds 1 --jobs 1"
#: Each in one folder, one after the other; later ones read what earlier ones wrote.
COMMANDS = (
    f"demo --out demo {SMALL}",
    "analyze demo/video/synthetic.mp4 --out analysis --jobs 1",
    "data fake casme2 --out casme2",
    "data fake samm --out samm",
    "data fake ckplus --out ckplus",
    "data convert casme2 --root casme2 --out casme2.csv",
    "data check samm --root samm",
    "prepare casme2 --root casme2 --out store --size 48 --jobs 1",
    "pretrain --simulator --out pretrained --size 64 --epochs 1 --epoch-steps 2 --batch-size 8 "
    "--accelerator cpu",
    "pretrain --videos demo/micro --out videos --store cut --size 64 --epochs 1 --epoch-steps 2 "
    "--batch-size 8 --pairs-per-clip 4 --growth 1.0 --accelerator cpu --jobs 1",
    "benchmark --corpus synthetic-micro --root demo/micro --model ststnet --epochs 1 --size 28 "
    "--jobs 1 --out ststnet --store cut",
    "benchmark --corpus synthetic-micro --root demo/micro --weights zero --protocol zero-shot "
    "--jobs 1 --out zero --store cut",
    "benchmark --corpus synthetic-micro --root demo/micro --init zero --learning-curve 2,3 "
    "--draws 2 --jobs 1 --out curve --store cut",
    "compare ststnet zero --style csv",
    "audit ststnet",
    "export onnx --weights zero --out zero.onnx",
)
#: What is written beside a result about the code and the clock.
LEFT_OUT = re.compile(
    rb'"(code|commit|command|library_versions)": ("[^"]*"|\[[^\]]*\])'
    rb"|in \d+ s on |\d+ s; look at|commit [0-9a-f]{12}|<td>[0-9a-f]{40}</td>"
    rb'|name="ma2mi-page" content="[0-9a-f]+"'
)
NOT_COMPARED = ("timings.csv", "environment.json", ".origin", ".written.json")


def run(code: Path, folder: Path) -> None:
    """All commands with the code of a folder; what each prints is kept, too."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(code / "src"),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "200",
    }
    clips = sorted((*CLIPS.rglob("*.mp4"), *CLIPS.rglob("*.webm")))[:2]
    real = [f"analyze {clip} --out real --jobs 1" for clip in clips]
    for number, command in enumerate((*COMMANDS, *real)):
        done = subprocess.run(
            [sys.executable, "-m", "ma2mi.cli", *command.split()],
            cwd=folder,
            env=environment,
            capture_output=True,
            check=False,
        )
        print(f"{code.name}: {done.returncode} {command}", flush=True)
        said = done.stdout + (done.stderr if done.returncode else b"")
        said = re.sub(rb".*[\xe2\x94]\x94\x81.*\n|.*\x1b.*\n", b"", said)  # bars
        (folder / f"printed-{number:02d}.txt").write_bytes(said)


def hashes(folder: Path) -> dict[str, str]:
    """Content of every file below the folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(
            LEFT_OUT.sub(b"", path.read_bytes())
        ).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in NOT_COMPARED and "tensorboard" not in path.parts
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commit", help="state of the code to compare with: a tag or commit")
    parser.add_argument("--keep", type=Path, help="folder that keeps the outputs of both")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        keep = options.keep or Path(scratch)
        before = Path(scratch) / "before"
        subprocess.run(["git", "clone", "-q", ROOT, before], check=True)
        subprocess.run(["git", "-C", before, "checkout", "-q", options.commit], check=True)
        found = []
        for name, code in (("old", before), ("new", ROOT)):
            folder, work = keep / name, keep / "work"  # paths are written into some outputs
            if not folder.exists():
                work.mkdir(parents=True)
                run(code, work)
                work.rename(folder)
            found.append(hashes(folder))
    old, new = found
    differ = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    for name in differ:
        print("differs" if name in old and name in new else "missing", name)
    print(f"{len(old)} files, {len(differ)} differ")
    sys.exit(bool(differ))


if __name__ == "__main__":
    main()
