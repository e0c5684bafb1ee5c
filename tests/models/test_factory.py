from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lrpsweep.errors import InputError
from lrpsweep.models import Model, load_model
from lrpsweep.study import ModelSpec, Preprocess

GIVEN = Preprocess(resize=None, crop=8, mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.5))
GOOD = """\
from torch import nn

def build():
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))
"""
Write = Callable[[str, str], None]


@pytest.fixture(autouse=True)
def _imports_are_undone() -> Iterator[None]:
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.partition(".")[0].startswith("user_"):
            del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, text: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    return write


def load(base: Path, factory: str, **fields: object) -> Model:
    spec = ModelSpec(factory=factory, **{"preprocess": GIVEN, **fields})  # type: ignore[arg-type]
    return load_model(spec, "cpu", base, allow_code=True)


def refusal(base: Path, factory: str, **fields: object) -> str:
    with pytest.raises(InputError) as caught:
        load(base, factory, **fields)
    return str(caught.value)


def test_a_function_beside_the_study_builds_the_network(tmp_path: Path, write: Write) -> None:
    write("user_nets.py", GOOD)
    model = load(tmp_path, "user_nets:build", classes=("a", "b", "c"))
    assert model.name == "user_nets:build"
    assert model.classes == ("a", "b", "c")
    assert model.preprocess == GIVEN
    assert model.net(torch.zeros(1, 3, 8, 8)).shape == (1, 3)
    assert not model.net.training


def test_nothing_is_imported_without_permission(tmp_path: Path, write: Write) -> None:
    write(
        "user_nets.py", f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\n{GOOD}"
    )
    spec = ModelSpec(factory="user_nets:build", preprocess=GIVEN)
    message = r"model\.factory: the study runs code: user_nets:build, .*; expected --allow-code"
    with pytest.raises(InputError, match=message):
        load_model(spec, "cpu", tmp_path)
    assert not (tmp_path / "ran").exists()
    assert "user_nets" not in sys.modules
    assert str(tmp_path) not in sys.path
    load(tmp_path, "user_nets:build")
    assert (tmp_path / "ran").exists()


def test_the_studys_folder_comes_first_and_once_and_stays(tmp_path: Path, write: Write) -> None:
    write("user_nets.py", GOOD)
    sys.path.append(str(tmp_path))
    load(tmp_path, "user_nets:build")
    load(tmp_path, "user_nets:build")
    assert sys.path[0] == str(tmp_path)
    assert sys.path.count(str(tmp_path)) == 1


def test_a_module_of_a_package_may_import_its_neighbours(tmp_path: Path, write: Write) -> None:
    write("user_pack/__init__.py", "")
    write("user_pack/parts.py", GOOD)
    write(
        "user_pack/nets.py", "from .parts import build as parts\n\ndef build():\n    return parts()"
    )
    assert load(tmp_path, "user_pack.nets:build").net[3].out_features == 3


def test_a_class_without_arguments_is_a_factory(tmp_path: Path, write: Write) -> None:
    write(
        "user_nets.py",
        "from torch import nn\n\nclass Net(nn.Conv2d):\n"
        "    def __init__(self):\n        super().__init__(3, 2, 1)",
    )
    assert type(load(tmp_path, "user_nets:Net").net).__name__ == "Net"


def test_random_weights_are_the_same_in_every_process(tmp_path: Path, write: Write) -> None:
    early = "from torch import nn\nnet = nn.Conv2d(3, 2, 1)\n\ndef early():\n    return net\n\n"
    write("user_nets.py", early + GOOD)
    for factory in ("user_nets:early", "user_nets:build"):
        first = load(tmp_path, factory).fingerprint
        assert load(tmp_path, factory).fingerprint == first
        del sys.modules["user_nets"]
        assert load(tmp_path, factory).fingerprint == first


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_weights_come_from_a_file(tmp_path: Path, write: Write, suffix: str) -> None:
    write("user_nets.py", GOOD)
    state = {k: v + 1 for k, v in load(tmp_path, "user_nets:build").net.state_dict().items()}
    path = tmp_path / f"net{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    found = load(tmp_path, "user_nets:build", weights=path.name).net.state_dict()
    assert all(torch.equal(state[key], found[key]) for key in found)


def test_a_weights_file_that_does_not_fit_is_told(tmp_path: Path, write: Write) -> None:
    write("user_nets.py", GOOD)
    save_file(nn.Linear(2, 2).state_dict(), tmp_path / "net.safetensors")
    said = refusal(tmp_path, "user_nets:build", weights="net.safetensors")
    assert "model.weights: 'net.safetensors' does not fit the model: '0.weight' is missing" in said
    said = refusal(tmp_path, "user_nets:build", weights="IMAGENET1K_V1")
    assert "model.weights: found 'IMAGENET1K_V1'; expected null, or the path of a" in said
    assert "there is no file" in refusal(tmp_path, "user_nets:build", weights="none.pt")


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        ("user_net:build", "no module 'user_net' in '{}' or among the installed packages"),
        ("user_net:build", "expected a module that is there: user_nets, user_pack. Did you"),
        ("user_net:build", "Did you mean 'user_nets'?"),
        ("user_net.deep:build", "no module 'user_net' in"),
        ("user_pack.net:build", "no module 'user_pack.net' in the package 'user_pack'"),
        ("user_pack.net:build", "there: nets. Did you mean 'nets'?"),
        ("user_nets.deep:build", "'user_nets.deep' in 'user_nets', which is not a package"),
    ],
)
def test_a_missing_module_is_told_with_what_is_there(
    tmp_path: Path, write: Write, factory: str, said: str
) -> None:
    write("user_nets.py", GOOD)
    write("user_pack/__init__.py", "")
    write("user_pack/nets.py", GOOD)
    message = refusal(tmp_path, factory)
    assert message.startswith("model.factory: there is no module '")
    assert said.format(tmp_path) in message


