"""Every benchmark still runs, in a tiny form."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fabricated import SMALL_STUDY

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"

SURFACES = Path(__file__).parent / "surfaces"

TINY = {
    "cache.py": ["{study}", "--trials", "2"],
    "compute.py": ["{surfaces}/resnet20-curves.npz", "--seeds", "2", "--trials", "18"],
    "compute.py --bootstraps": ["2", "{surfaces}/resnet20-curves.npz", "--trials", "18"],
    "defaults.py": ["--splits", "2", "--budgets", "3", "--surfaces", "resnet20"],
    "defaults.py --verdicts": ["--studies", "3", "--surfaces", "resnet20"],
    "explanations.py": [
        *("--networks", "resnet18", "--explanations", "2", "--repeats", "1"),
        *("--images", "1", "--size", "32"),
    ],
    "orchestration.py": [
        *("--trials", "3", "--seconds", "0.01", "--samplers", "random", "--executor", "local"),
    ],
    "surfaces.py": ["{study}", "-o", "{folder}/surface.npz"],
    "trial.py": [
        *("--repeats", "1", "--threads", "1"),
        *("--network", "squeezenet1_1", "--images", "1", "--size", "32"),
    ],
}
SAID = {
    "cache.py": r"hit rate [1-9]\d\.\d%\n.* of a score (?:0\.0e\+00|\d\.\de-0[6-9])\n",
    "compute.py": r"all together \| 1/\d+\.\d \|(?s:.*)larger by -?\d+\.\d\d ± \d+\.\d\d paired",
    "compute.py --bootstraps": r"all together: loses more .* in \d+\.\d% ± \d+\.\d%\n",
    "defaults.py": r"all \| A, guard 5 % \| (\S+) (?s:.*)\nall \| B, guard 5 % \| (\S+) ",
    "defaults.py --verdicts": r"resnet20 \| no guard(?: \| \d+\.\d){5}\n",
    "explanations.py": r"lrpsweep .*relevance (\S+)\n.*zennit .*relevance (\S+)\n",
    "orchestration.py": r"\| random \| \d+\.\d s \| \d+\.\d \(0\.0\) s \|.* \d+\.\d s \|\n",
    "surfaces.py": r"(\d+) of (\d+), 0 min left\n$",
    "trial.py": r"AUC, mean over images: trial (\S+), by hand (\S+)\n",
}
"""The line that a benchmark ends with or is for; numbers in parentheses are equal."""


def test_every_benchmark_has_a_tiny_form() -> None:
    assert {path.name for path in BENCHMARKS.glob("*.py")} == {words.split()[0] for words in TINY}


SLOW = ("compute.py", "explanations.py", "orchestration.py")


@pytest.mark.parametrize(
    "words",
    [pytest.param(one, marks=pytest.mark.long) if one in SLOW else one for one in TINY],
)
def test_a_benchmark_runs(words: str, tmp_path: Path) -> None:
    """`orchestration.py` once ended in KeyError: 'unexplained', unnoticed."""
    study = tmp_path / "small.yaml"
    text = SMALL_STUDY.replace("search: 4, validation: 3", "search: 2, validation: 0")
    study.write_text(text, encoding="utf-8")
    name, *form = words.split()
    places = {"study": study, "folder": tmp_path, "surfaces": SURFACES}
    arguments = [*form, *(word.format(**places) for word in TINY[words])]
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / name), *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    said = re.search(SAID[words], done.stdout)
    assert said is not None, done.stdout
    numbers = [float(number) for number in said.groups()]
    assert numbers == pytest.approx(numbers[::-1], rel=1e-3)
    assert "nan" not in done.stdout
