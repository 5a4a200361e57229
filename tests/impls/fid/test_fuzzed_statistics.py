"""Statistics with any damage are refused in one line, or an FID can be computed from them."""

import numpy as np
from damage import DAMAGE, array_edits, damaged, npz, refused_or_read
from hypothesis import given, settings
from hypothesis import strategies as st

from impls.common import draws
from impls.common.draws import Stream
from impls.fid.distance import frechet_distance
from impls.fid.statistics import Statistics, load_statistics, save_statistics
from impls.files.inception import CLEAN
from reference import frechet

SIZE = 6
MEAN, COVARIANCE = frechet.moments(draws.normal((40, SIZE), 4, Stream.CHECK).astype(np.float64))
INTACT = Statistics(MEAN, COVARIANCE, 40, CLEAN, "abc")
ARRAYS = {
    "mu": MEAN, "sigma": COVARIANCE, "num_images": np.array(40), "mode": np.array(CLEAN),
    "inception": np.array("abc"),
}  # fmt: skip


def read(path):
    """What is read, or nothing where it is refused."""
    found = []
    refused_or_read(lambda: found.append(load_statistics(path)), str(path))
    refused_or_read(lambda: found.append(load_statistics(path, SIZE)), str(path))
    return found


@settings(max_examples=50)
@given(DAMAGE)
def test_a_damaged_file_is_refused_or_says_what_it_said(tmp_path_factory, damage):
    path = tmp_path_factory.mktemp("statistics") / "x.npz"
    save_statistics(path, INTACT)
    path.write_bytes(damaged(path.read_bytes(), damage))
    for found in read(path):
        np.testing.assert_array_equal(found.mean, MEAN)
        np.testing.assert_array_equal(found.covariance, COVARIANCE)
        # What a damaged name hides is not told.
        assert all(one in (None, other) for one, other in zip(found[2:], INTACT[2:], strict=True))


@st.composite
def changed_arrays(draw):
    name = draw(st.sampled_from(sorted(ARRAYS)))
    return ARRAYS | {name: draw(array_edits(ARRAYS[name]))}


@given(changed_arrays())
def test_an_fid_can_be_made_of_what_is_read_of_any_arrays(tmp_path_factory, arrays):
    path = tmp_path_factory.mktemp("statistics") / "x.npz"
    path.write_bytes(npz(**arrays))
    for found in read(path):
        assert found.num_images is None or found.num_images > 1
        least, *_, largest = np.linalg.eigvalsh(found.covariance) if len(found.mean) > 1 else (0, 0)
        assert least >= -1e-5 * largest
        distance = frechet_distance(found.mean, found.covariance, found.mean, found.covariance)
        scale = np.trace(found.covariance)
        assert abs(distance) <= 1e-2 * scale  # as eigenvalues below 0 are taken for 0
