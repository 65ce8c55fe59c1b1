"""Weights and training states on disk: safetensors and JSON, no pickles."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

import ma2mi.training.block_classifier  # noqa: F401  # its networks join the catalog
from ma2mi.errors import CheckpointError, SettingsError, store_error
from ma2mi.files import digest, replace_file
from ma2mi.models.backbone import Backbone
from ma2mi.models.catalog import MODELS, MOST_CLASSES, build_model, settings_before

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
#: Raised when a setting's default changes: configs hold only what differs from the defaults.
FORMAT = 2
#: A larger config.json is none.
MOST_BYTES = 10_000_000
#: A network of more parameters than this, and than its file holds, is not built: the config is
#: another's, and the memory would not suffice.
MOST_PARAMETERS = 50_000_000


class _Config(BaseModel):
    """What a config must say, and of what kind the rest is; more may stand in it."""

    model_config = ConfigDict(extra="allow", protected_namespaces=(), allow_inf_nan=False)

    model: str
    classes: Annotated[int, Field(ge=1, le=MOST_CLASSES, strict=True)]
    settings: dict[str, Any]
    size: Annotated[int, Field(ge=16, le=1024, strict=True)]
    format: Annotated[int, Field(ge=1, strict=True)] = FORMAT
    people: list[str] = []
    trained_subjects: list[str] = []
    pretext: str = ""
    dtype: Literal["float16", "float32"] = "float32"
    recognizer: dict[str, Any] = {}
    weights_sha256: str = ""


def save_model(folder: Path, backbone: Backbone, config: dict[str, Any]) -> None:
    """Write ``model.safetensors`` and ``config.json`` (the folder format of Hugging Face).

    Args:
        folder: made if missing.
        backbone: any network of the catalog.
        config: at least "model" (name in the catalog), "classes", "settings" and "size"; with
            "dtype": "float16" the weights are stored in half precision. The weights' sha256 is
            added.

    Raises:
        CheckpointError: the weights are not finite.
        StoreError: the folder cannot be written.
    """
    half = config.get("dtype") == "float16"
    tensors = {
        name: (t.half() if half and t.is_floating_point() else t).detach().cpu().contiguous()
        for name, t in backbone.state_dict().items()
    }
    _refuse_infinite(tensors, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise store_error(error, folder) from error
    content = save(tensors, {"format": "pt"})
    added = {"format": FORMAT, "weights_sha256": hashlib.sha256(content).hexdigest()}
    replace_file(folder / WEIGHTS, content)
    text = json.dumps({**config, **added}, indent=2, sort_keys=True)
    replace_file(folder / CONFIG, text.encode())


def find_weights(name: Path | str) -> Path:
    """The folder of shipped weights ("zero"), or a folder of your own.

    Args:
        name: shipped weights go before a folder of the same name; "./zero" names the folder.

    Raises:
        CheckpointError: there is neither.
    """
    shipped = Path(str(files("ma2mi") / "weights"))
    known = sorted(path.parent.name for path in shipped.glob(f"*/{CONFIG}"))
    if str(name) in known:
        return shipped / str(name)
    try:
        found = Path(name).is_dir()
    except (OSError, ValueError):  # too long for a name, or none at all
        found = False
    if not found:
        raise CheckpointError(
            "is neither a folder nor the name of shipped weights",
            where=name,
            hint=f"Shipped are: {', '.join(known)}" if known else "Give a folder of weights",
        )
    return Path(name)


def read_config(folder: Path) -> dict[str, Any]:
    """The description in a folder of weights.

    Raises:
        CheckpointError: there are no weights in the folder, or its config is damaged.
    """
    path = folder / CONFIG
    try:
        if not path.is_file():
            raise ValueError("there is none")
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"larger than {MOST_BYTES} bytes")
        config: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"holds no readable {CONFIG} ({' '.join(str(error).split())})",
            where=folder,
            hint="Give a folder that ma2mi pretrain finished",
        ) from error
    if not isinstance(config, dict):
        raise CheckpointError("is no table of names and values", where=path)
    if missing := {"model", "classes", "settings", "size"} - config.keys():
        raise CheckpointError(f"{CONFIG} lacks {', '.join(sorted(missing))}", where=folder)
    try:
        known = _Config.model_validate(config)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise CheckpointError(f"{place}: {first['msg']}", where=path) from error
    if known.model not in MODELS:
        raise CheckpointError(
            f"names a network that is not known, {known.model[:40]!r}",
            where=path,
            hint=f"Known are: {', '.join(sorted(MODELS))}",
        )
    if known.format > FORMAT:
        raise CheckpointError(
            f"has format {known.format}, this version reads up to {FORMAT}",
            where=path,
            hint="Install a newer ma2mi",
        )
    if "format" not in config:
        config["settings"] = settings_before(config["model"]) | config["settings"]
    return config


def weights_digest(folder: Path) -> str:
    """One sha256 of all that decides what a folder of weights computes: weights and config.

    Raises:
        CheckpointError: one of them cannot be read.
    """
    try:
        both = [digest(folder / name) for name in (WEIGHTS, CONFIG)]
    except OSError as error:
        raise CheckpointError(
            f"cannot be read ({error.strerror})", where=error.filename or folder
        ) from error
    return hashlib.sha256(" ".join(both).encode()).hexdigest()


def load_backbone(
    backbone: Backbone, folder: Path, *, head: Sequence[int] | None = None
) -> Backbone:
    """Load the backbone's weights, stored in whole or half precision.

    Args:
        backbone: the network to load into.
        folder: as written by :func:`save_model`.
        head: which outputs of the stored head become the network's, in its order; None leaves
            the network its own head, since its classes may be others.

    Raises:
        CheckpointError: the weights are missing, damaged, not finite, of another network, or not
            those that the config was written with.
    """
    path = folder / WEIGHTS
    own = backbone.state_dict()
    heads = [name for name in own if name.startswith("head.")]
    try:
        if not path.is_file():
            raise OSError("there are none")
        # Shapes first: a file that is not for this network may hold anything.
        with safe_open(path, framework="pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        _refuse_other(own, heads, shapes, head, folder)
        tensors = load_file(path)
        written = str(read_config(folder).get("weights_sha256", ""))
        if written and digest(path) != written:
            raise CheckpointError(
                f"not the weights that {CONFIG} was written with",
                where=path,
                hint="Copy the folder again, or make it anew",
            )
    except (OSError, SafetensorError, ValueError, TypeError, MemoryError) as error:
        raise CheckpointError(
            f"no readable weights ({' '.join(str(error).split())})",
            where=path,
            hint="Pre-train again",
        ) from error
    _refuse_infinite(tensors, path)
    if head is None:
        wanted = {name: t for name, t in tensors.items() if not name.startswith("head.")}
    else:
        picked = {name: tensors[name][list(head)] for name in heads[-2:]}
        wanted = tensors | picked  # weight and bias of the last layer
    for name, tensor in wanted.items():
        if tensor.is_floating_point() != own[name].is_floating_point():
            raise CheckpointError(f"{name} is of type {tensor.dtype}", where=path)
    backbone.load_state_dict(own | wanted)
    return backbone


def _refuse_other(
    own: dict[str, Tensor],
    heads: Sequence[str],
    shapes: dict[str, tuple[int, ...]],
    head: Sequence[int] | None,
    folder: Path,
) -> None:
    """Refuse weights whose names or shapes are not those of the network's ``own``."""
    unfit = [n for n in own if n not in shapes and (head is not None or n not in heads)]
    for name, shape in shapes.items():
        if head is None and name.startswith("head."):
            continue
        wanted = tuple(own[name].shape) if name in own else None
        last = head is not None and name in heads[-2:]
        if last and shape and head and max(head) < shape[0]:
            shape = (len(head), *shape[1:])
        if shape != wanted:
            unfit.append(name)
    if unfit:
        others = f" and {len(unfit) - 1} more differ" if len(unfit) > 1 else " differs"
        raise CheckpointError(
            f"weights do not fit this network: {unfit[0]}{others}",
            where=folder / WEIGHTS,
            hint=f"They were made for {read_config(folder)['model']}; name that with --model",
        )


