"""Studies that say only what departs from another one."""

import pytest
from study_text import STUDY

from lrpsweep.errors import InputError
from lrpsweep.study import load_study, write_study


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "small.yaml").write_text(STUDY, encoding="utf-8")
    return tmp_path


def extend(folder, text, name="other"):
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_whole_entries_are_taken_over(folder):
    path = extend(
        folder,
        "extends: small\nname: other\nobjective: auc_lerf\n"
        "search:\n  g: {linear: [0, 0.2], points: 3}\n",
    )
    base, other = load_study(folder / "small.yaml"), load_study(path)
    assert (other.name, other.objective) == ("other", "auc_lerf")
    assert other.search["g"].linear == (0.0, 0.2)
    assert (other.model, other.data, other.composite) == (base.model, base.data, base.composite)


def test_bundled_studies_can_be_extended_from_anywhere(folder):
    path = extend(folder, "extends: quickstart\nname: other\nobjective: auc_lerf\n")
    assert load_study(path).data.split.search == 32


def test_overrides_come_last(folder):
    path = extend(folder, "extends: small\nname: other\nobjective: auc_lerf\n")
    assert load_study(path, ["objective=srg"]).objective == "srg"


def test_the_text_that_is_kept_stands_alone(folder, tmp_path_factory):
    path = extend(folder, "extends: small\nname: other\nobjective: auc_lerf\n")
    kept = tmp_path_factory.mktemp("runs") / "study.yaml"
    study = load_study(path)
    write_study(study, kept)
    again = load_study(kept)
    assert again.model_dump(exclude={"path", "text"}) == study.model_dump(exclude={"path", "text"})


def test_a_chain_of_studies(folder):
    extend(folder, "extends: small\nname: middle\nobjective: auc_lerf\n", "middle")
    path = extend(
        folder,
        "extends: middle\nname: other\ndata:\n  embedded: scenes\n"
        "  split: {search: 3, validation: 0}\n",
    )
    study = load_study(path)
    assert (study.objective, study.data.split.search) == ("auc_lerf", 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends: smal\nname: other\n", "extends: found 'smal'; .* Did you mean 'small'"),
        ("extends: ../small\nname: other\n", "extends: found '../small'; expected the name of"),
        ("extends: [small]\nname: other\n", r"extends: found \['?small'?\]; expected the name"),
        ("extends: small\n", "name: missing; expected one, since 'small' is another"),
        ("extends: small\nname: other\nobjectiv: srg\n", "objectiv: unknown key"),
    ],
)
def test_what_cannot_be_extended_is_refused(folder, text, message):
    with pytest.raises(InputError, match=message):
        load_study(extend(folder, text))


def test_circles_are_refused(folder):
    extend(folder, "extends: b\nname: a\n", "a")
    with pytest.raises(InputError, match="expected no circle"):
        load_study(extend(folder, "extends: a\nname: b\n", "b"))
