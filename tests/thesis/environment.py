"""A virtual environment with lrp-pf-auc 0.1.6 and its own OpenCV, which borrows torch from here."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from cases import Case
from safetensors.torch import save_file

import lrpsweep

# Built by hand with --no-deps: the package asks for torch and more, which are here already.
PACKAGES = ("lrp-pf-auc==0.1.6", "opencv-contrib-python-headless")


def build_environment(folder: Path) -> Path:
    """Its Python. Takes about a minute, and the network."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    _call([sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", *PACKAGES])
    (packages,) = folder.glob("lib/python*/site-packages")
    # After its own packages, so that its OpenCV comes first.
    borrowed = [sysconfig.get_paths()["purelib"], str(Path(lrpsweep.__file__).parents[1])]
    (packages / "borrowed.pth").write_text("\n".join(borrowed), encoding="utf-8")
    return python


def ask_package(
    python: Path,
    folder: Path,
    case: Case,
    *,
    relevance: np.ndarray | None = None,
    flip: Mapping[str, Mapping[str, Any]] | None = None,
    explain: Mapping[str, Mapping[str, Any]] | None = None,
    precision: type[np.floating] = np.float32,
) -> dict[str, np.ndarray]:
    """What `package.py` answers, by 'name/part', with names as in `flip` and `explain`."""
    weights, request, answer = folder / "weights", folder / "request.npz", folder / "answer.npz"
    state = case.model.net.state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, weights)
    about = {
        "network": case.network,
        "weights": str(weights),
        "flip": dict(flip or {}),
        "explain": dict(explain or {}),
    }
    arrays = {"images": case.pixels.numpy().astype(precision), "targets": case.targets}
    if relevance is not None:
        arrays["relevance"] = relevance
    np.savez(request, about=json.dumps(about), **arrays)
    _call([python, Path(__file__).with_name("package.py"), request, answer])
    with np.load(answer) as found:
        return {name: found[name] for name in found.files}


def _call(command: list[Any]) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
