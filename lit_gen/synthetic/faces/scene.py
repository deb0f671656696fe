"""The person in an image: a `Scene` drawn at random, and the 40 attributes that are read off it."""

from dataclasses import dataclass

import numpy as np

from lit_gen.synthetic.faces.names import ATTRIBUTES

SKIN_TONES = {
    "pale": (252, 231, 221),
    "light": (240, 204, 180),
    "medium": (226, 180, 148),
    "tan": (198, 148, 112),
    "brown": (158, 108, 78),
    "dark": (112, 74, 54),
}
HAIR_SHADES = {
    "black": ((30, 24, 24), (40, 31, 27), (22, 21, 26)),
    "brown": ((92, 60, 38), (76, 48, 32), (116, 78, 50), (104, 64, 44)),
    "blond": ((216, 178, 112), (230, 200, 142), (196, 156, 92), (236, 214, 168)),
    "gray": ((168, 168, 170), (200, 200, 202), (142, 143, 148)),
    "red": ((158, 74, 36), (176, 92, 50), (132, 54, 32)),
}


@dataclass(frozen=True)
class Scene:
    """Everything that decides an image. Lengths are pixels, angles radians."""

    male: bool
    young: bool
    tone: tuple[float, float, float]  # RGB of lit skin
    pale: bool
    hair_style: str  # bald, fringe, short, bob, long, updo
    hair_colour: str  # a key of HAIR_SHADES
    hair_rgb: tuple[float, float, float]
    hair_volume: float  # above the skull
    hair_wave: str  # straight, wavy, plain
    parting: float  # x of the parting
    bangs: bool
    receding: bool
    beard: str  # none, shadow, mustache, goatee, full
    sideburns: bool
    glasses: str  # none, frame, sun
    hat: str  # none, beanie, cap, brim
    smile: float  # 0 serious ... 1 broad; a smile is over 0.5
    mouth_open: float  # between the lips
    lipstick: bool
    makeup: bool
    earrings: bool
    necklace: bool
    clothes: str  # tee, vneck, suit, tie, bare
    arched_brows: bool
    bushy_brows: bool
    narrow_eyes: bool
    eye_bags: bool
    big_nose: bool
    pointy_nose: bool
    big_lips: bool
    high_cheekbones: bool
    oval: bool
    chubby: bool
    double_chin: bool
    rosy: bool
    blurry: bool
    yaw: float  # positive: the nose moves right
    pitch: float  # positive: the nose moves down
    roll: float
    scale: float
    centre: tuple[float, float]  # pixel between the eyes
    length: float  # stretch of the face below the eyes
    light: tuple[float, float, float]  # direction to the light; y down, z to the viewer
    ambient: float  # light that comes from everywhere, 0 to 1
    texture_seed: int  # seed of the rest: strands, background, clothes, grain

    @property
    def hair_hangs(self) -> bool:
        """Tell whether the hair falls over the ears, and shows below a hat."""
        return self.hair_style in ("long", "bob")

    @property
    def crown_is_bare(self) -> bool:
        """Tell whether no hair grows on the top of the head."""
        return self.hair_style in ("bald", "fringe")


SWITCHES = {
    "Arched_Eyebrows": "arched_brows", "Bags_Under_Eyes": "eye_bags", "Bangs": "bangs", "Big_Lips": "big_lips",
    "Big_Nose": "big_nose", "Blurry": "blurry", "Bushy_Eyebrows": "bushy_brows", "Chubby": "chubby",
    "Double_Chin": "double_chin", "Heavy_Makeup": "makeup", "High_Cheekbones": "high_cheekbones", "Male": "male",
    "Narrow_Eyes": "narrow_eyes", "Oval_Face": "oval", "Pale_Skin": "pale", "Pointy_Nose": "pointy_nose",
    "Receding_Hairline": "receding", "Rosy_Cheeks": "rosy", "Sideburns": "sideburns", "Wearing_Earrings": "earrings",
    "Wearing_Lipstick": "lipstick", "Wearing_Necklace": "necklace", "Young": "young",
}  # fmt: skip
"""The fields of a scene that are true or false as the attribute is, where nothing hides it."""


