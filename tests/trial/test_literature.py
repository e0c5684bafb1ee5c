"""The published composites in spaces where much is searched at once."""

from pathlib import Path
from typing import Any

from lrpsweep.study import load_study
from lrpsweep.trial.context import Context, prepare
from lrpsweep.trial.literature import composite_key, literature_points


def with_searched_rules(study: Path) -> Context:
    """Two blocks, each with a searched rule, γ and ε."""
    search, blocks = [], []
    for name, layers in (("early", "..features.9"), ("late", "features.10..end")):
        search += [
            f"r.{name}: {{choice: [z_plus, epsilon, gamma, zero]}}",
            f"g.{name}: {{log: [1.0e-9, 1.0], zero: true}}",
            f"e.{name}: {{log: [1.0e-9, 1.0], zero: true}}",
        ]
        hyper = f"rule: $r.{name}, gamma: $g.{name}, epsilon: $e.{name}"
        blocks.append(f"{{block: {name}, layers: {layers}, {hyper}}}")
    changes = [
        f"search={{{', '.join(search)}}}",
        f"composite=[{', '.join(blocks)}]",
        "sampler.name=random",
        "trials=3",
    ]
    return prepare(load_study(study, changes))


def test_published_composites_are_found_among_the_rules_of_all_blocks(small_study: Path) -> None:
    """Caught: minutes of trying all rules of all blocks at once."""
    points = literature_points(with_searched_rules(small_study))
    epsilon = {"r.early": "epsilon", "e.early": 0.0, "r.late": "epsilon", "e.late": 0.0}
    assert points["uniform_zero"] == epsilon
    assert points["uniform_z_plus"] == {"r.early": "z_plus", "r.late": "z_plus"}
    gamma = {"r.early": "gamma", "g.early": 0.25, "r.late": "gamma", "g.late": 0.25}
    assert points["uniform_gamma"] == gamma


def test_equal_composites_have_one_key(small_study: Path) -> None:
    context = with_searched_rules(small_study)

    def key(**early: Any) -> Any:
        values = {f"{name}.early": value for name, value in early.items()}
        return composite_key(context, {"r.late": "z_plus", **values})

    zero = key(r="zero")
    assert key(r="gamma", g=0.0) == key(r="epsilon", e=1e-9) == zero
    assert hash(key(r="gamma", g=0.0)) == hash(zero)
    assert len({zero, key(r="gamma", g=0.1), key(r="gamma", g=0.2), key(r="z_plus")}) == 4
