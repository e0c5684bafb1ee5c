"""The commands as a user types them."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from fabricated import SMALL_STUDY
from PIL import Image

from lrpsweep.attribution import Engine, list_layers
from lrpsweep.cli import main
from lrpsweep.commands.explain import load_composite
from lrpsweep.data.scenes import draw_scenes
from lrpsweep.study import bundled_studies


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def lrpsweep(*arguments, cwd):
    """The entry point in this process: starting one for each command would take minutes."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    argv = ["lrpsweep", *map(str, arguments)]
    with contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            with mock.patch.object(sys, "argv", argv):
                main()
        except SystemExit as stop:
            code = stop.code
    return Done(int(str(code)), out.getvalue(), err.getvalue())


def refused(done, *parts):
    """Exit code 2, one paragraph on stderr, no traceback."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    for part in parts:
        assert part in done.stderr


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A folder in which a small study was run."""
    folder = tmp_path_factory.mktemp("ran")
    text = SMALL_STUDY.replace("search: 4, validation: 3", "search: 4, validation: 20")
    (folder / "small.yaml").write_text(text)
    done = lrpsweep("run", "small.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "said.txt").write_text(done.stdout)
    return folder


def test_run_says_what_it_found_and_writes_everything(ran):
    said = (ran / "said.txt").read_text()
    assert "Verdict:" in said
    assert "20 validation images" in said
    assert "lrpsweep ui" in said
    assert "epsilon_gamma_box" in said
    written = {path.name for path in (ran / "runs" / "small").iterdir()}
    assert {"optuna.db", "study.yaml", "composite.json", "heatmaps.npz", "report.html"} <= written
    assert (ran / "runs" / "mlflow.db").exists()
    assert {path.name for path in ran.iterdir()} == {"small.yaml", "said.txt", "runs"}


def test_running_again_does_nothing_and_says_the_same(ran):
    before = (ran / "runs" / "small" / "composite.json").read_bytes()
    done = lrpsweep("run", "small.yaml", "--no-tracking", cwd=ran)
    assert done.returncode == 0, done.stderr
    said = (ran / "said.txt").read_text().splitlines()
    assert done.stdout.splitlines() == [line for line in said if not line.startswith("MLflow")]
    assert (ran / "runs" / "small" / "composite.json").read_bytes() == before


@pytest.mark.long
def test_another_run_elsewhere_exports_the_same_composite(ran, tmp_path):
    (tmp_path / "small.yaml").write_text((ran / "small.yaml").read_text())
    assert lrpsweep("run", "small.yaml", "--no-tracking", cwd=tmp_path).returncode == 0
    one, other = (
        json.loads((folder / "runs" / "small" / "composite.json").read_text())
        for folder in (ran, tmp_path)
    )
    assert one == other


def test_status_reads_the_database_alone(ran):
    done = lrpsweep("status", "small", "--json", cwd=ran)
    status = json.loads(done.stdout)
    assert status["complete"] == status["planned"] == 7
    assert status["nominee"]
    assert status["verdict"]


def test_report_and_export_write_where_they_are_told(ran, tmp_path):
    assert lrpsweep("report", "small", "-o", tmp_path / "r.html", cwd=ran).returncode == 0
    assert "<html" in (tmp_path / "r.html").read_text()
    assert lrpsweep("export", "small", "-o", tmp_path / "c.json", cwd=ran).returncode == 0
    document = json.loads((tmp_path / "c.json").read_text())
    assert document["result"]["validated"] is True
    parity = document.pop("parity")
    assert document == json.loads((ran / "runs" / "small" / "composite.json").read_text())
    assert parity["against"].startswith("zennit ")
    assert parity["images"] == 2
    assert 0 < parity["largest_relative_difference"] < 1e-9


def test_export_for_zennit_is_a_file_that_explains_the_same(ran, tmp_path):
    done = lrpsweep("export", "small", "--format", "zennit", "-o", tmp_path / "c.py", cwd=ran)
    assert done.returncode == 0, done.stderr
    assert "Relevance differs from that of zennit" in done.stdout
    tuned = load_composite(ran / "runs" / "small" / "composite.json")
    net = tuned.model.net.double()
    drawn = np.stack([scene.image for scene in draw_scenes("validation", 0, range(3))])
    images, targets = tuned.model.normalize(drawn).double(), torch.tensor([0, 3, 9])
    torch.save((net.features, net.classifier, images, targets), tmp_path / "given.pt")
    (tmp_path / "use.py").write_text(WITHOUT_LRPSWEEP)
    used = subprocess.run(
        [sys.executable, "use.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert used.returncode == 0, used.stderr
    found = torch.load(tmp_path / "heatmaps.pt")
    bounds = tuple(bound.double() for bound in tuned.model.pixel_bounds)
    rules = tuned.composite.rules(list_layers(net))
    expected = Engine(net, bounds).attribute(images, targets, rules).heatmaps
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-6
    wrong = lrpsweep("export", "small", "--format", "zennit", "-o", "c.json", cwd=ran)
    refused(wrong, "c.json", ".py")


WITHOUT_LRPSWEEP = """
import sys, torch
from c import explain

class Net(torch.nn.Module):
    def __init__(self, features, classifier):
        super().__init__()
        self.features, self.classifier = features, classifier

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x), 1))

features, classifier, images, targets = torch.load("given.pt", weights_only=False)
heatmaps = explain(Net(features, classifier).eval(), images, targets).sum(1)
torch.save(heatmaps, "heatmaps.pt")
assert not [name for name in sys.modules if name.startswith("lrpsweep")]
"""


def test_export_of_another_trial_needs_a_word(ran, tmp_path):
    best = json.loads((ran / "runs" / "small" / "composite.json").read_text())
    other = (best["provenance"]["trial"] + 1) % 7
    command = ("export", "small", "--trial", other, "-o", tmp_path / "c.json")
    refused(lrpsweep(*command, cwd=ran), "was not tested on validation images", "--unvalidated")
    assert lrpsweep(*command, "--unvalidated", cwd=ran).returncode == 0
    assert json.loads((tmp_path / "c.json").read_text())["result"]["validated"] is False
    refused(lrpsweep("export", "small", "--trial", 99, cwd=ran), "no complete trial 99")


def test_explain_writes_a_picture(ran, tmp_path):
    scene = draw_scenes("validation", 0, range(1))[0]
    Image.fromarray(scene.image).save(tmp_path / "scene.png")
    composite = ran / "runs" / "small" / "composite.json"
    done = lrpsweep("explain", tmp_path / "scene.png", "--composite", composite, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "heatmap.png") as picture:
        assert picture.size[0] > 300
    wrong = lrpsweep(
        "explain", tmp_path / "scene.png", "--composite", composite, "--target", "cow", cwd=tmp_path
    )
    refused(wrong, "no class 'cow'")
    other = lrpsweep(
        "explain", tmp_path / "scene.png", "--composite", composite, "--model", "alexnet",
        cwd=tmp_path,
    )  # fmt: skip
    refused(other, "has no layer")
    for output in ("heatmap.jpg", "nowhere/heatmap.png"):
        done = lrpsweep(
            "explain", tmp_path / "scene.png", "--composite", composite, "-o", output, cwd=tmp_path
        )
        refused(done, output)


def test_what_the_runs_folder_has_lost_is_made_anew(ran, tmp_path):
    folder = ran / "runs" / "small"
    composite = (folder / "composite.json").read_bytes()
    (folder / "heatmaps.npz").unlink()
    (folder / "composite.json").unlink()
    assert lrpsweep("report", "small", "-o", tmp_path / "r.html", cwd=ran).returncode == 0
    assert (folder / "composite.json").read_bytes() == composite
    assert (folder / "heatmaps.npz").exists()


def test_a_study_edited_after_its_run_is_not_exported(ran, tmp_path):
    """Once, the edited composite was written with the scores of the one that had run."""
    command = ("export", "small.yaml", "-o", tmp_path / "c.json")
    done = lrpsweep(*command, "--set", "evaluation.patch=8", cwd=ran)
    refused(done, "small.yaml", "is not the study 'small' that was run")
    assert not (tmp_path / "c.json").exists()


def test_publish_rebuilds_mlflow_elsewhere(ran, tmp_path):
    uri = f"sqlite:///{tmp_path / 'again.db'}"
    done = lrpsweep("publish", "small", "--tracking-uri", uri, cwd=ran)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "again.db").exists()


def test_a_study_changed_after_its_first_trial_is_refused_field_by_field(ran):
    before = lrpsweep("status", "small", "--json", cwd=ran).stdout
    done = lrpsweep("run", "small.yaml", "--set", "evaluation.patch=8", cwd=ran)
    refused(done, "changed after its first trial", "evaluation.patch", "16", "8")
    assert lrpsweep("status", "small", "--json", cwd=ran).stdout == before


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ("evaluation.patsch=8", ("evaluation.patsch", "patch")),
        ("evaluation.patch=100", ("evaluation.patch", "64")),
        ("composite.early.layers=features.77", ("composite.early.layers", "features.77")),
        ("composite.late.layers=features.7..features.19", ("composite.late.layers", "early")),
        ("composite.early.gamma=-1", ("gamma", "-1")),
        ("data.target=12", ("data.target", "12", "0 to 9")),
        ("run.storage=postgresql://x:secret@127.0.0.1:1/none", ("127.0.0.1",)),
        ("model={torchvision: vgg99, weights: null}", ("model.torchvision", "vgg99", "vgg")),
        ("data={folder: nowhere, labels: name, split: {search: 1, validation: 0}}", ("nowhere",)),
    ],
)
def test_wrong_input_is_refused_before_any_trial(small_study, change, parts):
    folder = small_study.parent
    done = lrpsweep("run", small_study.name, "--set", change, "--no-tracking", cwd=folder)
    refused(done, *parts)
    assert "secret" not in done.stderr
    assert not list(folder.glob("runs/*/composite.json"))


