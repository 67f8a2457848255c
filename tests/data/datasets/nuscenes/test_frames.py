import multiprocessing
import pickle

import numpy as np
import pytest
from PIL import Image

from olivine.core.errors import UserError
from olivine.data.dataset import Frames
from olivine.data.datasets.nuscenes import Nuscenes
from olivine.data.datasets.nuscenes.classes import CLASS_NAMES, class_lookup, official_indices
from olivine.data.datasets.nuscenes.tables import CAMERAS, LIDAR
from olivine.data.records import IGNORE

MINI = Nuscenes(version="v1.0-mini", split="all")


def opened(data, cache, **settings):
    return MINI.model_copy(update=settings).open(data.write(), cache)


def test_a_split_holds_its_scenes_keyframes_in_order(tiny, cache):
    data = tiny(["scene-0916", "scene-0061", "scene-0103"], num_samples=3)
    frames = opened(data, cache, split="mini_val")
    assert len(frames) == 6
    assert frames.tokens() == [f"sample-{scene}-{k}" for scene in (0, 2) for k in range(3)]
    assert frames.scenes() == ["scene-0916"] * 3 + ["scene-0103"] * 3
    for place, token in enumerate(frames.tokens()):
        frame = frames.frame(place)
        assert (frame.token, frame.scene) == (token, frames.scenes()[place])


def test_samples_follow_their_chain_and_not_the_tables_order(tiny, cache):
    data = tiny(["scene-0061"], num_samples=4)
    data.tables["sample"].reverse()
    data.tables["sample_data"].reverse()
    frames = opened(data, cache)
    assert frames.tokens() == [f"sample-0-{k}" for k in range(4)]
    times = [frames.frame(k).time_ns for k in range(4)]
    assert times == [0, 500_000_000, 1_000_000_000, 1_500_000_000]


def test_a_frame_holds_what_its_files_hold(tiny, cache):
    data = tiny()
    frames = opened(data, cache)
    frame = frames.frame(1)
    scan_row = data.rows("sample_data", LIDAR)[1]
    scan = np.fromfile(data.root / scan_row["filename"], np.float32).reshape(-1, 5)
    np.testing.assert_array_equal(frame.xyz_m, scan[:, :3])
    np.testing.assert_array_equal(frame.intensity, scan[:, 3])
    raw = np.fromfile(data.root / data.tables["lidarseg"][1]["filename"], np.uint8)
    np.testing.assert_array_equal(frame.class_ids, class_lookup(official_indices())[raw])
    assert set(frame.class_ids) <= {*range(16), IGNORE}
    assert frames.class_names == CLASS_NAMES
    assert frames.camera_names == CAMERAS
    for name, image in zip(frame.image_names, frame.images, strict=True):
        np.testing.assert_array_equal(image.pixels(), np.asarray(Image.open(data.root / name)))
        np.testing.assert_array_equal(image.pixels(), frames.read_image(name))
    assert frame.image_size_px.tolist() == [[9, 16]] * 6
    assert frame.intrinsics_px.shape == (6, 3, 3)
    assert isinstance(frames, Frames)


def test_what_is_not_asked_for_is_not_read(tiny, cache):
    data = tiny()
    frames = opened(data, cache)
    for name in (*frames.image_names(), *(row["filename"] for row in data.tables["lidarseg"])):
        (data.root / name).unlink()
    frame = frames.frame(0, images=False, classes=False)
    assert frame.images == ()
    assert frame.class_ids is None
    assert len(frame.image_names) == len(frame.cam_SE3_lidar) == 6


def test_chosen_cameras_come_in_their_order(tiny, cache):
    data = tiny()
    every = opened(data, cache).frame(2)
    dataset = MINI.model_copy(update={"cameras": ("CAM_BACK", "CAM_FRONT")})
    frames = dataset.open(data.root, cache)
    some, chosen = frames.frame(2), [CAMERAS.index("CAM_BACK"), 0]
    assert some.image_names == tuple(every.image_names[place] for place in chosen)
    np.testing.assert_array_equal(some.cam_SE3_lidar, every.cam_SE3_lidar[chosen])
    np.testing.assert_array_equal(some.images[0].pixels(), every.images[chosen[0]].pixels())
    names = [name for k in range(4) for name in frames.frame(k, images=False).image_names]
    assert frames.image_names() == names


