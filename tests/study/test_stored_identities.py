"""Studies that were run by earlier versions are still the same studies."""

from __future__ import annotations

from pathlib import Path

import pytest

from lrpsweep.study import bundled_studies, identity, load_study, parse_study

BUNDLED = {
    "quickstart": "5134d983821d6931259b7e75dd945042",
    "thesis-decreasing-lerf": "c45c478cc221713db9a5ef9b84eb3861",
    "thesis-decreasing-morf": "ab7052cd4269010fb5bc88ee3a9cf26e",
    "thesis-decreasing-random": "7c790472e0cb0095ab60ee9dbfa22352",
    "thesis-decreasing-table-4.2": "e48a1d1079157e6a8d6126c94277edbf",
    "thesis-decreasing-zoomed": "daecd310326ed9722d0c34e55186a52b",
    "thesis-tutorial-lerf": "d8378fe32e248ebab26be631dd6439a5",
    "thesis-tutorial-morf": "3e90ef5f283285956151f7736e0fa253",
    "thesis-tutorial-random": "566cacc70aa6666dab1c4c3d54cb5b82",
    "vgg16-decreasing-gamma": "d09096039e978ab7da518d9eae92e803",
}
"""Study to the first half of its hash for two images, by the version before registries."""

HALF_RUN = """\
version: 1
name: half-run
model: {embedded: scenes}
data:
  embedded: scenes
  target: label
  split: {search: 4, validation: 3, seed: 0}
search:
  rule: {choice: [gamma, epsilon]}
  gamma1: {log: [0.01, 10.0], zero: true}
  gamma2: {log: [0.1, 1.0], zero: true}
  eps: {linear: [0.0, 0.5]}
composite:
  - {block: pixel, layers: features.0, rule: z_box}
  - {block: early, layers: features.1..features.9, rule: gamma, gamma: $gamma1,
     bias: kept, pooling: sum}
  - {block: late,  layers: features.10..features.19, rule: $rule, gamma: $gamma2, epsilon: $eps}
  - {block: default, rule: zero, stabilize: clip}
evaluation: {patch: 16, perturbation: mean}
objective: srg
constraints: {unexplained: 0.5}
baselines: [decreasing_gamma, epsilon_gamma_box]
sampler: {name: tpe, seed: 0}
trials: 8
run: {device: cpu, cpus: 1, cache_gb: 0.1}
"""
FINGERPRINT = "928bc3e35bd79818fbe9d847d259e00cd8b93e622adc54c97cdab68318d47c9e"
IMAGES = (
    ("scenes/search/0/0", "68c518d583f335a397bb8ba2eae6d1d03a3a9802f7b4a518191fc874a62a450d", 0),
    ("scenes/search/0/1", "70c3f720d9ff101d175a6dca0d7d035b36f3aa9a371cd1ad314b9c5b1ca31a32", 1),
    ("scenes/search/0/2", "eb6feb0d3e3ef2a17db45be49adb3777f97f1b948009241264ec1950646a7a5d", 2),
    ("scenes/search/0/3", "9f6db777ea724869852d1e7a96ac08dde7f03986cd5f254cfba1ebc29b1c0176", 3),
    (
        "scenes/validation/0/0",
        "f4735883bb2ea56ce391481876358fe614132ecc3774c05a45b779755ccecb1b",
        0,
    ),
    (
        "scenes/validation/0/1",
        "8356b0006f53be708eacc3eaa1c61d9a01c001ed048c06c60bb82eca54a2983d",
        1,
    ),
    (
        "scenes/validation/0/2",
        "21860ad050482d148967f6dafa654ad555998eef33af59a70e831e00cc7791cd",
        2,
    ),
)
"""Id, hash of the content and target of each image of the stored study."""


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_study_keeps_its_hash(name):
    found, _ = identity(
        load_study(bundled_studies()[name]),
        fingerprint="0" * 64,
        image_ids=["a", "b"],
        image_hashes=["1", "2"],
        targets=[0, 1],
    )
    assert found[:32] == BUNDLED[name]


def test_the_quickstart_of_version_1_keeps_its_hash():
    found, _ = identity(
        load_study(Path(__file__).parent.parent / "stored" / "quickstart-0.1.yaml"),
        fingerprint="0" * 64,
        image_ids=["a", "b"],
        image_hashes=["1", "2"],
        targets=[0, 1],
    )
    assert found[:32] == "ac7b414e3630529245a97590ff52fee0"


def test_every_bundled_study_is_pinned():
    assert set(BUNDLED) == set(bundled_studies())


def stored(text):
    ids, hashes, targets = zip(*IMAGES, strict=True)
    return identity(
        parse_study(text, Path("half-run.yaml")),
        fingerprint=FINGERPRINT,
        image_ids=ids,
        image_hashes=hashes,
        targets=targets,
    )


def test_a_stored_study_with_searched_rules_and_options_keeps_its_hash():
    assert stored(HALF_RUN)[0] == "5fc82368250c9ddaa4f9c5479595c1dc0acc864f57d203e3c6f2bb56462a00d7"


PRESETS = {
    "{preset: decreasing_gamma_exponential, gamma: $g, decay: 1}": "b35ad330954799ebb2a8545c9b5a9",
    "{preset: decreasing_gamma_factor, gamma: $g}": "3257a5af545f6ca463992d282e841433",
    "{preset: cmp_alpha1_flat_n, n: $n}": "dac3277b4a540ea6a734c3be1f7fb6f4",
    "[{block: default, rule: $r, gamma: $g, epsilon: 0.1, alpha: 2, decay: 1, stabilize: none, "
    "form: rms, pooling: $p}]": "d62bc07f4c3008dc6220ac04a8ffb7da",
}
"""Composites to the first half of their study's hash: orders that no bundled study has."""


@pytest.mark.parametrize("composite", PRESETS)
def test_the_order_of_settings_in_a_hash_stays(composite):
    start, end = HALF_RUN.index("\nsearch:") + 1, HALF_RUN.index("evaluation:")
    names = {
        "g": "{log: [0.01, 10.0], zero: true}",
        "n": "{int: [0, 4]}",
        "r": "{choice: [gamma, epsilon, alpha_beta, pass]}",
        "p": "{choice: [winner, sum]}",
    }
    searched = "".join(f"  {n}: {d}\n" for n, d in names.items() if f"${n}" in composite)
    text = HALF_RUN[:start] + f"search:\n{searched}composite: {composite}\n" + HALF_RUN[end:]
    assert stored(text)[0][:29] == PRESETS[composite][:29]
