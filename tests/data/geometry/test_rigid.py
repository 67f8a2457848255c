import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from olivine.data.geometry.rigid import inverse, se3, transform

_numbers = st.floats(-1.0, 1.0, width=32)
_metres = st.floats(-5e3, 5e3, width=32)
quaternions = arrays(np.float64, 4, elements=_numbers).filter(
    lambda wxyz: np.linalg.norm(wxyz) > 1e-3
)
translations = arrays(np.float64, 3, elements=_metres)
points = arrays(np.float64, st.tuples(st.integers(0, 5), st.just(3)), elements=_metres)


@given(quaternions, translations)
def test_a_pose_is_rigid(wxyz, metres):
    matrix = se3(wxyz, metres)
    rotation = matrix[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) > 0.999999
    np.testing.assert_array_equal(matrix[:3, 3], metres)
    np.testing.assert_array_equal(matrix[3], [0, 0, 0, 1])


@given(quaternions, translations)
def test_a_quaternion_and_its_negative_are_one_rotation(wxyz, metres):
    np.testing.assert_array_equal(se3(wxyz, metres), se3(-wxyz, metres))


@given(quaternions, translations, st.floats(0.1, 10.0))
def test_a_quaternions_length_does_not_matter(wxyz, metres, length):
    np.testing.assert_allclose(se3(wxyz * length, metres), se3(wxyz, metres), atol=1e-12)


@given(quaternions, translations)
def test_an_inverse_undoes_its_pose(wxyz, metres):
    matrix = se3(wxyz, metres)
    np.testing.assert_allclose(inverse(matrix) @ matrix, np.eye(4), atol=1e-11)
    np.testing.assert_allclose(inverse(inverse(matrix)), matrix, atol=1e-11)


@given(quaternions, translations, points)
def test_distances_survive_a_transform_and_the_inverse_brings_points_back(wxyz, metres, xyz_m):
    matrix = se3(wxyz, metres)
    moved = transform(matrix, xyz_m)
    np.testing.assert_allclose(
        np.linalg.norm(np.diff(moved, axis=0), axis=1),
        np.linalg.norm(np.diff(xyz_m, axis=0), axis=1),
        atol=1e-8,
    )
    np.testing.assert_allclose(transform(inverse(matrix), moved), xyz_m, atol=1e-8)


@given(quaternions, translations, quaternions, translations, points)
def test_transforms_compose_as_matrices(first, there, second, then, xyz_m):
    b_SE3_a, c_SE3_b = se3(first, there), se3(second, then)
    np.testing.assert_allclose(
        transform(c_SE3_b @ b_SE3_a, xyz_m),
        transform(c_SE3_b, transform(b_SE3_a, xyz_m)),
        atol=1e-8,
    )


@settings(max_examples=20)
@given(arrays(np.float64, (3, 4), elements=st.floats(0.1, 1.0)))
def test_a_batch_is_its_members(wxyz):
    metres = np.arange(9.0).reshape(3, 3)
    batch = se3(wxyz, metres)
    for row in range(3):
        np.testing.assert_array_equal(batch[row], se3(wxyz[row], metres[row]))
        np.testing.assert_allclose(inverse(batch)[row], inverse(batch[row]), atol=1e-15)


def test_a_quarter_turn_about_z_takes_x_to_y():
    matrix = se3(np.array([np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5)]), np.array([0.0, 0.0, 1.0]))
    np.testing.assert_allclose(
        transform(matrix, np.array([[1.0, 0.0, 0.0]])), [[0.0, 1.0, 1.0]], atol=1e-12
    )
