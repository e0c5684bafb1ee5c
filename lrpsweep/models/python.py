"""Networks handed over in Python."""

from __future__ import annotations

from torch import nn

from lrpsweep.errors import InputError
from lrpsweep.models.model import Model, wrap_model
from lrpsweep.models.request import Request


def load_python(request: Request) -> Model:
    """A copy of the network that was handed over, under the name that the study gives it."""
    spec, net = request.spec, request.net
    if net is None:
        raise InputError(
            f"model.python: this study's network '{spec.python}' is handed over in Python: "
            "lrpsweep.run(study, model=network)."
        )
    if not isinstance(net, nn.Module):
        raise InputError(
            f"model.python: found {type(net).__name__}; expected a network, a torch.nn.Module."
        )
    preprocess = request.required_preprocess("a network handed over")
    return wrap_model(
        net,
        preprocess,
        name=str(spec.python),
        classes=spec.classes or (),
        device=request.device,
    )
