"""A disk that is full, for a while."""

import resource
from contextlib import contextmanager


@contextmanager
def no_file_longer_than(num_bytes):
    """Writing beyond it raises OSError, after what fits, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
