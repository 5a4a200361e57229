"""Data sets as NumPy arrays, and batches as a pure function of (seed, step).

    config = load_config("mnist", {"dataset.root": "/data/mnist"})
    examples = source(config)                       # what dataset.name stands for
    for batch in batches(config, examples, start=0):
        ...

The loader has no state: a batch is the same in both frameworks, after a resume, and however many
processes share it.
"""

from impls.common.errors import DataError
from impls.data.bundled import HELD_OUT, digits, digits_split
from impls.data.examples import Arrays, Example, Examples, Rows
from impls.data.loader import batches, source, steps_per_epoch
from impls.data.mnist import mnist_split
