"""What zennit, an independent implementation, says of a network."""

import torch
from zennit.attribution import Gradient


def explained_by_zennit(net, x, targets, composite):
    with Gradient(model=net, composite=composite) as attributor:
        scores = net(x).detach()
        start = torch.zeros_like(scores).scatter_(
            1, targets[:, None], scores.gather(1, targets[:, None])
        )
        return attributor(x.clone().requires_grad_(), start)[1].detach()
