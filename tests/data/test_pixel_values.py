"""Images of all types of values: none becomes black without a word."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageFile

from lit_gen.data import ImageFolder, image_files
from lit_gen.data.cache import decode_image
from lit_gen.data.image_files import endings
from lit_gen.data.pixel_values import as_bytes, as_floats
from lit_gen.errors import UserError

RAMP = np.linspace(0, 1, 64).reshape(8, 8)


def test_bytes_of_images_by_hand():
    """Of two bytes as near, the even one is taken: -0.5, 0 and 0.5 stand for 63.75, 127.5 and 191.25."""
    images = torch.tensor([-3.0, -1, -0.9999, -0.5, 0, 0.5, 0.9999, 1, 7])
    assert as_bytes(images).tolist() == [0, 0, 0, 64, 128, 191, 255, 255, 255]
    assert as_bytes(images.to(torch.bfloat16)).tolist() == [0, 0, 0, 64, 128, 191, 255, 255, 255]
    assert as_bytes(images.double().requires_grad_()).dtype == torch.uint8


def test_floats_of_images_by_hand():
    stored = torch.arange(256, dtype=torch.uint8)
    floats = as_floats(stored)
    assert floats.dtype == torch.float32
    assert floats[[0, 51, 204, 255]].tolist() == pytest.approx([-1, -0.6, 0.6, 1], abs=1e-7)
    assert floats[[0, 255]].tolist() == [-1, 1], "to the bit"
    assert torch.equal(as_bytes(floats), stored)
    assert torch.equal(as_bytes(floats.double()), stored)


def write_tiff(
    path: Path,
    values: np.ndarray,
    sample_format: int = 1,
    photometric: int = 1,
    packed: tuple[int, bytes] | None = None,
) -> Path:
    """A grey TIFF of any type: Pillow writes few. 1 stands for unsigned, 2 for signed, 3 for float.

    `packed` is a number of bits, and `values` in it.
    """
    height, width = values.shape
    bits, data = packed or (8 * values.itemsize, values.astype(values.dtype.newbyteorder("<")).tobytes())
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: height}
    tags |= {279: len(data), 339: sample_format}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = b"II" + struct.pack("<HI", 42, 8 + len(data))
    path.write_bytes(head + data + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0))
    return path


def save(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values).save(path)
    return path


def levels(path: Path) -> tuple[np.ndarray, bool]:
    """The image as grey values, and whether it was scaled by its own range."""
    own_range: list[Path] = []
    found = decode_image(path, 8, None, 1, None, own_range)[..., 0].astype(int)
    assert own_range in ([], [path])
    return found, bool(own_range)


@pytest.mark.parametrize(
    ("values", "own"),
    [
        (RAMP.astype(np.float32), False),
        ((RAMP * 255).astype(np.float32), False),
        ((RAMP * 65535).astype(np.float32), False),
        ((RAMP * 255).astype(np.int32), False),
        ((RAMP * 65535).astype(np.int32), False),
        ((RAMP * 1000).astype(np.int32), True),
        ((RAMP * (2**31 - 1)).astype(np.int32), True),
        ((RAMP * 20_000 - 10_000).astype(np.int32), True),
        ((RAMP * 2 - 1).astype(np.float32), True),
        ((RAMP * 20 + 5).astype(np.float32), True),
        ((RAMP / 1000).astype(np.float32), True),
        ((RAMP * 6e38 - 3e38).astype(np.float32), True),
    ],
)
def test_a_ramp_of_integers_or_floats_is_a_ramp_of_levels(tmp_path, values, own):
    found, by_own_range = levels(save(tmp_path / "ramp.tif", values))
    assert np.abs(found - RAMP * 255).max() <= 1.5  # a ramp of whole numbers is not exact
    assert by_own_range is own


@pytest.mark.parametrize(
    ("values", "sample_format", "own"),
    [
        ((RAMP * 254 - 127).astype(np.int8), 2, True),
        ((RAMP * 65534 - 32767).astype(np.int16), 2, True),
        ((RAMP * 3000).astype(np.int16), 2, True),
        ((RAMP * (2**32 - 1)).astype(np.uint32), 1, True),
        ((RAMP * 255).astype(np.uint8), 1, False),
        ((RAMP * 65535).astype(np.uint16), 1, False),
    ],
)
def test_signed_and_unsigned_values(tmp_path, values, sample_format, own):
    found, by_own_range = levels(write_tiff(tmp_path / "ramp.tif", values, sample_format))
    assert np.abs(found - RAMP * 255).max() <= 1.5  # a ramp of whole numbers is not exact
    assert by_own_range is own


def test_twelve_bits(tmp_path):
    values = (RAMP * 4095).astype(np.uint16)
    digits = "".join(f"{value:03x}" for value in values.ravel())
    found, own = levels(write_tiff(tmp_path / "ramp.tif", values, packed=(12, bytes.fromhex(digits))))
    np.testing.assert_array_equal(found, values // 16)
    assert not own


@pytest.mark.parametrize(("kind", "top", "sample_format"), [(np.uint16, 65535, 1), (np.float32, 1, 3)])
def test_values_of_which_the_lowest_is_white(tmp_path, kind, top, sample_format):
    path = write_tiff(tmp_path / "ramp.tif", ((1 - RAMP) * top).astype(kind), sample_format, photometric=0)
    assert np.abs(levels(path)[0] - RAMP * 255).max() <= 1


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_sixteen_bits_in_either_order(tmp_path, mode):
    values = (RAMP * 65535).astype("<u2" if mode == "I;16" else ">u2")
    Image.frombytes(mode, (8, 8), values.tobytes()).save(tmp_path / "deep.tif")
    found, own = levels(tmp_path / "deep.tif")
    np.testing.assert_array_equal(found, values // 256)
    assert not own


def test_dark_pictures_of_sixteen_bits_stay_as_dark_as_they_are(tmp_path):
    """Their type says what white is, also where Pillow holds them as 32 bits."""
    values = (RAMP * 20_000).astype(np.int32)
    Image.fromarray(values).save(tmp_path / "dark.pgm")
    with Image.open(tmp_path / "dark.pgm") as image:
        assert image.mode == "I"
    found, own = levels(tmp_path / "dark.pgm")
    np.testing.assert_array_equal(found, values // 256)
    assert not own


@pytest.mark.parametrize(
    ("value", "level", "own"),
    [(np.int32(0), 0, False), (np.int32(200), 200, False), (np.int32(-5), 128, True), (np.int32(10**6), 128, True),
     (np.float32(0), 0, False), (np.float32(0.25), 64, False), (np.float32(1e6), 128, True)],
)  # fmt: skip
def test_an_image_of_a_single_value(tmp_path, value, level, own):
    found, by_own_range = levels(save(tmp_path / "flat.tif", np.full((8, 8), value)))
    assert np.all(found == level)
    assert by_own_range is own


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_named(tmp_path, value):
    values = RAMP.astype(np.float32)
    values[3, 4] = value
    with pytest.raises(UserError, match="odd.tif .it holds values that are infinite or not a number") as caught:
        levels(save(tmp_path / "odd.tif", values))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", ["png", "tif", "pbm", "gif", "bmp"])
def test_black_and_white(tmp_path, ending):
    board = np.indices((8, 8)).sum(axis=0) % 2 == 0
    found, own = levels(save(tmp_path / f"board.{ending}", board))
    np.testing.assert_array_equal(found, board * 255)
    assert not own


def test_lab_becomes_grey_as_it_becomes_colour(tmp_path):
    """Pillow has no way from LAB to grey."""
    grey = Image.fromarray((RAMP * 255).astype(np.uint8)).convert("RGB")
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    ImageCms.applyTransform(grey, to_lab).save(tmp_path / "a.tif")
    found, _ = levels(tmp_path / "a.tif")
    assert np.abs(found - RAMP * 255).max() <= 4
    colour = decode_image(tmp_path / "a.tif", 8, None, 3).astype(int)
    assert np.abs(colour - found[..., None]).max() <= 6


def test_grey_with_alpha_of_sixteen_bits_and_colour_of_sixteen_bits(tmp_path):
    """Written by hand: Pillow reads them as 8 bits, but writes neither."""

    def png(kind: int, pixels: np.ndarray) -> bytes:
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
        chunks = {b"IHDR": struct.pack(">IIBBBBB", 8, 8, 16, kind, 0, 0, 0), b"IDAT": zlib.compress(rows), b"IEND": b""}
        framed = (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
            for name, body in chunks.items()
        )
        return b"\x89PNG\r\n\x1a\n" + b"".join(framed)

    values = (RAMP * 65535).astype(np.uint16)
    (tmp_path / "alpha.png").write_bytes(png(4, np.stack([values, np.full_like(values, 65535)], axis=-1)))
    (tmp_path / "colour.png").write_bytes(png(2, np.stack([values] * 3, axis=-1)))
    for name in ("alpha.png", "colour.png"):
        found, own = levels(tmp_path / name)
        assert np.abs(found - values // 256).max() <= 1
        assert not own


# ------------------------------------------------------------------------------------------------------- what is said


def mixed_folder(folder: Path) -> Path:
    folder.mkdir()
    for number in range(5):
        save(folder / f"{number}.png", (RAMP * 255).astype(np.uint8))
    for number in range(5, 7):
        save(folder / f"{number}.tif", (RAMP * 1e6).astype(np.int32))
    return folder


def test_images_scaled_by_their_own_range_are_counted_each_time(tmp_path, caplog):
    folder = mixed_folder(tmp_path / "in")
    for _ in range(2):  # decoded, and taken from the cache
        caplog.clear()
        data = ImageFolder(folder, image_size=8)
        with caplog.at_level("INFO"):
            data.prepare_data()
            data.setup("fit")
        assert caplog.text.count("scaled 2 of the 7 images for images by their own range") == 1
        assert "5.tif and 1 more" in caplog.text
        assert data.remarks == ["2 scaled by their own range"]
        for row in data.arrays:
            assert np.abs(row[..., 0] - RAMP * 255).max() <= 1


def test_nothing_is_said_of_usual_images(tmp_path, caplog):
    save(tmp_path / "1.png", (RAMP * 255).astype(np.uint8))
    save(tmp_path / "2.png", (RAMP * 65535).astype(np.uint16))
    data = ImageFolder(tmp_path, image_size=8)
    with caplog.at_level("INFO"):
        data.prepare_data()
    assert "scaled" not in caplog.text and data.remarks == []


# --------------------------------------------------------------------------------------------------------- the formats


@pytest.mark.parametrize(
    "ending",
    "jpg jpeg jpe jfif png apng webp gif bmp dib tif tiff ppm pgm pnm JPG Tiff".split(),
)
def test_the_formats_people_have(tmp_path, ending):
    pixels = (RAMP * 255).astype(np.uint8)
    options = {"quality": 100} if ending.lower() in ("jpg", "jpeg", "jpe", "jfif", "webp") else {}
    Image.fromarray(pixels).save(tmp_path / f"ramp.{ending}", **options)
    data = ImageFolder(tmp_path, image_size=8, channels=1)
    data.prepare_data()
    assert np.abs(data.arrays[0, ..., 0].astype(int) - pixels).max() <= 3


@pytest.mark.skipif(".avif" not in endings(), reason="this Pillow does not read AVIF")
def test_avif(tmp_path):
    Image.fromarray((RAMP * 255).astype(np.uint8)).save(tmp_path / "ramp.avif", quality=100)
    found, _ = levels(tmp_path / "ramp.avif")
    assert np.abs(found - RAMP * 255).max() <= 6


@pytest.mark.parametrize("ending", ["gif", "webp", "png", "tif"])
def test_the_first_picture_of_several_is_taken(tmp_path, ending):
    first, *others = (Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue"))
    options = {"lossless": True} if ending == "webp" else {}
    first.save(tmp_path / f"several.{ending}", save_all=True, append_images=others, **options)
    with Image.open(tmp_path / f"several.{ending}") as image:
        assert image.n_frames == 3
    assert decode_image(tmp_path / f"several.{ending}", 8)[4, 4].tolist() == [255, 0, 0]


def test_an_image_of_another_format_than_its_name_says(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.jpg", format="PNG")
    np.testing.assert_array_equal(decode_image(tmp_path / "image.jpg", 8), pixels)


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"


def test_postscript_called_jpeg_starts_no_program(tmp_path, monkeypatch):
    """Pillow would run Ghostscript on it: a stand-in says whether it was started."""
    program = tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)  # Pillow looks for it once
    (tmp_path / "image.jpg").write_bytes(EPS)
    with pytest.raises(UserError, match="image.jpg"):
        decode_image(tmp_path / "image.jpg", 8)
    assert not (tmp_path / "started").exists()


def test_formats_that_only_exist_elsewhere_are_not_named(monkeypatch):
    image_files.formats.cache_clear()
    monkeypatch.delitem(Image.OPEN, "AVIF", raising=False)
    monkeypatch.setattr(Image, "init", lambda: 0)
    try:
        assert "AVIF" not in image_files.formats() and "PNG" in image_files.formats()
    finally:
        image_files.formats.cache_clear()


def test_a_picture_cut_short_is_still_named(tmp_path):
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    path = save(tmp_path / "ramp.tif", RAMP.astype(np.float32))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match="ramp.tif"):
        levels(path)
