"""A package of somebody else that adds entries: found by its entry point, in another process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fabricated import SMALL_STUDY

PLUGIN = """
from lrpsweep.attribution.lrp.rules import RULES, STABILIZER, Rule, zero


def add():
    RULES.register(Rule("toy", zero, "LRP-toy", (STABILIZER,)))
"""


def install(folder: Path, code: str, version: str = "1.2") -> None:
    """What pip leaves of a package `toy-lrp`."""
    (folder / "toy_lrp.py").write_text(code, encoding="utf-8")
    info = folder / f"toy_lrp-{version}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: toy-lrp\nVersion: {version}\n")
    (info / "entry_points.txt").write_text("[lrpsweep.plugins]\ntoy = toy_lrp:add\n")


@pytest.fixture
def call(tmp_path: Path):
    """Runs `lrpsweep …` in a new process that knows the package."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])
        return subprocess.run(
            [sys.executable, "-m", "lrpsweep", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )

    (tmp_path / "site").mkdir()
    (tmp_path / "small.yaml").write_text(
        SMALL_STUDY.replace("default, rule: zero", "default, rule: toy"), encoding="utf-8"
    )
    return run


def test_doctor_names_it_and_a_study_may_use_it(tmp_path, call):
    install(tmp_path / "site", PLUGIN)
    assert "toy-lrp 1.2" in call("doctor").stdout
    done = call("validate", "small.yaml")
    assert done.returncode == 0, done.stderr
    assert "default (toy" in done.stdout


def test_without_it_the_rule_is_unknown(call):
    done = call("validate", "small.yaml")
    assert done.returncode == 2
    assert "composite.default.rule: found 'toy'; expected one of zero" in done.stderr


def test_a_study_that_uses_it_is_another_one_and_says_with_what_it_was_run(tmp_path, call):
    install(tmp_path / "site", PLUGIN)
    done = call("run", "small.yaml", "--no-tracking")
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "runs" / "small" / "composite.json").read_text())
    assert document["provenance"]["versions"]["toy-lrp"] == "1.2"
    install(tmp_path / "site", PLUGIN.replace('toy"', 'other"', 1))
    assert call("status", "small").returncode == 2


def test_one_that_cannot_be_loaded_is_named(tmp_path, call):
    install(tmp_path / "site", "def add():\n    raise KeyError('no such thing')\n")
    done = call("validate", "small.yaml")
    assert done.returncode == 2
    assert "toy-lrp" in done.stderr
    assert "KeyError: 'no such thing'" in done.stderr
    assert "Traceback" not in done.stderr
