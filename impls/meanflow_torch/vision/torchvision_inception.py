"""Inception-v3 from the blocks of torchvision and clean-fid, for the weights of pytorch-fid.

A TorchScript file contains its code; a state_dict needs a network to be loaded into.
"""

import torch
from torch import nn

from impls.files.inception import InceptionError, InceptionWeights
from impls.files.inception_layers import tensor_names


def torchvision_inception(weights: InceptionWeights) -> nn.Module:
    """Inception-v3 of torchvision with the blocks of FID, full size.

    Called with [n, 3, 299, 299] in -1..1 it returns features [n, 2048].

    Raises:
        UserError: when the weights are of a narrower network.
        ModuleNotFoundError: when torchvision or clean-fid is not installed.
    """
    import torchvision
    from cleanfid import inception_pytorch as blocks

    network = torchvision.models.inception_v3(
        weights=None,
        num_classes=len(weights.tensors["output.bias"]),
        aux_logits=False,
        init_weights=False,
    )
    for name, block, *widths in (
        ("Mixed_5b", blocks.FIDInceptionA, 192, 32),
        ("Mixed_5c", blocks.FIDInceptionA, 256, 64),
        ("Mixed_5d", blocks.FIDInceptionA, 288, 64),
        ("Mixed_6b", blocks.FIDInceptionC, 768, 128),
        ("Mixed_6c", blocks.FIDInceptionC, 768, 160),
        ("Mixed_6d", blocks.FIDInceptionC, 768, 160),
        ("Mixed_6e", blocks.FIDInceptionC, 768, 192),
        ("Mixed_7b", blocks.FIDInceptionE_1, 1280),
        ("Mixed_7c", blocks.FIDInceptionE_2, 2048),
    ):
        setattr(network, name, block(*widths))
    names = tensor_names()
    state = {names[name]: torch.tensor(array) for name, array in weights.tensors.items()}
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            state[f"{name}.weight"] = torch.ones_like(module.weight)  # folded into kernels
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise InceptionError(
            f"{weights.path} holds an Inception of other widths than the real one, which PyTorch"
            " reads from a TorchScript file alone: use --framework jax, or the file of NVIDIA"
        ) from error
    network.fc = nn.Identity()
    return network