def test_a_label_fraction_keeps_every_kth_scene(tiny, cache):
    data = tiny(["scene-0061", "scene-0103", "scene-0553", "scene-0655", "scene-0757"])
    frames = opened(data, cache, scene_step=2)
    assert sorted(set(frames.scenes())) == ["scene-0103", "scene-0655"]
    frames = opened(data, cache, split="mini_train", scene_step=2)
    assert sorted(set(frames.scenes())) == ["scene-0553", "scene-0757"]


def test_a_version_without_labels_has_none(tiny, cache):
    assert opened(tiny(labels=False), cache).frame(0).class_ids is None


def test_an_empty_label_table_is_a_version_without_labels(tiny, cache):
    data = tiny()
    data.tables["lidarseg"] = []
    assert opened(data, cache).frame(0).class_ids is None


def test_the_fingerprint_is_of_the_content(tiny, cache):
    data = tiny()
    first = opened(data, cache).fingerprint
    assert opened(data, cache, split="mini_val", scene_step=1).fingerprint == first
    data.tables["scene"][0]["name"] = "scene-0001"
    assert opened(data, cache).fingerprint != first


def test_an_empty_split_says_which_are_not(tiny, cache):
    data = tiny()
    with pytest.raises(UserError, match="none of the 2 scenes") as caught:
        opened(data, cache, split="test")
    assert "mini_train (1)" in str(caught.value)
    assert "mini_val (1)" in str(caught.value)
    assert "all (2)" in str(caught.value)
    assert "verifying" not in str(caught.value)


def test_a_step_that_keeps_nothing_says_so(tiny, cache):
    with pytest.raises(UserError, match=r"has 2 scenes .* scene_step=100 leaves none"):
        opened(tiny(), cache, scene_step=100)


@pytest.mark.parametrize("num_bytes", [0, 19, 64 * 20 - 4])
def test_a_truncated_scan_is_named(tiny, cache, num_bytes):
    data = tiny()
    frames = opened(data, cache)
    path = data.root / data.rows("sample_data", LIDAR)[0]["filename"]
    path.write_bytes(path.read_bytes()[:num_bytes])
    with pytest.raises(UserError, match=rf"truncated: {num_bytes} bytes") as caught:
        frames.frame(0)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
def test_an_unreadable_image_is_named(tiny, cache, kept):
    data = tiny()
    frames = opened(data, cache)
    name = frames.frame(0).image_names[0]
    content = (data.root / name).read_bytes()
    (data.root / name).write_bytes(content[: int(kept * len(content))])
    for read in (frames.frame(0).images[0].pixels, lambda: frames.read_image(name)):
        with pytest.raises(UserError, match="cannot be decoded") as caught:
            read()
        assert name in str(caught.value)
    assert len(frames.frame(0, images=False).xyz_m) == 64


def test_an_image_of_another_size_is_named(tiny, cache):
    data = tiny()
    frames = opened(data, cache)
    name = frames.frame(0).image_names[3]
    Image.new("RGB", (8, 4)).save(data.root / name, "JPEG")
    with pytest.raises(UserError, match=r"8 x 4 pixels .* 16 x 9"):
        frames.frame(0).images[3].decode(shrink=2)
    with pytest.raises(UserError, match=r"8 x 4 pixels .* 16 x 9"):
        frames.read_image(name)


@pytest.mark.parametrize(
    ("labels", "words"),
    [(b"\0" * 63, "63 labels for a scan of 64 points"), (b"\x07" * 63 + b"\xc8", "class 200")],
)
def test_wrong_labels_are_named(tiny, cache, labels, words):
    data = tiny()
    frames = opened(data, cache)
    name = data.tables["lidarseg"][0]["filename"]
    (data.root / name).write_bytes(labels)
    with pytest.raises(UserError, match=words) as caught:
        frames.frame(0)
    assert name in str(caught.value)
    assert frames.frame(0, classes=False).class_ids is None


