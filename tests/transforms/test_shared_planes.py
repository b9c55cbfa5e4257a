import pytest

from mixcl_auto.transforms.shared_planes import share_planes


@pytest.mark.parametrize(("planes", "threads"), [(7, 1), (7, 3), (2, 5)])
def test_every_plane_is_worked_on_once_in_stretches_of_about_the_same_length(planes, threads):
    stretches = []
    share_planes(stretches.append, planes, threads)
    assert sorted(plane for stretch in stretches for plane in stretch) == list(range(planes))
    assert max(map(len, stretches)) - min(map(len, stretches)) <= 1


def test_a_threads_error_is_raised():
    def work(planes):
        raise ValueError(f"plane {planes.start}")

    with pytest.raises(ValueError, match="plane 0"):
        share_planes(work, 4, 2)