def test_wrong_arguments_are_refused(tmp_path):
    refused(lrpsweep("run", "nothing", cwd=tmp_path), "nothing", "quickstart")
    refused(lrpsweep("run", "none.yaml", cwd=tmp_path), "none.yaml")
    refused(lrpsweep("status", "quickstart", cwd=tmp_path), "quickstart")
    refused(lrpsweep("frobnicate", cwd=tmp_path), "frobnicate")


def test_init_writes_a_valid_study(tmp_path):
    for scene in draw_scenes("search", 0, range(20)):
        folder = tmp_path / "images" / str(scene.label)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene.image).save(folder / f"{len(list(folder.iterdir()))}.png")
    done = lrpsweep(
        "init", "--model", "scenes", "--images", "images", "-o", "mine.yaml", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    valid = lrpsweep("validate", "mine.yaml", cwd=tmp_path)
    assert valid.returncode == 0, valid.stderr
    assert "trials: " in valid.stdout
    again = lrpsweep(
        "init", "--model", "scenes", "--images", "images", "-o", "mine.yaml", cwd=tmp_path
    )
    refused(again, "mine.yaml", "--force")
    refused(
        lrpsweep("init", "--model", "vgg61", "--images", "images", cwd=tmp_path), "'vgg61'", "vgg1"
    )


def test_blocks_of_a_network_are_shown(tmp_path):
    shown = lrpsweep("blocks", "scenes", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "{block: stage2, layers: features.5..features.7," in shown.stdout
    found = json.loads(lrpsweep("blocks", "quickstart", "--json", cwd=tmp_path).stdout)
    assert found["stages"]["stage2"] == "features.5..features.7"
    assert found["layers"][2]["output"] == [16, 32, 32]
    refused(lrpsweep("blocks", "vgg61", cwd=tmp_path), "vgg61", "vgg1")


def test_a_composite_is_shown_layer_by_layer(ran):
    file = Path("runs") / "small" / "composite.json"
    blocks = json.loads((ran / file).read_text())["blocks"]
    for composite in (file, "decreasing_gamma"):
        shown = lrpsweep("blocks", "scenes", "--composite", composite, cwd=ran)
        assert shown.returncode == 0, shown.stderr
        first = next(line for line in shown.stdout.splitlines() if line.startswith("features.0 "))
        assert first.split()[1:] == ["Conv2d", "1", "pixel", "z_box"]
    found = lrpsweep("blocks", "scenes", "--composite", file, "--json", cwd=ran)
    assert json.loads(found.stdout)["blocks"] == blocks
    wrong = lrpsweep("blocks", "scenes", "--composite", "epsilon_pls", cwd=ran)
    refused(wrong, "--composite", "'epsilon_plus'")
    refused(
        lrpsweep("blocks", "alexnet", "--composite", file, cwd=ran), "composite.json", "alexnet"
    )


def test_every_bundled_study_that_needs_nothing_is_valid(tmp_path):
    assert "quickstart" in bundled_studies()
    done = lrpsweep("validate", "quickstart", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["trials"] >= 49


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)]
)
def test_a_stopped_run_goes_on_where_it_was(small_study, number):
    folder = small_study.parent
    text = small_study.read_text().replace("split: {search: 4", "split: {search: 64")
    small_study.write_text(text.replace("patch: 16, perturbation: mean", "patch: 4"))
    command = [sys.executable, "-m", "lrpsweep", "run", "small.yaml", "--no-tracking"]
    log = folder / "log.txt"
    with log.open("w") as file:
        driver = subprocess.Popen(command, cwd=folder, stdout=file, stderr=file)
        _wait_for(lambda: "First trial" in log.read_text(), driver)
        driver.send_signal(number)
        assert driver.wait(timeout=120) == 1
    assert "Traceback" not in log.read_text()
    assert "goes on" in log.read_text()
    status = json.loads(lrpsweep("status", "small", "--json", cwd=folder).stdout)
    assert 1 <= status["complete"] < 7
    assert status.get("running", 0) == 0


