"""The drawn faces: the files that are written, and the truth of their annotations against the pixels."""

import dataclasses
import multiprocessing

import numpy as np
import pytest
from PIL import Image

from lit_gen.synthetic.faces.names import ATTRIBUTES, LANDMARKS
from lit_gen.synthetic.faces.render import Face, draw_scene
from lit_gen.synthetic.faces.scene import HAIR_SHADES, sample_scene, scene_attributes
from lit_gen.synthetic.faces.write import write_celeba

HAIR = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")


def face_of(*seed: int) -> Face:
    return draw_scene(sample_scene(np.random.default_rng(seed)))


def scenes(count, seed=11):
    return [sample_scene(np.random.default_rng([seed, index])) for index in range(count)]


def plain_scenes(count, **changes):
    """Front views without anything over the face, each with `changes`."""
    clear = {"glasses": "none", "hat": "none", "blurry": False, "bangs": False, "yaw": 0.0, "roll": 0.0, "pitch": 0.0}
    return [dataclasses.replace(scene, **{**clear, **changes}) for scene in scenes(count)]


def brightness(image, x, y, half_width, half_height):
    """Mean grey level of a rectangle around pixel (x, y)."""
    part = image[y - half_height : y + half_height + 1, x - half_width : x + half_width + 1]
    return float(part.mean())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("celeba")
    write_celeba(folder, 20, seed=3)
    return folder


def rows(path, header):
    lines = path.read_text().splitlines()
    if header:
        assert lines[0] == str(len(lines) - 2)
        assert lines[1].split() == list(header)
        lines = lines[2:]
    return {line.split()[0]: [int(word) for word in line.split()[1:]] for line in lines}


def test_files_agree_with_scenes(written):
    attributes = rows(written / "list_attr_celeba.txt", ATTRIBUTES)
    landmarks = rows(written / "list_landmarks_align_celeba.txt", LANDMARKS)
    names = [f"{number:06d}.jpg" for number in range(1, 21)]
    assert list(attributes) == list(landmarks) == names
    for index, name in enumerate(names):
        face = face_of(3, index)
        assert attributes[name] == [1 if face.attributes[key] else -1 for key in ATTRIBUTES]
        assert landmarks[name] == [face.landmarks[key] for key in LANDMARKS]
        with Image.open(written / "img_align_celeba" / name) as file:
            assert (file.format, file.size, file.mode) == ("JPEG", (178, 218), "RGB")
            stored = np.asarray(file, float)
        assert np.abs(stored - face.image).mean() < 6  # only JPEG lies between them
    assert len(list((written / "img_align_celeba").iterdir())) == 20


def test_partition_and_identity(written):
    parts = rows(written / "list_eval_partition.txt", None)
    assert [part for (part,) in parts.values()] == [0] * 16 + [1] * 2 + [2] * 2
    people = [person for (person,) in rows(written / "identity_CelebA.txt", None).values()]
    assert len(set(people)) == 20 and min(people) >= 1


def test_files_do_not_depend_on_the_processes(tmp_path, monkeypatch):
    # From 256 pictures on `map_indices` would use several processes; here it walks backwards in this one.
    def backwards(function, count, description):
        return [function(index) for index in reversed(range(count))][::-1]

    for name in ("forwards", "backwards"):
        (tmp_path / name).mkdir()
    write_celeba(tmp_path / "forwards", 6, seed=5)
    monkeypatch.setattr("lit_gen.synthetic.faces.write.map_indices", backwards)
    write_celeba(tmp_path / "backwards", 6, seed=5)
    first = {path.relative_to(tmp_path / "forwards"): path for path in (tmp_path / "forwards").rglob("*.*")}
    assert len(first) == 10
    for relative, path in first.items():
        assert path.read_bytes() == (tmp_path / "backwards" / relative).read_bytes()


def test_worker_process_draws_the_same_picture():
    with multiprocessing.get_context("fork").Pool(1) as pool:
        other = pool.apply(face_of, (0, 7))
    face = face_of(0, 7)
    assert np.array_equal(face.image, other.image) and face[1:] == other[1:]


def test_seeds_give_different_faces():
    images = [face_of(seed, 0).image for seed in range(3)]
    assert not np.array_equal(images[0], images[1]) and not np.array_equal(images[1], images[2])


def test_attributes_are_consistent():
    for scene in scenes(1500):
        found = scene_attributes(scene)
        assert tuple(found) == ATTRIBUTES
        assert sum(found[name] for name in HAIR) <= 1
        if found["Bald"]:
            assert not any(found[name] for name in (*HAIR, "Bangs", "Straight_Hair", "Wavy_Hair", "Receding_Hairline"))
        if not found["Male"]:
            assert found["No_Beard"] and not found["Wearing_Necktie"]
        if found["No_Beard"]:
            assert not (found["Goatee"] or found["Mustache"] or found["5_o_Clock_Shadow"])
        if found["Wearing_Lipstick"] or found["Heavy_Makeup"]:
            assert not found["Male"]
        if found["Gray_Hair"]:
            assert not found["Young"]
        assert not (found["Straight_Hair"] and found["Wavy_Hair"])
        assert not (found["Wearing_Hat"] and (found["Bangs"] or found["Bald"]))
        assert not (found["Big_Nose"] and found["Pointy_Nose"])
        assert not (found["Chubby"] and found["Oval_Face"])