def _refuse_infinite(tensors: dict[str, Tensor], where: Path) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise CheckpointError(
                f"weights that are not finite numbers, in {name}",
                where=where,
                hint="Train again, with a lower learning rate",
            )


def open_backbone(folder: Path, classes: int, **changes: Any) -> Backbone:
    """The network that a folder of weights describes, with its weights and a fresh head.

    Args:
        folder: as written by :func:`save_model`.
        classes: number of classes of the fresh head.
        changes: settings to change, such as ``branches="action"``.

    Raises:
        CheckpointError: see :func:`read_config` and :func:`load_backbone`.
    """
    return load_backbone(build_described(folder, classes, **changes), folder)


def build_described(folder: Path, outputs: int, **changes: Any) -> Backbone:
    """The network that a folder of weights describes, with fresh weights.

    Arguments as :func:`open_backbone`; a network that the weights do not fit is refused before it
    takes memory.

    Raises:
        CheckpointError: see :func:`read_config`, or a setting is impossible.
    """
    config = read_config(folder)
    try:
        settings = config["settings"] | changes
        with torch.device("meta"):
            planned = sum(
                p.numel() for p in build_model(config["model"], outputs, **settings).parameters()
            )
        stored = (folder / WEIGHTS).stat().st_size if (folder / WEIGHTS).is_file() else planned
        # A number takes two bytes at least.
        if planned > MOST_PARAMETERS and 2 * planned > stored:
            raise SettingsError(f"describes {planned} weights, more than are stored")
        return build_model(config["model"], outputs, **settings)
    except SettingsError as error:
        raise CheckpointError(
            f"{error.where}: {error.what}" if error.where else error.what,
            where=folder / CONFIG,
            hint=error.hint,
        ) from error


