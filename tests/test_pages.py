"""The pages for users, followed literally: every file written, every command run, in order."""

import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.long

DOCS = Path(__file__).parent.parent / "docs"
CLUSTER = Path(__file__).with_name("one_cluster.py")
PAGES = ("my-model", "my-images", "read-the-result")
BLOCK = re.compile(r"^```(python|yaml|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w.-]+)\n")


def follow(page: str, folder: Path) -> None:
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    for number, (language, block) in enumerate(BLOCK.findall(text)):
        named = FILE.match(block)
        if named:
            (folder / named[1]).write_text(block, encoding="utf-8")
        elif language == "python":
            script = folder / f"{page}-{number}.py"
            script.write_text(block, encoding="utf-8")
            run([sys.executable, script.name], folder)
        elif language == "sh":
            for line in block.splitlines():
                command, _, comment = line.partition("#")
                run(command.split(), folder, stops=comment.strip().startswith("stops"))


def run(command: list[str], folder: Path, *, stops: bool = False) -> None:
    program = Path(sys.executable).with_name(Path(command[0]).name)
    done = subprocess.run(
        [program, *command[1:]], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == (2 if stops else 0), f"{command}:\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """One Ray for all the pages: starting one takes longer than most of their studies."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_AUTH_MODE", "token")
        environment.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        started = subprocess.Popen(
            [sys.executable, CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert started.stdout is not None
        environment.setenv("RAY_ADDRESS", started.stdout.readline().strip())
        yield
        started.communicate(timeout=60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, cluster) -> Path:
    """Where a reader of all the pages ends up."""
    path: Path = tmp_path_factory.mktemp("reader")
    for page in PAGES:
        follow(page, path)
    return path


def test_each_page_ends_in_a_composite_and_a_heatmap(folder):
    for study in ("shapes", "in-python", "table", "arrays"):
        assert (folder / "runs" / study / "composite.json").is_file()
        assert (folder / "runs" / study / "report.html").is_file()
    for picture in ("heatmap.png", "disc.png", "triangle.png"):
        with Image.open(folder / picture) as opened:
            assert np.asarray(opened.convert("RGB")).std() > 1
    heatmap = np.load(folder / "triangle.npy")
    assert heatmap.shape == (32, 32)
    assert np.abs(heatmap).max() > 0


def test_the_same_network_has_the_same_composite_whoever_hands_it_over(folder):
    import json

    ours, theirs = (
        json.loads((folder / "runs" / name / "composite.json").read_text())
        for name in ("shapes", "in-python")
    )
    assert ours["model"]["fingerprint"] == theirs["model"]["fingerprint"]
    assert ours["blocks"] == theirs["blocks"]
    assert ours["result"]["search"] == theirs["result"]["search"]
