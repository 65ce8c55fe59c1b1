"""A recognizer as one ONNX file: calibrated outputs, labels and preprocessing, without torch."""

from __future__ import annotations

import io
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ma2mi import _version
from ma2mi.errors import CheckpointError, optional_part
from ma2mi.files import replace_file
from ma2mi.models.face_encoder import FaceTransformer
from ma2mi.training.outputs import calibrate
from ma2mi.training.recognizer import Recognizer
from ma2mi.training.views import one_thread

OUTPUTS = ("logits", "classes", "units", "intensity", "movement")
TOLERANCE = 1e-4
OPSET = 17
TELEMETRY_OFF = "ORT_DISABLE_TELEMETRY"


class RecognizerGraph(nn.Module):
    """A recognizer as one graph: views, their mean, calibration.

    Takes ``action`` [B, 3, s, s], or ``position`` [B, 3, S, S] and ``action``, as in
    :class:`ma2mi.clips.batches.Batch`. Returns logits [B, outputs], probabilities of the classes
    [B, C] and of the units [B, U], intensity [B] in percent of the width, and the probability of
    an expression [B]; what the network lacks is left out, see ``outputs``.
    """

    turn: Tensor

    def __init__(self, recognizer: Recognizer) -> None:
        super().__init__()
        self.net = recognizer.net
        self.settings = recognizer.settings
        turn = [-1.0, 1.0, 1.0] if self.net.action_input == "flow" else [1.0, 1.0, 1.0]
        self.register_buffer("turn", torch.tensor(turn).view(1, 3, 1, 1))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Those of ``OUTPUTS`` that the network has."""
        lacking = {
            "units": not self.settings.units,
            "intensity": not self.settings.has_intensity,
            "movement": not self.settings.has_movement,
        }
        return tuple(name for name in OUTPUTS if not lacking.get(name))

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        views = [self._look(*given, view=view) for view in self.settings.views]
        logits = torch.stack(views).mean(0)
        output = calibrate(logits, self.settings)
        known = {
            "logits": logits,
            "classes": output.classes.softmax(1),
            "units": output.units.sigmoid(),
            "intensity": output.intensity,
            "movement": None if output.movement is None else output.movement.sigmoid(),
        }
        return tuple(x for name in self.outputs if (x := known[name]) is not None)

    def _look(self, *given: Tensor, view: str) -> Tensor:
        action = given[-1]
        position = given[0] if len(given) == 2 else None
        if view == "mirrored":
            action = action.flip(3) * self.turn
            position = None if position is None else position.flip(3)
        logits: Tensor = self.net(position, action)
        return logits


def check_onnx() -> None:
    """Ask for what an export needs, before the work.

    Raises:
        MissingPart: onnx or onnxruntime is not installed.
    """
    with optional_part("onnx", "onnx"), _without_telemetry():
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401


def export_onnx(recognizer: Recognizer, path: Path, *, position: bool = False) -> float:
    """Write the recognizer as ONNX, after onnxruntime has agreed with torch.

    Any number of pairs goes in at once. The file's ``metadata_props`` hold JSON: "labels"
    (classes, units), "preprocessing" (what each input is made of), "recognizer" (calibration,
    thresholds) and "ma2mi" (version, recipe).

    Args:
        recognizer: stays as it is.
        path: the file.
        position: whether the face is an input beside the movement; without it the network's null
            position stands in.

    Returns:
        The largest difference between onnxruntime and torch over all outputs.

    Raises:
        CheckpointError: a layer that ONNX cannot hold, or outputs that differ by more than
            ``TOLERANCE``; then nothing is written.
        MissingPart: onnx or onnxruntime is not installed.
    """
    check_onnx()
    import onnx

    if position and isinstance(recognizer.net.face_encoder(), FaceTransformer):
        raise CheckpointError(
            "shrinks the face as ONNX cannot",
            where=recognizer.config["model"],
            hint="Leave out --position",
        )
    module = RecognizerGraph(recognizer).cpu().eval()
    inputs = _inputs(recognizer, position)
    with one_thread():
        model = onnx.load_from_string(_graph(module, inputs))
        if unseen := set(inputs) - {given.name for given in model.graph.input}:
            raise CheckpointError(
                f"does not look at its {', '.join(unseen)}",
                where=recognizer.config["model"],
                hint="Leave out --position" if "position" in unseen else "Add --position",
            )
        for key, value in _about(recognizer, inputs).items():
            model.metadata_props.add(key=key, value=json.dumps(value, sort_keys=True))
        onnx.checker.check_model(model, full_check=True)
        content = model.SerializeToString(deterministic=True)
        difference = _check(content, module, inputs)
    if not difference <= TOLERANCE:
        raise CheckpointError(
            f"onnxruntime and torch differ by {difference:.2g}, allowed is {TOLERANCE:g}",
            where=path,
            hint="Nothing was written",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, content)
    return difference


@contextmanager
def _without_telemetry() -> Iterator[None]:
    """Load onnxruntime here: what it would report to its makers stays off (seen with 1.32).

    The variable counts only while the library is loaded, so the process keeps its own after that.
    """
    before = os.environ.get(TELEMETRY_OFF)
    os.environ.setdefault(TELEMETRY_OFF, "1")
    try:
        yield
    finally:
        if before is None:
            del os.environ[TELEMETRY_OFF]


def _inputs(recognizer: Recognizer, position: bool) -> dict[str, int]:
    """Name of each input to its side in px, in their order."""
    sides = {"position": recognizer.size} if position else {}
    return {**sides, "action": recognizer.net.input_side or recognizer.size}


def _examples(inputs: dict[str, int], count: int) -> list[Tensor]:
    draw = torch.Generator().manual_seed(count)
    return [
        torch.rand(count, 3, side, side, generator=draw)
        if name == "position"
        else torch.randn(count, 3, side, side, generator=draw)
        for name, side in inputs.items()
    ]


def _graph(module: RecognizerGraph, inputs: dict[str, int]) -> bytes:
    """The module as ONNX bytes, by torch's exporter that traces."""
    stream = io.BytesIO()
    try:
        with torch.no_grad(), _pooling_as_matrices(), warnings.catch_warnings():
            # It is called old, and shapes are constants on purpose, but for the batch's.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                tuple(_examples(inputs, 2)),
                stream,  # type: ignore[arg-type]  # this exporter takes streams, too
                input_names=list(inputs),
                output_names=list(module.outputs),
                dynamic_axes={name: {0: "batch"} for name in (*inputs, *module.outputs)},
                opset_version=OPSET,
                dynamo=False,
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        raise CheckpointError(
            f"cannot be written as ONNX ({str(error).splitlines()[0]})",
            where=type(module.net).__name__,
        ) from error
    return stream.getvalue()


