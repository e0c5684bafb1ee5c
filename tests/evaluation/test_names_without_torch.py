"""The tables of names can be read before torch or optuna are."""

import subprocess
import sys


def test_looking_a_name_up_imports_neither_torch_nor_optuna() -> None:
    code = (
        "import sys\n"
        "from lrpsweep.registry import find_registry\n"
        "kinds = ('measure', 'order', 'perturbation', 'protocol', 'score', 'sampler')\n"
        "assert all(len(find_registry(kind)) > 1 for kind in kinds)\n"
        "print(sorted({'torch', 'optuna', 'ray', 'mlflow'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