def sample_scene(rng: np.random.Generator) -> Scene:
    """Return a random scene; how often something is in it is roughly as in CelebA."""

    def chance(probability: float) -> bool:
        return rng.random() < probability

    def choice(options: dict[str, float]) -> str:
        weights = np.array(list(options.values()))
        return str(rng.choice(list(options), p=weights / weights.sum()))

    male = chance(0.42)
    young = chance(0.64 if male else 0.86)
    pale = chance(0.05)
    tone_name = "pale" if pale else choice({"light": 0.42, "medium": 0.28, "tan": 0.13, "brown": 0.09, "dark": 0.08})
    tone = np.array(SKIN_TONES[tone_name]) * rng.uniform(0.95, 1.0) + rng.uniform(-5, 5, 3)
    dark_skinned = tone_name in ("brown", "dark")

    if not young and chance(0.26):
        hair_colour = "gray"
    elif dark_skinned:
        hair_colour = choice({"black": 0.8, "brown": 0.15, "blond": 0.05})
    else:
        hair_colour = choice({"black": 0.25, "brown": 0.38, "blond": 0.29, "red": 0.08})
    palette = HAIR_SHADES[hair_colour]
    hair_rgb = np.array(palette[rng.integers(len(palette))]) * rng.uniform(0.92, 1.08)
    if male:
        bald = chance(0.025 if young else 0.13)
        hair_style = (
            choice({"bald": 0.5, "fringe": 0.0 if young else 0.5}) if bald else choice({"short": 0.9, "bob": 0.1})
        )
    else:
        hair_style = choice({"long": 0.64, "bob": 0.15, "updo": 0.15, "short": 0.06})
    hangs = hair_style in ("long", "bob")
    wave = choice(
        {"straight": 0.32, "wavy": 0.5, "plain": 0.18} if hangs else {"straight": 0.1, "wavy": 0.14, "plain": 1}
    )
    hat = choice({"beanie": 0.3, "cap": 0.35, "brim": 0.35}) if chance(0.06) else "none"
    receding = hair_style == "short" and male and chance(0.12 if young else 0.4)
    bangs = hair_style not in ("bald", "fringe") and not receding and chance(0.1 if male else 0.23)

    beard = choice({"none": 0.62, "shadow": 0.1, "mustache": 0.06, "goatee": 0.09, "full": 0.13}) if male else "none"
    glasses = choice({"frame": 0.75, "sun": 0.25}) if chance(0.07 if young else 0.17) else "none"
    smiling = chance(0.42 if male else 0.53)
    parted_lips = chance(0.75 if smiling else 0.24)
    makeup = not male and chance(0.66)
    big_nose = chance(0.36 if male else 0.13)
    chubby = chance(0.06 if young else 0.13)
    dressy = chance(0.17) and male
    return Scene(
        male=male,
        young=young,
        tone=tuple(np.clip(tone, 0, 255).tolist()),
        pale=pale,
        hair_style=hair_style,
        hair_colour=hair_colour,
        hair_rgb=tuple(np.clip(hair_rgb, 0, 255).tolist()),
        hair_volume=rng.uniform(2 if hair_style == "short" else 5, 13),
        hair_wave=wave,
        parting=float(rng.choice((-1, 1)) * rng.uniform(2, 15)),
        bangs=bangs,
        receding=receding,
        beard=beard,
        sideburns=male and hair_style == "short" and (beard == "full" or chance(0.1)),
        glasses=glasses,
        hat=hat,
        smile=rng.uniform(0.65, 1.0) if smiling else rng.uniform(-0.1, 0.2),
        mouth_open=rng.uniform(4.0, 7.5) if parted_lips else 0.0,
        lipstick=not male and (makeup or chance(0.3)),
        makeup=makeup,
        earrings=chance(0.02 if male else 0.3),
        necklace=chance(0.02 if male else 0.2),
        clothes=("tie" if dressy else choice({"tee": 0.5, "vneck": 0.2, "suit": 0.3}))
        if male
        else choice({"tee": 0.3, "vneck": 0.35, "suit": 0.1, "bare": 0.25}),
        arched_brows=chance(0.04 if male else 0.44),
        bushy_brows=chance(0.26 if male else 0.06),
        narrow_eyes=chance(0.12),
        eye_bags=chance(0.16 if young else 0.38),
        big_nose=big_nose,
        pointy_nose=not big_nose and chance(0.34),
        big_lips=chance(0.14 if male else 0.32),
        high_cheekbones=chance(0.75 if smiling else 0.2),
        oval=not chubby and chance(0.3),
        chubby=chubby,
        double_chin=chance(0.55 if chubby else 0.015),
        rosy=not male and not dark_skinned and chance(0.14),
        blurry=chance(0.05),
        yaw=float(np.clip(rng.normal(0, 0.16), -0.38, 0.38)),
        pitch=float(np.clip(rng.normal(0, 0.07), -0.14, 0.14)),
        roll=float(np.clip(rng.normal(0, 0.025), -0.06, 0.06)),
        scale=rng.uniform(0.96, 1.04),
        centre=(88.5 + rng.normal(0, 1.0), 111 + rng.normal(0, 0.8)),
        length=rng.uniform(0.95, 1.05),
        light=(rng.uniform(-0.6, 0.6), rng.uniform(-0.7, -0.25), 1.0),
        ambient=rng.uniform(0.4, 0.58),
        texture_seed=int(rng.integers(2**31)),
    )


def scene_attributes(scene: Scene) -> dict[str, bool]:
    """Return the 40 attributes of CelebA that follow from a scene; what something else hides counts as absent.

    They are in the order of `ATTRIBUTES`.
    """
    bare_headed, eyes_seen = scene.hat == "none", scene.glasses != "sun"
    bald = scene.crown_is_bare and bare_headed
    hair_seen = not scene.crown_is_bare if bare_headed else scene.hair_hangs
    colour, wave = (scene.hair_colour, scene.hair_wave) if hair_seen else ("none", "none")
    eye_bags = scene.eye_bags and eyes_seen
    flawed = scene.chubby or scene.double_chin or scene.big_nose or scene.blurry or bald or eye_bags
    found = {name: getattr(scene, field) for name, field in SWITCHES.items()} | {
        "5_o_Clock_Shadow": scene.beard == "shadow",
        "Attractive": scene.young and not flawed,  # a matter of taste; this one at least follows from the image
        "Bags_Under_Eyes": eye_bags,
        "Bald": bald,
        "Bangs": scene.bangs and bare_headed,
        "Black_Hair": colour == "black",
        "Blond_Hair": colour == "blond",
        "Brown_Hair": colour == "brown",
        "Eyeglasses": scene.glasses != "none",
        "Goatee": scene.beard == "goatee",
        "Gray_Hair": colour == "gray",
        "Mouth_Slightly_Open": scene.mouth_open > 0,
        "Mustache": scene.beard in ("mustache", "full"),
        "Narrow_Eyes": scene.narrow_eyes and eyes_seen,
        "No_Beard": scene.beard == "none",
        "Receding_Hairline": scene.receding and bare_headed,
        "Smiling": scene.smile > 0.5,
        "Straight_Hair": wave == "straight",
        "Wavy_Hair": wave == "wavy",
        "Wearing_Hat": not bare_headed,
        "Wearing_Necktie": scene.clothes == "tie",
    }
    return {name: found[name] for name in ATTRIBUTES}
