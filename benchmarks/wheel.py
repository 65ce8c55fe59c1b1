"""The built wheel in an empty environment, offline: what ships, and how soon it answers.

python benchmarks/wheel.py [--seconds 3]

Builds the wheel, weighs the weights in it, installs it alone into a fresh environment that sees
this one's other packages, and asks ``ma2mi.load_model("zero")`` there, with sockets blocked, for
what it reads in a made-up movement. The environment has no network to fall back on, and this
checkout is not on its path.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import sysconfig
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
LARGEST_MB = 10.0

ASK = """
import socket, sys, time

def refuse(*_, **__):
    raise OSError("this program must not use the network")

socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse
start = time.perf_counter()
import ma2mi
model = ma2mi.load_model("zero")
loaded = time.perf_counter() - start
import numpy as np
y, x = np.mgrid[:model.size + 16, :model.size + 16]

def face(shift):
    wave = 127 + 80 * np.sin(0.3 * x) * np.cos(0.25 * (y + shift))
    return np.repeat(wave[..., None], 3, axis=2).astype(np.uint8)

reading = model.read(face(0), face(0.7)[None])[0]
assert abs(sum(reading.probabilities.values()) - 1) < 1e-6
print(ma2mi.__file__)
print(loaded)
print(time.perf_counter() - start)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="longest time of load_model")
    allowed = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder]
        subprocess.run([*build, ROOT], check=True, stdout=subprocess.DEVNULL)
        wheel = next(folder.glob("*.whl"))
        weights_mb = weigh(wheel)
        print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.2f} MB, weights {weights_mb:.2f} MB")
        if not 0 < weights_mb <= LARGEST_MB:
            sys.exit(f"weights must be there, and {LARGEST_MB:g} MB at most")
        python = install(wheel, folder / "env")
        said = subprocess.run(
            [python, "-I", "-c", ASK], cwd=folder, capture_output=True, text=True, check=False
        )
    if said.returncode:
        sys.exit(said.stderr)
    where, loaded, answered = said.stdout.split()[-3:]
    if not where.startswith(name):
        sys.exit(f"asked {where} instead of the wheel")
    print(f"load_model('zero'): {float(loaded):.2f} s from a fresh process, imports and all")
    print(f"its first reading of a pair of crops: after {float(answered):.2f} s")
    if float(loaded) > allowed:
        sys.exit(f"load_model took longer than {allowed:g} s")


def weigh(wheel: Path) -> float:
    """Megabytes of weights in the wheel, unpacked."""
    with zipfile.ZipFile(wheel) as archive:
        sizes = [i.file_size for i in archive.infolist() if i.filename.startswith("ma2mi/weights/")]
    return sum(sizes) / 1e6


def install(wheel: Path, folder: Path) -> Path:
    """A fresh environment with the wheel alone, and this one's packages to see; its Python."""
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", "--no-compile", str(wheel)], check=True)
    # A path file of a directory's own path files is not read: an editable ma2mi stays unseen.
    paths = {"base": str(folder), "platbase": str(folder)}
    own = Path(sysconfig.get_path("purelib", "venv", paths))
    (own / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


if __name__ == "__main__":
    main()
