"""Weights and training states on disk: safetensors and JSON, no pickles."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ma2mi.errors import CheckpointError
from ma2mi.files import replace_file
from ma2mi.models.catalog import build_model, settings_before
from ma2mi.models.trunk import Trunk

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
#: Raised when a setting's default changes: configs hold only what differs from the defaults.
FORMAT = 2


def save_model(folder: Path, trunk: Trunk, config: dict[str, Any]) -> None:
    """Write ``model.safetensors`` and ``config.json`` (the folder format of Hugging Face).

    Args:
        folder: made if missing.
        trunk: any network of the catalog.
        config: at least "model" (name in the catalog), "classes", "settings" and "size"; with
            "dtype": "float16" the weights are stored in half precision.
    """
    folder.mkdir(parents=True, exist_ok=True)
    half = config.get("dtype") == "float16"
    tensors = {
        name: (t.half() if half and t.is_floating_point() else t).detach().cpu().contiguous()
        for name, t in trunk.state_dict().items()
    }
    replace_file(folder / WEIGHTS, save(tensors, {"format": "pt"}))
    config = {**config, "format": FORMAT}
    replace_file(folder / CONFIG, json.dumps(config, indent=2, sort_keys=True).encode())


def find_weights(name: Path | str) -> Path:
    """The folder of shipped weights ("zero") or of anybody's.

    Args:
        name: shipped weights go before a folder of the same name; "./zero" names the folder.

    Raises:
        CheckpointError: there is neither.
    """
    shipped = Path(str(files("ma2mi") / "weights"))
    known = sorted(path.parent.name for path in shipped.glob(f"*/{CONFIG}"))
    if str(name) in known:
        return shipped / str(name)
    if not Path(name).is_dir():
        raise CheckpointError(
            "is neither a folder nor the name of shipped weights",
            where=name,
            cure=f"Shipped are: {', '.join(known)}" if known else "Give a folder of weights",
        )
    return Path(name)


def read_config(folder: Path) -> dict[str, Any]:
    """What a folder of weights says of itself.

    Raises:
        CheckpointError: there are no weights in the folder, or its config is damaged.
    """
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"holds no readable {CONFIG} ({error})",
            where=folder,
            cure="Give a folder that ma2mi pretrain finished",
        ) from error
    if missing := {"model", "classes", "settings", "size"} - config.keys():
        raise CheckpointError(f"{CONFIG} lacks {', '.join(sorted(missing))}", where=folder)
    if "format" not in config:
        config["settings"] = settings_before(config["model"]) | config["settings"]
    return config


def load_trunk(trunk: Trunk, folder: Path, *, head: Sequence[int] | None = None) -> Trunk:
    """Load the trunk's weights, stored in whole or half precision.

    Args:
        trunk: the network to load into.
        folder: as written by :func:`save_model`.
        head: which outputs of the stored head become the network's, in its order; None leaves
            the network its own head, since its classes may be others.

    Raises:
        CheckpointError: the weights are missing, damaged, or of another network.
    """
    try:
        tensors = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"no readable weights ({error})", where=folder / WEIGHTS, cure="Pre-train again"
        ) from error
    own = trunk.state_dict()
    heads = [name for name in own if name.startswith("head.")]
    if head is None:
        wanted = {name: t for name, t in tensors.items() if not name.startswith("head.")}
    else:
        wanted = tensors | {
            name: tensors[name][list(head)]
            for name in heads[-2:]  # weight and bias of the last layer
            if name in tensors and len(tensors[name]) > max(head)
        }
    unfit = [n for n in own if n not in wanted and (head is not None or n not in heads)]
    unfit += [n for n, t in wanted.items() if n not in own or own[n].shape != t.shape]
    if unfit:
        raise CheckpointError(
            f"weights do not fit this network: {unfit[0]} and {len(unfit) - 1} more differ",
            where=folder / WEIGHTS,
            cure=f"They were made for {read_config(folder)['model']}; name that with --model",
        )
    trunk.load_state_dict(own | wanted)
    return trunk


def open_trunk(folder: Path, classes: int, **changes: Any) -> Trunk:
    """The network that a folder of weights describes, with its weights and a fresh head.

    Args:
        folder: as written by :func:`save_model`.
        classes: number of classes of the fresh head.
        changes: settings to change, such as ``branches="action"``.

    Raises:
        CheckpointError: see :func:`read_config` and :func:`load_trunk`.
    """
    config = read_config(folder)
    return load_trunk(
        build_model(config["model"], classes, **(config["settings"] | changes)), folder
    )


def save_state(
    path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, about: dict[str, Any]
) -> None:
    """Everything that training needs to go on as if it had never stopped."""
    tensors = {f"model/{name}": t for name, t in module.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{name}": value for name, value in values.items()}
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
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"no readable training state ({error})", where=path, cure="Delete it to start anew"
        ) from error
    model = {n.removeprefix("model/"): t for n, t in tensors.items() if n.startswith("model/")}
    try:
        module.load_state_dict(model)
    except RuntimeError as error:
        raise CheckpointError(
            "training state of another network", where=path, cure="Choose another --out"
        ) from error
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer/"):
            _, index, key = name.split("/")
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )
    return about
