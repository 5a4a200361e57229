"""Topology of Inception: layers, their inputs, and their names in both files of weights.

For checking and renaming weights. The layers are computed in each implementation (inception.py).
"""

import functools
from typing import NamedTuple

PARTS = ("weight", "beta", "mean", "var")  # of a layer: convolution, batch norm without scale
TORCHVISION_PARTS = ("conv.weight", "bn.bias", "bn.running_mean", "bn.running_var")

# Each line is a chain of layers: name, height x width of the kernel, torchvision's name. A name
# alone refers to a layer above. Outputs of the chains are concatenated, the pooled one last.
STEM = """
conv 3x3 Conv2d_1a_3x3 > conv_1 3x3 Conv2d_2a_3x3 > conv_2 3x3 Conv2d_2b_3x3
    > conv_3 1x1 Conv2d_3b_1x1 > conv_4 3x3 Conv2d_4a_3x3
"""
BLOCK_A = """
conv 1x1 branch1x1
tower.conv 1x1 branch5x5_1 > tower.conv_1 5x5 branch5x5_2
tower_1.conv 1x1 branch3x3dbl_1 > tower_1.conv_1 3x3 branch3x3dbl_2
    > tower_1.conv_2 3x3 branch3x3dbl_3
tower_2.conv 1x1 branch_pool
"""
BLOCK_B = """
conv 3x3 branch3x3
tower.conv 1x1 branch3x3dbl_1 > tower.conv_1 3x3 branch3x3dbl_2 > tower.conv_2 3x3 branch3x3dbl_3
pool
"""
BLOCK_C = """
conv 1x1 branch1x1
tower.conv 1x1 branch7x7_1 > tower.conv_1 1x7 branch7x7_2 > tower.conv_2 7x1 branch7x7_3
tower_1.conv 1x1 branch7x7dbl_1 > tower_1.conv_1 7x1 branch7x7dbl_2
    > tower_1.conv_2 1x7 branch7x7dbl_3 > tower_1.conv_3 7x1 branch7x7dbl_4
    > tower_1.conv_4 1x7 branch7x7dbl_5
tower_2.conv 1x1 branch_pool
"""
BLOCK_D = """
tower.conv 1x1 branch3x3_1 > tower.conv_1 3x3 branch3x3_2
tower_1.conv 1x1 branch7x7x3_1 > tower_1.conv_1 1x7 branch7x7x3_2
    > tower_1.conv_2 7x1 branch7x7x3_3 > tower_1.conv_3 3x3 branch7x7x3_4
pool
"""
BLOCK_E = """
conv 1x1 branch1x1
tower_conv 1x1 branch3x3_1 > tower_mixed_conv 1x3 branch3x3_2a
tower_conv > tower_mixed_conv_1 3x1 branch3x3_2b
tower_1_conv 1x1 branch3x3dbl_1 > tower_1_conv_1 3x3 branch3x3dbl_2
    > tower_1_mixed_conv 1x3 branch3x3dbl_3a
tower_1_conv_1 > tower_1_mixed_conv_1 3x1 branch3x3dbl_3b
tower_2_conv 1x1 branch_pool
"""
BLOCKS = (
    ("", "", STEM),
    ("mixed.", "Mixed_5b.", BLOCK_A),
    ("mixed_1.", "Mixed_5c.", BLOCK_A),
    ("mixed_2.", "Mixed_5d.", BLOCK_A),
    ("mixed_3.", "Mixed_6a.", BLOCK_B),
    ("mixed_4.", "Mixed_6b.", BLOCK_C),
    ("mixed_5.", "Mixed_6c.", BLOCK_C),
    ("mixed_6.", "Mixed_6d.", BLOCK_C),
    ("mixed_7.", "Mixed_6e.", BLOCK_C),
    ("mixed_8.", "Mixed_7a.", BLOCK_D),
    ("mixed_9.", "Mixed_7b.", BLOCK_E),
    ("mixed_10.", "Mixed_7c.", BLOCK_E),
)


class Layer(NamedTuple):
    """Convolution with its batch norm."""

    name: str  # in the TorchScript file, after "layers."
    torchvision: str
    kernel: tuple[int, int]  # height, width
    reads: tuple[str, ...]  # the layers whose channels it reads, side by side; () for the image


@functools.cache
def topology() -> tuple[tuple[Layer, ...], tuple[str, ...]]:
    """Layers in order, and the names of those whose channels are the features."""
    layers: dict[str, Layer] = {}
    inputs: tuple[str, ...] = ()
    for prefix, theirs, text in BLOCKS:
        outputs: tuple[str, ...] = ()
        for chain in text.replace("\n    >", " >").split("\n")[1:-1]:
            reads = inputs
            for name, *about in map(str.split, chain.split(" > ")):
                if name == "pool":
                    continue
                if about:
                    high, wide = map(int, about[0].split("x"))
                    known = Layer(prefix + name, theirs + about[1], (high, wide), reads)
                    layers[known.name] = known
                reads = (prefix + name,)
            outputs += reads
        inputs = outputs
    return tuple(layers.values()), inputs


def tensor_names() -> dict[str, str]:
    """Names of the tensors: in the TorchScript file -> in pytorch-fid's, which is torchvision's."""
    names = {
        f"layers.{layer.name}.{ours}": f"{layer.torchvision}.{theirs}"
        for layer in topology()[0]
        for ours, theirs in zip(PARTS, TORCHVISION_PARTS, strict=True)
    }
    return names | {"output.weight": "fc.weight", "output.bias": "fc.bias"}