def test_frequencies_are_near_celeba():
    table = np.array([list(scene_attributes(scene).values()) for scene in scenes(2000)])
    frequency = dict(zip(ATTRIBUTES, table.mean(axis=0), strict=True))
    expected = {"Male": 0.42, "Young": 0.77, "Smiling": 0.48, "Black_Hair": 0.3, "Blond_Hair": 0.2, "Brown_Hair": 0.3}
    for name, value in expected.items():
        assert abs(frequency[name] - value) < 0.07, name
    assert all(0.005 < value < 0.95 for value in frequency.values()), frequency


def test_landmarks_point_at_the_features():
    for scene in plain_scenes(12, hair_style="short", beard="none"):
        face = draw_scene(scene)
        assert face.image.shape == (218, 178, 3) and face.image.dtype == np.uint8
        spot = face.landmarks
        grey = face.image.astype(float).mean(axis=2)
        for eye in ("lefteye", "righteye"):
            x, y = spot[f"{eye}_x"], spot[f"{eye}_y"]
            # A pupil is darker than anything on the cheek below.
            assert grey[y - 6 : y + 7, x - 6 : x + 7].min() < grey[y + 16 : y + 26, x - 6 : x + 7].min() - 10
        assert abs(spot["lefteye_x"] - 69) < 6 and abs(spot["righteye_x"] - 108) < 6
        assert abs(spot["lefteye_y"] - 111) < 6 and abs(spot["leftmouth_y"] - 150) < 9
        assert spot["lefteye_x"] < spot["nose_x"] < spot["righteye_x"]
        assert spot["leftmouth_x"] < spot["nose_x"] < spot["rightmouth_x"]


def test_hair_colours_are_seen():
    levels = {}
    for colour, palette in HAIR_SHADES.items():
        changes = {"hair_colour": colour, "hair_style": "long", "hair_rgb": palette[0]}
        images = [draw_scene(scene).image for scene in plain_scenes(6, **changes)]
        levels[colour] = np.mean([image[46:54, 75:103].reshape(-1, 3).mean(axis=0) for image in images], axis=0)
    assert levels["black"].mean() + 20 < levels["brown"].mean() < levels["blond"].mean() - 40
    assert np.ptp(levels["gray"]) < 15 < levels["blond"][0] - levels["blond"][2]
    assert levels["gray"].mean() > levels["brown"].mean() + 40


CENTRE = {"centre": (88.5, 111.0), "scale": 1.0, "length": 1.0}


@pytest.mark.parametrize(
    ("off", "on", "box"),  # the box (left, top, right, bottom) gets darker when the attribute is on
    [
        ({"glasses": "none"}, {"glasses": "sun"}, (60, 104, 117, 120)),
        ({"beard": "none"}, {"beard": "full"}, (75, 168, 102, 180)),
        ({"beard": "none"}, {"beard": "shadow"}, (75, 170, 102, 180)),
        ({"hair_style": "bald"}, {"hair_style": "short"}, (75, 44, 102, 54)),
        ({"bangs": False}, {"bangs": True}, (72, 76, 105, 88)),
    ],
)
def test_attributes_are_seen(off, on, box):
    left, top, right, bottom = box
    common = {"male": True, "hair_style": "short", "hair_colour": "black", "hair_rgb": (30.0, 24.0, 24.0), **CENTRE}
    common |= {"tone": (226.0, 180.0, 148.0), "receding": False, "beard": "none", "hair_wave": "plain"}
    for scene in plain_scenes(5, **common):
        before, after = (draw_scene(dataclasses.replace(scene, **change)) for change in (off, on))
        assert before.attributes != after.attributes
        region = np.s_[top:bottom, left:right]
        assert after.image[region].mean() < before.image[region].mean() - 12
        # The rest of the picture stays: the same person before the same background.
        assert np.array_equal(before.image[:20, :20], after.image[:20, :20])


def test_smile_lifts_the_corners_of_the_mouth():
    for scene in plain_scenes(5, mouth_open=0.0, **CENTRE):
        serious = draw_scene(dataclasses.replace(scene, smile=0.0)).landmarks
        happy = draw_scene(dataclasses.replace(scene, smile=0.9)).landmarks
        assert happy["leftmouth_y"] < serious["leftmouth_y"] - 2
        width = happy["rightmouth_x"] - happy["leftmouth_x"]
        assert width > serious["rightmouth_x"] - serious["leftmouth_x"] + 4


def test_blurry_pictures_have_no_fine_detail():
    for scene in plain_scenes(4):
        sharp, soft = (
            draw_scene(dataclasses.replace(scene, blurry=blurry)).image.astype(float) for blurry in (False, True)
        )
        assert (
            np.abs(np.diff(soft[100:125, 55:122], axis=1)).mean()
            < 0.6 * np.abs(np.diff(sharp[100:125, 55:122], axis=1)).mean()
        )
