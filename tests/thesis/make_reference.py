"""Writes reference.json: the package's own numbers for the small case.

python tests/thesis/make_reference.py
"""

import json
import tempfile
from importlib.metadata import version
from pathlib import Path

import torch
from cases import FLIPS, scenes, smooth_noise
from environment import PACKAGES, ask_package, build_environment

REFERENCE = Path(__file__).with_name("reference.json")


def main() -> None:
    case = scenes()
    relevance = smooth_noise(case.images)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = build_environment(folder / "environment")
        found = ask_package(python, folder, case, relevance=relevance, flip=FLIPS)
    numbers = {
        flip: {part: found[f"{flip}/{part}"].tolist() for part in ("curves", "auc")}
        for flip in FLIPS
    }
    about = {
        "packages": PACKAGES,
        "torch": torch.__version__,
        "torchvision": version("torchvision"),
    }
    REFERENCE.write_text(json.dumps({"made with": about, **numbers}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