def save_state(
    path: Path,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    about: dict[str, Any],
    *,
    write: bool = True,
) -> None:
    """Everything that training needs to go on as if it had never stopped.

    Args:
        path: the file.
        module, optimizer: their states; gathering them may need all processes of a run.
        about: plain values beside them.
        write: False in processes that only take part in the gathering.
    """
    tensors = {f"model/{name}": t for name, t in module.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{name}": value for name, value in values.items()}
    if not write:
        return
    cpu = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    replace_file(path, save(cpu, {"about": json.dumps(about, sort_keys=True)}))


def load_state(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Put a state of :func:`save_state` back and return its ``about``.

    Raises:
        CheckpointError: the file is damaged or of another network.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about: dict[str, Any] = json.loads(file.metadata()["about"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer/"):
                _, index, key = name.split("/")
                state.setdefault(int(index), {})[key] = tensor
        if not isinstance(about, dict):
            raise ValueError("it has no description")
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"no readable training state ({' '.join(str(error).split())})",
            where=path,
            hint="Delete it to start anew",
        ) from error
    model = {n.removeprefix("model/"): t for n, t in tensors.items() if n.startswith("model/")}
    _refuse_infinite(model, path)
    try:
        module.load_state_dict(model)
        for place, p in enumerate(_parameters(optimizer)):
            for key, tensor in state.get(place, {}).items():
                if tensor.ndim and tensor.shape != p.shape:
                    raise ValueError(f"{key} of parameter {place} has another shape")
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            "training state of another network", where=path, hint="Choose another --out"
        ) from error
    return about


def _parameters(optimizer: torch.optim.Optimizer) -> Iterable[Tensor]:
    return (p for group in optimizer.param_groups for p in group["params"])
