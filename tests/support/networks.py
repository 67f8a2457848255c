"""What tests of networks share: their size, and one whose batch norms have seen something."""

import torch
from torch import nn


def num_parameters(network):
    """Return the number of parameters that a network learns."""
    return sum(parameter.numel() for parameter in network.parameters())


def seen_network(settings, training=False):
    """Return a backbone with weights, statistics and scales drawn from one seed.

    Its evaluation is no plain pass: its batch norms have seen something.
    """
    torch.manual_seed(0)
    net = settings.build(1).train(training)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
    return net
