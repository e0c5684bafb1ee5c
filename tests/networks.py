"""Networks whose batch norms have something to say."""

from torch import nn


def with_statistics(net: nn.Module) -> nn.Module:
    """The network, with random statistics and weights in its batch norms."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d) and module.affine:
            nn.init.normal_(module.running_mean, 0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
    return net