def test_a_module_that_the_users_code_lacks_is_an_error_of_that_code(
    tmp_path: Path, write: Write
) -> None:
    write("user_nets.py", "import torch\nimport user_nowhere\n")
    said = refusal(tmp_path, "user_nets:build")
    assert "importing 'user_nets' raised ModuleNotFoundError: No module named 'user_now" in said
    assert f"({tmp_path / 'user_nets.py'}, line 2, in <module>)" in said


def test_a_missing_function_is_told_with_what_is_there(tmp_path: Path, write: Write) -> None:
    write("user_nets.py", GOOD + "\ndef _private(): ...\n\nsize = 3\n")
    said = refusal(tmp_path, "user_nets:biuld")
    assert f"no function 'biuld' in user_nets ({tmp_path / 'user_nets.py'})" in said
    assert said.endswith("there: build. Did you mean 'build'?")
    assert "is int; expected a function that returns a network" in refusal(
        tmp_path, "user_nets:size"
    )


def test_a_function_that_wants_arguments_is_refused(tmp_path: Path, write: Write) -> None:
    write("user_nets.py", "def build(classes, deep=True): ...")
    said = refusal(tmp_path, "user_nets:build")
    assert "user_nets:build(classes, deep=True) cannot be called without arguments" in said
    assert "missing a required argument: 'classes'" in said


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise ValueError('no\\n  such  depth')", "raised ValueError: no such depth ({}, line 6"),
        ("raise KeyError", "raised KeyError ({}, line 6, in inner)"),
        ("import sys; sys.exit(3)", "raised SystemExit: 3 ({}, line 6, in inner)"),
        ("nn.Linear(-1, 2)", "({}, line 6, in inner)"),
        ("import json; json.loads('{')", "raised JSONDecodeError: Expecting property name"),
        ("import json; json.loads('{')", "({}, line 6, in inner)"),
    ],
)
def test_what_a_factory_raises_is_told_with_its_place(
    tmp_path: Path, write: Write, body: str, said: str
) -> None:
    text = f"from torch import nn\n\ndef build():\n    return inner()\n\ndef inner(): {body}\n"
    write("user_nets.py", text)
    message = refusal(tmp_path, "user_nets:build")
    assert message.startswith("model.factory: user_nets:build raised ")
    assert said.format(tmp_path / "user_nets.py") in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import torch\nraise OSError('gone')", "raised OSError: gone ({}, line 2, in <module>)"),
        ("import sys\nsys.exit('usage')", "raised SystemExit: usage ({}, line 2, in <module>)"),
        ("def build(:\n", "raised SyntaxError: invalid syntax ({}, line 1)"),
    ],
)
def test_what_importing_raises_is_told_with_its_place(
    tmp_path: Path, write: Write, text: str, said: str
) -> None:
    write("user_nets.py", text)
    message = refusal(tmp_path, "user_nets:build")
    assert message.startswith("model.factory: importing 'user_nets' raised ")
    assert said.format(tmp_path / "user_nets.py") in message


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("None", "returned NoneType; expected a network, a torch.nn.Module"),
        ("nn.Conv2d(3, 1, 1), 3", "returned tuple;"),
        ("nn.Conv2d(3, 1, 1).state_dict()", "returned OrderedDict;"),
        ("nn.Conv2d", "returned the class Conv2d;"),
        ("nn.ReLU()", "user_nets:build has no parameters; expected a network with weights"),
        ("nn.Linear(2, 2).half()", "'weight' of user_nets:build is torch.float16; expected torch"),
        ("nn.LazyLinear(2)", "'weight' of user_nets:build has no shape yet"),
    ],
)
@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature:UserWarning")
def test_what_is_no_network_to_explain_is_refused(
    tmp_path: Path, write: Write, value: str, said: str
) -> None:
    write("user_nets.py", f"from torch import nn\n\ndef build():\n    return {value}\n")
    assert said in refusal(tmp_path, "user_nets:build")


def test_preprocessing_has_to_be_told(tmp_path: Path, write: Write) -> None:
    write("user_nets.py", GOOD)
    said = refusal(tmp_path, "user_nets:build", preprocess="auto")
    assert "model.preprocess: 'auto', but the factory user_nets:build does not say" in said
    open_size = GIVEN.model_copy(update={"crop": None})
    assert "model.preprocess.crop: missing" in refusal(
        tmp_path, "user_nets:build", preprocess=open_size
    )
    assert "user_nets" not in sys.modules


def test_a_module_of_the_same_name_from_elsewhere_is_not_taken(tmp_path: Path) -> None:
    """Two studies in one process: the second once got the first one's network."""
    for study in ("one", "two"):
        (tmp_path / study).mkdir()
        (tmp_path / study / "user_nets.py").write_text(GOOD)
    load(tmp_path / "one", "user_nets:build")
    said = refusal(tmp_path / "two", "user_nets:build")
    assert f"'{tmp_path / 'two' / 'user_nets.py'}' but {tmp_path / 'one' / 'user_nets.py'}" in said
    load(tmp_path / "one", "user_nets:build")


def test_a_module_named_as_one_of_pythons_own_is_refused(tmp_path: Path, write: Write) -> None:
    write("sys.py", GOOD)
    assert "'sys' is not '" in refusal(tmp_path, "sys:build")
    assert "but a part of Python" in refusal(tmp_path, "sys:build")
