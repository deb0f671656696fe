"""The same face with other attributes: everything that they do not concern is drawn as it was, in every bit."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lit_gen.synthetic.faces.names import BEARDS, HAIR_COLOURS
from lit_gen.synthetic.faces.scene import HAIR_SHADES, SKIN_TONES, SWITCHES, Scene, scene_attributes

CHOICES: dict[str, tuple[str, Any, Any]] = {
    "Bald": ("hair_style", "short", "bald"),
    "Eyeglasses": ("glasses", "none", "frame"),
    "Mouth_Slightly_Open": ("mouth_open", 0.0, 5.5),
    "No_Beard": ("beard", "full", "none"),
    "Smiling": ("smile", 0.05, 0.8),
    "Straight_Hair": ("hair_wave", "plain", "straight"),
    "Wavy_Hair": ("hair_wave", "plain", "wavy"),
    "Wearing_Hat": ("hat", "none", "beanie"),
    "Wearing_Necktie": ("clothes", "tee", "tie"),
} | {name: ("beard", "none", beard) for name, beard in BEARDS.items()}
"""The field of a scene that an attribute is read off, and its value without and with the attribute."""


def with_attributes(scene: Scene, wanted: Mapping[str, bool]) -> Scene | None:
    """Return the scene with the wanted attributes, by CelebA's names, in all else as it was.

    Attributes that are not named may change with those that are: grey hair that becomes black is no longer grey. It is
    None where there is no such picture: something else hides the attribute (the hair of a bald head has no colour), it
    follows from others (Attractive), or another part would be drawn anew with it.
    """
    found = scene_attributes(scene)
    others = [name for name, value in wanted.items() if value != found[name]]
    for name in sorted(others, key=wanted.__getitem__):  # what is to be there comes last, and wins
        # One stream of random numbers draws earrings, glasses and hat, in this order.
        after = {"Wearing_Earrings": ("glasses", "hat"), "Eyeglasses": ("hat",)}.get(name, ())
        if any(getattr(scene, part) != "none" for part in after):
            return None
        scene = replace(scene, **_fields(scene, name, wanted[name]))
    found = scene_attributes(scene)
    return scene if all(found[name] == value for name, value in wanted.items()) else None


def _fields(scene: Scene, name: str, value: bool) -> dict[str, Any]:
    """Return the fields of a scene that give an attribute a value; none for one that cannot be chosen."""
    if name in HAIR_COLOURS:
        colour = HAIR_COLOURS[name] if value else "red"  # the one without a name
        shades = HAIR_SHADES[colour]
        return {"hair_colour": colour, "hair_rgb": tuple(map(float, shades[scene.texture_seed % len(shades)]))}
    if name == "Pale_Skin":
        return {"pale": value, "tone": tuple(map(float, SKIN_TONES["pale" if value else "light"]))}
    if name in SWITCHES:
        return {SWITCHES[name]: value}
    if name in CHOICES:
        field, without, with_it = CHOICES[name]
        return {field: with_it if value else without}
    return {}
