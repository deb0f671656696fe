"""The same face with other attributes: what changes, and that nothing else does, in any bit."""

from dataclasses import replace

import numpy as np
import pytest

from lit_gen.synthetic.faces.changes import with_attributes
from lit_gen.synthetic.faces.names import ATTRIBUTES
from lit_gen.synthetic.faces.render import draw_scene
from lit_gen.synthetic.faces.scene import scene_attributes
from tests.synthetic.test_faces import HAIR, plain_scenes, scenes

BEARDS = {"5_o_Clock_Shadow", "Goatee", "Mustache", "No_Beard"}
KINDS = (set(HAIR), BEARDS, {"Straight_Hair", "Wavy_Hair"})
# Of 218 rows and 178 columns: what the attribute may move at most, as top, bottom, left, right. Eyes lie at row 111.
PLACES = {
    "Eyeglasses": (90, 140, 25, 155),
    "Smiling": (72, 185, 25, 155),
    "Mouth_Slightly_Open": (135, 185, 45, 130),
    "Wearing_Lipstick": (135, 185, 45, 130),
    "Arched_Eyebrows": (75, 108, 40, 140),
    "Wearing_Earrings": (115, 175, 20, 160),
    "Wearing_Necklace": (170, 218, 30, 150),
    "Goatee": (105, 205, 25, 155),
}


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_the_attribute_changes_and_no_other_that_it_does_not_concern(name):
    related = {name, "Attractive"}.union(*(kind for kind in KINDS if name in kind))
    related |= (
        {"Bald", *HAIR, "Bangs", "Straight_Hair", "Wavy_Hair", "Receding_Hairline"}
        if name in ("Bald", "Wearing_Hat")
        else set()
    )
    changed = 0
    for scene in scenes(40):
        before = scene_attributes(scene)
        other = with_attributes(scene, {name: not before[name]})
        if other is None:
            continue
        after = scene_attributes(other)
        changed += 1
        assert after[name] != before[name]
        assert {key for key in ATTRIBUTES if after[key] != before[key]} <= related
        assert other.texture_seed == scene.texture_seed
    assert changed > 20 or name == "Attractive"


@pytest.mark.parametrize("name", PLACES)
def test_pictures_differ_only_where_the_attribute_is(name):
    top, bottom, left, right = PLACES[name]
    seen = 0
    for scene in scenes(5, seed=21):
        scene = replace(scene, blurry=False)  # which spreads what differs
        other = with_attributes(scene, {name: not scene_attributes(scene)[name]})
        if other is None:
            continue
        differ = (draw_scene(scene).image != draw_scene(other).image).any(-1)
        seen += 1
        assert differ.any()
        differ[top:bottom, left:right] = False
        assert not differ.any()
    assert seen >= 3


def test_hair_of_another_colour_leaves_skin_eyes_and_surroundings():
    """Of women whose brows have that colour too: neither cheeks and mouth change, nor what is beside the head."""
    for scene in plain_scenes(4, male=False, beard="none", hair_style="updo", hair_colour="brown", earrings=False):
        pictures = [draw_scene(with_attributes(scene, {name: True})).image for name in ("Black_Hair", "Blond_Hair")]
        differ = (pictures[0] != pictures[1]).any(-1)
        assert differ[30:60, 60:120].mean() > 0.5
        assert not differ[115:200].any() and not differ[:, :15].any()


def test_to_have_what_it_has_is_the_same_face():
    for scene in scenes(5):
        assert with_attributes(scene, scene_attributes(scene)) == scene
        assert with_attributes(scene, {}) == scene


def test_there_and_back_is_the_same_picture():
    for scene in plain_scenes(2, mouth_open=0.0):
        there = with_attributes(scene, {"Mouth_Slightly_Open": True})
        assert np.array_equal(
            draw_scene(with_attributes(there, {"Mouth_Slightly_Open": False})).image, draw_scene(scene).image
        )


def test_what_has_no_true_picture():
    (scene,) = plain_scenes(1, hair_style="bald", hat="none")
    assert with_attributes(scene, {"Black_Hair": True}) is None
    assert with_attributes(scene, {"Attractive": not scene_attributes(scene)["Attractive"]}) is None
    assert with_attributes(scene, {"Black_Hair": True, "Blond_Hair": True}) is None
    (scene,) = plain_scenes(1, hat="cap", earrings=False)
    assert with_attributes(scene, {"Eyeglasses": True}) is None  # its stream would draw another hat
    assert with_attributes(scene, {"Wearing_Earrings": True}) is None