def _wait_for(happened, driver, seconds=120):
    deadline = time.monotonic() + seconds
    while not happened():
        assert driver.poll() is None, "the run ended before it was stopped"
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_help_answers_at_once():
    """Half a second is promised; the slowest of shared machines gets four times as much."""
    started = time.monotonic()
    subprocess.run([sys.executable, "-m", "lrpsweep", "--help"], capture_output=True, check=True)
    assert time.monotonic() - started < 2
    code = "import sys, lrpsweep.cli; print(sorted({'torch', 'ray', 'mlflow'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_an_unexpected_failure_is_a_sentence(tmp_path):
    broken = tmp_path / "runs" / "quickstart"
    broken.mkdir(parents=True)
    (broken / "optuna.db").write_bytes(b"this is no database" * 100)
    done = lrpsweep("status", "quickstart", cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert done.stderr.startswith("lrpsweep: ")
    assert "Traceback" not in done.stderr
    assert os.fspath(Path("optuna.db")) in done.stderr


FACTORY = """
import torch
from torch import nn


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4 * 16 * 16, 3)

    def forward(self, x):
        return self.head(torch.flatten(torch.relu(self.conv(x)), 1))


def make():
    torch.manual_seed(0)
    return Small()
"""
OWN = """\
version: 1
name: own
model:
  factory: NAME:make
  preprocess: {crop: 16, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25]}
data: {folder: images, labels: index, split: {search: 4, validation: 2}}
search: {g: {log: [0.1, 1.0], points: 2}}
composite:
  - {block: body, layers: conv, rule: gamma, gamma: $g}
  - {block: default, rule: zero}
evaluation: {protocol: thesis, patch: 4}
baselines: [epsilon_gamma_box]
sampler: {name: grid}
run: {workers: 1}
"""


def test_a_factory_beside_the_study_runs_only_when_allowed(tmp_path):
    """From another folder, in workers that know nothing of either, under protocol thesis."""
    study = tmp_path / "studies"
    for n in range(6):
        (study / "images" / str(n % 3)).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (40 * n, 9, 90)).save(study / "images" / str(n % 3) / f"{n}.png")
    (study / "small_net_here.py").write_text(FACTORY)
    (study / "own.yaml").write_text(OWN.replace("NAME", "small_net_here"))
    for command in ("validate", "run"):
        refused(
            lrpsweep(command, study / "own.yaml", cwd=tmp_path),
            "model.factory",
            "small_net_here:make",
            "--allow-code",
        )
    assert not (tmp_path / "runs").exists()
    done = lrpsweep("run", study / "own.yaml", "--allow-code", "--no-tracking", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    composite = tmp_path / "runs" / "own" / "composite.json"
    source = json.loads(composite.read_text())["model"]["source"]
    assert source["factory"] == "small_net_here:make"
    explained = lrpsweep(
        "explain", study / "images" / "0" / "0.png", "--composite", composite, cwd=study
    )
    refused(explained, "--allow-code")


def test_explain_leaves_the_photo_as_it_is(ran, tmp_path):
    """Caught: the heatmap took the photo's place, exit code 0."""
    photo = tmp_path / "scene.png"
    Image.fromarray(draw_scenes("validation", 0, range(1))[0].image).save(photo)
    before = photo.read_bytes()
    composite = ran / "runs" / "small" / "composite.json"
    done = lrpsweep("explain", photo, "--composite", composite, "-o", "scene.png", cwd=tmp_path)
    refused(done, "--output scene.png", "the image that is explained", "another file")
    assert photo.read_bytes() == before


def test_an_unstable_explanation_is_an_error_unless_it_is_allowed(ran, tmp_path):
    composite, photo = ran / "runs" / "small" / "composite.json", tmp_path / "photo.png"
    Image.fromarray(draw_scenes("test", 0, [3])[0].image).save(photo)
    strict = ("explain", photo, "--composite", composite, "--unexplained", "0")
    done = lrpsweep(*strict, cwd=tmp_path)
    assert done.returncode == 1
    assert "relevance does not sum up to the score in 1 of 1 images" in done.stderr
    assert "--unexplained" in done.stderr
    assert lrpsweep(*strict[:-1], "0.01", cwd=tmp_path).returncode == 0
