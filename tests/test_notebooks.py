"""Every notebook runs from top to bottom."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

WHOLE_STUDY = "study.ipynb"
NOTEBOOKS = [
    pytest.param(path, marks=pytest.mark.long) if path.name == WHOLE_STUDY else path
    for path in sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
]


@pytest.mark.filterwarnings("default")  # the kernel's client warns about things of its own
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_runs(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=400, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    assert (tmp_path / "runs" / "notebook" / "composite.json").exists()


def test_there_is_a_notebook():
    assert NOTEBOOKS