def test_a_scan_without_a_label_row_is_named(tiny, cache):
    data = tiny()
    del data.tables["lidarseg"][1]
    frames = opened(data, cache)
    assert frames.frame(0).class_ids is not None
    with pytest.raises(UserError, match="no row for the scan of sample 'sample-0-1'"):
        frames.frame(1)


def test_missing_files_are_named(tiny, cache):
    data = tiny()
    frames = opened(data, cache)
    names = (
        data.rows("sample_data", LIDAR)[0]["filename"],
        data.tables["lidarseg"][1]["filename"],
        frames.frame(2).image_names[5],
    )
    for frame, name in enumerate(names):
        (data.root / name).unlink()
        with pytest.raises(UserError, match="No such file") as caught:
            frames.frame(frame)
        assert name in str(caught.value)


@pytest.mark.parametrize("channel", [LIDAR, "CAM_BACK"])
def test_a_keyframe_that_lacks_a_channel_stops_the_opening_of_its_split(tiny, cache, channel):
    data = tiny()
    lost = data.rows("sample_data", channel)[1]
    data.tables["sample_data"].remove(lost)
    with pytest.raises(UserError, match=f"no {channel} keyframe for sample 'sample-0-1'"):
        opened(data, cache)
    assert len(opened(data, cache, split="mini_val")) == 2
    if channel != LIDAR:
        assert len(opened(data, cache, cameras=("CAM_FRONT",))) == 4


def test_a_name_that_is_no_image_is_refused(tiny, cache):
    with pytest.raises(UserError, match=r"'samples/other\.jpg' is not an image"):
        opened(tiny(), cache).read_image("samples/other.jpg")


def test_a_pickled_copy_is_small_and_reads_the_same(tiny, cache):
    frames = opened(tiny(num_samples=50), cache)
    frames.frame(3)
    text = pickle.dumps(frames)
    assert len(text) < 2000
    copy = pickle.loads(text)
    assert copy.tokens() == frames.tokens()
    np.testing.assert_array_equal(copy.frame(99).xyz_m, frames.frame(99).xyz_m)


def test_a_copy_builds_a_lost_index_again_but_not_of_other_tables(tiny, cache, tmp_path):
    data = tiny()
    text = pickle.dumps(opened(data, cache))
    cache.rename(tmp_path / "moved")
    assert len(pickle.loads(text).tokens()) == 4
    data.tables["scene"][0]["name"] = "scene-0001"
    data.write_tables()
    with pytest.raises(UserError, match="changed after the data set was opened"):
        pickle.loads(text).tokens()


def test_several_processes_read_the_same(tiny, cache):
    frames = opened(tiny(num_samples=8), cache)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        sums = pool.map(_sum, [(frames, place) for place in range(16)])
    assert sums == [_sum((frames, place)) for place in range(16)]


def _sum(work):
    frames, place = work
    frame = frames.frame(place)
    return float(frame.xyz_m.sum()), frame.images[5].pixels().sum(), int(frame.class_ids.sum())


def test_frames_belong_to_their_caller(tiny, cache):
    """What a caller writes into a frame must not reach the mapped index."""
    frames = opened(tiny(), cache)
    first = frames.frame(0)
    for array in (first.xyz_m, first.intensity, first.cam_SE3_lidar):
        array[:] = 0
    assert frames.frame(0).cam_SE3_lidar.any()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"split": "trian"}, "Did you mean 'train'"),
        ({"cameras": ["CAM_FORNT"]}, "Did you mean 'CAM_FRONT'"),
        ({"cameras": []}, "at least one camera"),
        ({"cameras": ["CAM_BACK", "CAM_BACK"]}, "none of them twice"),
        ({"version": "v1.0"}, "v1.0-trainval"),
        ({"scene_step": 0}, "scene_step"),
    ],
)
def test_settings_that_do_not_exist_are_refused_with_those_that_do(settings, words):
    with pytest.raises(UserError, match=words):
        Nuscenes.from_dict(settings)


def test_settings_survive_their_text():
    dataset = Nuscenes(split="verifying", scene_step=4, cameras=("CAM_BACK",))
    assert Nuscenes.from_dict(dataset.to_dict()) == dataset
    assert dataset.to_dict()["kind"] == "nuscenes"