@contextmanager
def _pooling_as_matrices() -> Iterator[None]:
    """Let adaptive pooling be two matrix products: ONNX has it for whole factors only."""
    functional = torch.nn.functional
    before = functional.adaptive_avg_pool2d

    def pool(x: Tensor, size: Any) -> Tensor:
        rows, columns = (size, size) if isinstance(size, int) else size
        left = _averages(int(x.shape[2]), int(rows))
        right = _averages(int(x.shape[3]), int(columns))
        return left @ x @ right.T

    functional.adaptive_avg_pool2d = pool  # type: ignore[assignment]
    try:
        yield
    finally:
        functional.adaptive_avg_pool2d = before


def _averages(inside: int, outside: int) -> Tensor:
    """The matrix [outside, inside] of adaptive average pooling along one side, as torch has it."""
    matrix = np.zeros((outside, inside), np.float32)  # not torch's: it would be traced
    for i in range(outside):
        first, stop = i * inside // outside, -(-(i + 1) * inside // outside)
        matrix[i, first:stop] = 1 / (stop - first)
    return torch.from_numpy(matrix)


@torch.no_grad()
def _check(content: bytes, module: RecognizerGraph, inputs: dict[str, int]) -> float:
    """Largest difference between onnxruntime and torch, for batches of several sizes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    largest = 0.0
    for count in (1, 2, 5):
        given = _examples(inputs, count)
        feed = {name: x.numpy() for name, x in zip(inputs, given, strict=True)}
        for theirs, ours in zip(session.run(None, feed), module(*given), strict=True):
            if theirs.shape != ours.shape:
                raise CheckpointError(
                    f"onnxruntime gives {theirs.shape}, torch {tuple(ours.shape)}", where="ONNX"
                )
            largest = max(largest, float(np.abs(theirs - ours.numpy()).max()))
    return largest


def _about(recognizer: Recognizer, inputs: dict[str, int]) -> dict[str, Any]:
    """What goes into the file's metadata."""
    net, size = recognizer.net, recognizer.size
    made_of = {
        "position": f"onset crop, RGB in [0, 1], its middle {size} x {size} px",
        "action": (
            f"flow from onset to apex on the same {size} px: u (right) and v (down) in percent of "
            "the width, and ten times the optical strain"
            if net.action_input == "flow"
            else f"apex minus onset, RGB in [-1, 1], the same {size} px"
        ),
    }
    return {
        "labels": {"classes": recognizer.classes, "units": recognizer.units},
        "preprocessing": {
            "size": size,
            "crop": size + 16,
            "inputs": {
                name: {"shape": ["batch", 3, side, side], "is": made_of[name]}
                for name, side in inputs.items()
            },
        },
        "recognizer": recognizer.settings.model_dump(mode="json"),
        "ma2mi": {
            "version": _version.__version__,
            "model": recognizer.config["model"],
            "recipe": recognizer.config.get("recipe"),
        },
    }
