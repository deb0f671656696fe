import lzma
import math
import multiprocessing
import os
import pickle
import shutil
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from lit_gen.data import cache, decoding
from lit_gen.data.cache import cached_set, decode_image, readable_rows
from lit_gen.errors import UserError
from lit_gen.files.parallel import map_indices


def colours(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels)).astype(np.uint8)


def save(path: Path, pixels: np.ndarray, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def tree(folder: Path, count: int = 3) -> list[Path]:
    return [save(folder / f"{index}.png", colours(8, 8, seed=index)) for index in range(count)]


def cached_images(*arguments, **settings):
    return cached_set(*arguments, **settings).images


def arrays(folder: Path) -> list[str]:
    """The names of the arrays in a cache, which has a manifest of each as well."""
    return sorted(path.name for path in folder.glob("*.npy"))


@pytest.fixture
def no_decoding(monkeypatch):
    """A function; from its call on, decoding fails."""

    def refuse(*_, **__):
        raise AssertionError("an image was decoded again")

    return lambda: monkeypatch.setattr(cache, "decode_image", refuse)


# --------------------------------------------------------------------------------------------------------- one image


def test_pixels_come_through_unchanged(tmp_path):
    pixels = colours(16, 16)
    found = decode_image(save(tmp_path / "image.png", pixels), 16)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, pixels)


def test_jpeg_is_what_pillow_says(tmp_path):
    path = save(tmp_path / "image.jpg", colours(16, 16), quality=80)
    with Image.open(path) as image:
        np.testing.assert_array_equal(decode_image(path, 16), np.asarray(image))


@pytest.mark.parametrize(("height", "width", "rows", "columns"), [(8, 12, (0, 8), (2, 10)), (13, 8, (2, 10), (0, 8))])
def test_the_largest_centred_square_is_cut_out(tmp_path, height, width, rows, columns):
    pixels = colours(height, width)
    found = decode_image(save(tmp_path / "image.png", pixels), 8)
    np.testing.assert_array_equal(found, pixels[slice(*rows), slice(*columns)])


def test_halving_averages_four_pixels(tmp_path):
    pixels = colours(12, 14)
    found = decode_image(save(tmp_path / "image.png", pixels), 4, box=(3, 1, 11, 9))
    mean = pixels[1:9, 3:11].reshape(4, 2, 4, 2, 3).mean(axis=(1, 3))
    assert np.abs(found - mean).max() <= 1  # Pillow rounds after each of the two directions


def test_other_sizes_are_near_and_smooth(tmp_path):
    ramp = np.repeat(np.linspace(0, 255, 100)[None, :, None], 100, axis=0).repeat(3, axis=2).astype(np.uint8)
    found = decode_image(save(tmp_path / "image.png", ramp), 37).astype(int)
    middles = (np.arange(37) + 0.5) * 100 / 37  # of the new pixels; those of the old ones are at 0.5, 1.5, ...
    expected = (middles - 0.5) * 255 / 99
    assert np.abs(found[5, 2:-2, 1] - expected[2:-2]).max() < 2.5


def test_resizing_does_not_alias(tmp_path):
    board = ((np.indices((90, 90)).sum(axis=0) % 2) * 255).astype(np.uint8)  # a fine chessboard is grey from afar
    found = decode_image(save(tmp_path / "image.png", board), 40, channels=1)
    assert np.abs(found[2:-2, 2:-2].astype(int) - 127).max() < 20


def test_grey_and_colour_are_made_of_each_other(tmp_path):
    grey = colours(8, 8)[..., 0]
    np.testing.assert_array_equal(decode_image(save(tmp_path / "grey.png", grey), 8), np.stack([grey] * 3, axis=-1))
    red = np.zeros((8, 8, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
    found = decode_image(save(tmp_path / "red.png", red), 8, channels=1)
    assert found.shape == (8, 8, 1)
    assert np.all(found == 76)  # 0.299 x 255, ITU-R 601


def test_sixteen_bits_become_eight(tmp_path):
    deep = np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16)
    for name in ("deep.png", "deep.tif"):
        Image.fromarray(deep).save(tmp_path / name)
        np.testing.assert_array_equal(decode_image(tmp_path / name, 8, channels=1)[..., 0], deep // 256)


def test_cmyk(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "red.jpg", quality=95)
    red, green, blue = decode_image(tmp_path / "red.jpg", 8)[4, 4]
    assert red > 240
    assert green < 15
    assert blue < 15


def test_palette(tmp_path):
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    image.save(tmp_path / "palette.png")
    assert decode_image(tmp_path / "palette.png", 8)[3, 3].tolist() == [10, 200, 30]


def test_opaque_colours_survive_an_alpha_channel(tmp_path):
    pixels = colours(8, 8)
    alpha = np.full((8, 8, 1), 255, np.uint8)
    found = decode_image(save(tmp_path / "image.png", np.concatenate([pixels, alpha], axis=-1)), 8)
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
def test_what_is_transparent_is_white(tmp_path):
    Image.new("RGBA", (8, 8), (10, 200, 30, 0)).save(tmp_path / "alpha.png")
    Image.new("LA", (8, 8), (10, 0)).save(tmp_path / "grey.png")
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    image.save(tmp_path / "palette.png", transparency=1)
    image.save(tmp_path / "palette of bytes.png", transparency=b"\xff\x00")
    for name in ("alpha.png", "grey.png", "palette.png", "palette of bytes.png"):
        for channels in (1, 3):
            assert np.all(decode_image(tmp_path / name, 8, channels=channels) == 255), name
    Image.new("RGBA", (8, 8), (0, 100, 200, 51)).save(tmp_path / "fifth.png")
    assert decode_image(tmp_path / "fifth.png", 8)[4, 4].tolist() == [204, 224, 244]  # 0.2 x colour + 0.8 x 255


def test_exif_rotation_is_applied(tmp_path):
    pixels = colours(8, 8)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera's right side is up: the viewer turns the picture a quarter clockwise
    found = decode_image(save(tmp_path / "image.png", pixels, exif=exif), 8)
    np.testing.assert_array_equal(found, np.rot90(pixels, -1))


@pytest.mark.parametrize("one", [np.uint8(1), np.uint16(257)])
def test_an_uncompressed_tiff_is_turned_upright(tmp_path, one):
    pixels = colours(12, 8)[..., 0]
    Image.fromarray(np.rot90(pixels) * one).save(tmp_path / "image.tif", tiffinfo={0x0112: 6})
    np.testing.assert_array_equal(decode_image(tmp_path / "image.tif", 8, channels=1)[..., 0], pixels[2:-2])


@pytest.mark.parametrize("ending", ["jpg", "png"])
@pytest.mark.parametrize("damage", [lambda content: content[: len(content) // 2], lambda _: b"", lambda _: b"<html>"])
def test_a_damaged_image_is_named(tmp_path, ending, damage):
    path = save(tmp_path / f"the broken one.{ending}", colours(64, 64))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=f"the broken one.{ending}") as caught:
        decode_image(path, 16)
    assert "\n" not in str(caught.value)


def large_png(path: Path, side: int) -> Path:
    """A PNG whose header says that it is large, and which has no pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize("side", [10_001, 13_000, 20_000, 2**31 - 1])
def test_a_large_image_is_not_decoded(tmp_path, side, recwarn):
    """Pillow would decode the first two, with a warning, and refuse the others for good."""
    path, megapixels = large_png(tmp_path / "large.png", side), math.ceil(side**2 / 1e6)
    with pytest.raises(UserError) as caught:
        decode_image(path, 16)
    assert f"{path} has {side}x{side} pixels, more than 100 million." in str(caught.value)
    assert f"set --data.max_megapixels={megapixels}:" in str(caught.value)
    with pytest.raises(UserError, match="cannot read the image .*large.png"):
        decode_image(path, 16, max_megapixels=megapixels)  # now it is decoded, and has no pixels
    assert Image.MAX_IMAGE_PIXELS and not recwarn.list


def test_what_pillow_thinks_too_large_is_decoded_if_the_user_says_so(tmp_path, monkeypatch, recwarn):
    paths = [save(tmp_path / f"{ending}.{ending}", colours(64, 64)) for ending in ("png", "jpg", "tif")]
    expected = [decode_image(path, 16) for path in paths]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    for path, image in zip(paths, expected, strict=True):
        np.testing.assert_array_equal(decode_image(path, 16), image)
    assert Image.MAX_IMAGE_PIXELS == 1000 and not recwarn.list


def test_a_face_that_is_large_is_not_decoded(tmp_path):
    with pytest.raises(UserError, match="it has 20000x20000 pixels, not 178x218"):
        decode_image(large_png(tmp_path / "large.png", 20_000), 16, stored=(178, 218), max_megapixels=1000)


@pytest.mark.parametrize(
    "error", [RuntimeError("odd"), struct.error("odd"), IndexError("odd"), AttributeError("odd"), EOFError("odd"),
              UnicodeDecodeError("utf-8", b"\xff", 0, 1, "odd"), lzma.LZMAError("odd"), MemoryError(),
              ZeroDivisionError(), subprocess.CalledProcessError(1, "odd"), Warning("odd"), TypeError("two\nlines")]
)  # fmt: skip
def test_whatever_a_decoder_raises_names_the_file(tmp_path, error, monkeypatch):
    path = save(tmp_path / "odd.png", colours(8, 8))

    def fail(*_):
        raise error

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", fail)
    with pytest.raises(UserError, match="cannot read the image .*odd.png .(.*odd|two lines|[A-Z][A-Za-z]+Error)") as it:
        decode_image(path, 4)
    assert "\n" not in str(it.value)
    with pytest.raises(UserError, match="skip_broken would skip 1 of the 1 files"):
        readable_rows([path], None, "tiny")


def test_a_larger_limit_is_asked_anew(tmp_path, monkeypatch):
    """What is too large for one run is read by the next, if that allows it."""
    paths = [*tree(tmp_path / "in", 2), save(tmp_path / "in" / "large.png", colours(1001, 1000))]
    assert readable_rows(paths, tmp_path / "cache", "tiny", max_megapixels=1).tolist() == [0, 1]
    assert readable_rows(paths, tmp_path / "cache", "tiny", max_megapixels=2).tolist() == [0, 1, 2]
    assert cached_images(paths, tmp_path / "cache", "tiny", 8, max_megapixels=2).shape == (3, 8, 8, 3)
    with pytest.raises(UserError, match="large.png has 1000x1001 pixels, more than 1 million"):
        cached_images(paths, tmp_path / "other", "tiny", 8, max_megapixels=1)
    assert not (tmp_path / "other").exists()


def test_an_image_smaller_than_the_box_is_named(tmp_path):
    with pytest.raises(UserError, match="small.png"):
        decode_image(save(tmp_path / "small.png", colours(8, 8)), 4, box=(0, 0, 9, 9))


def test_an_image_of_another_size_than_the_box_was_meant_for_is_named(tmp_path):
    path = save(tmp_path / "wide.png", colours(8, 9))
    assert decode_image(path, 4, box=(0, 0, 8, 8), stored=(9, 8)).shape == (4, 4, 3)
    with pytest.raises(UserError, match="wide.png .it has 9x8 pixels, not 8x9"):
        decode_image(path, 4, box=(0, 0, 8, 8), stored=(8, 9))


def test_a_missing_image_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere.png"):
        decode_image(tmp_path / "nowhere.png", 4)


# --------------------------------------------------------------------------------------------------------- the array


def test_the_array_holds_the_images_in_order(tmp_path):
    paths = tree(tmp_path / "in")
    array = cached_images(paths[::-1], tmp_path / "cache", "tiny", 8)
    assert array.shape == (3, 8, 8, 3)
    assert array.dtype == np.uint8
    for row, seed in zip(array, (2, 1, 0), strict=True):
        np.testing.assert_array_equal(row, colours(8, 8, seed=seed))


def test_the_array_is_a_read_only_memory_map(tmp_path):
    array = cached_images(tree(tmp_path / "in"), tmp_path / "cache", "tiny", 8)
    assert isinstance(array, np.memmap)
    assert array.mode == "r"
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0, 0, 0] = 1


def test_the_second_use_decodes_nothing(tmp_path, no_decoding):
    paths = tree(tmp_path / "in")
    first = cached_images(paths, tmp_path / "cache", "tiny", 4)
    no_decoding()
    np.testing.assert_array_equal(cached_images(paths, tmp_path / "cache", "tiny", 4), first)
    assert len(arrays(tmp_path / "cache")) == 1 and len(os.listdir(tmp_path / "cache")) == 2


@pytest.mark.parametrize("settings", [{"size": 2}, {"box": (0, 0, 4, 4)}, {"channels": 1}, {"name": "other"}])
def test_another_setting_is_another_array(tmp_path, settings):
    paths = tree(tmp_path / "in")
    usual = {"name": "tiny", "size": 4}
    first = np.array(cached_images(paths, tmp_path / "cache", **usual))
    second = cached_images(paths, tmp_path / "cache", **(usual | settings))
    assert len(arrays(tmp_path / "cache")) == 2
    assert ("name" in settings) == np.array_equal(first, second)
    np.testing.assert_array_equal(cached_images(paths, tmp_path / "cache", **usual), first)


def test_a_changed_image_is_decoded_anew(tmp_path):
    paths = tree(tmp_path / "in")
    cached_images(paths, tmp_path / "cache", "tiny", 8)
    save(paths[1], colours(8, 8, seed=99))
    os.utime(paths[1], (1, 1))  # a time that differs for certain
    array = cached_images(paths, tmp_path / "cache", "tiny", 8)
    np.testing.assert_array_equal(array[1], colours(8, 8, seed=99))
    np.testing.assert_array_equal(array[2], colours(8, 8, seed=2))


def test_another_list_of_images_is_another_array(tmp_path):
    paths = tree(tmp_path / "in")
    cached_images(paths, tmp_path / "cache", "tiny", 8)
    assert len(cached_images(paths[:2], tmp_path / "cache", "tiny", 8)) == 2
    np.testing.assert_array_equal(cached_images(paths[1:], tmp_path / "cache", "tiny", 8)[0], colours(8, 8, seed=1))


def test_equal_names_in_different_folders_are_different_images(tmp_path):
    grey, white = (np.full((8, 8, 3), value, np.uint8) for value in (127, 128))  # files of the same length
    paths = [save(tmp_path / "a" / "1.bmp", grey), save(tmp_path / "b" / "1.bmp", white)]
    for path in paths:
        os.utime(path, (1, 1))
    assert cached_images(paths[:1], tmp_path / "cache", "tiny", 8).max() == 127
    assert cached_images(paths[1:], tmp_path / "cache", "tiny", 8).max() == 128


def test_names_with_spaces_and_letters_of_any_language(tmp_path):
    folder = tmp_path / "meine Bilder 写真"
    paths = [save(folder / name, colours(8, 8)) for name in ("größe 1.png", "写真 (2).png", "emoji 🐴.png")]
    array = cached_images(paths, folder / "mein cache ü", "größe", 8)
    assert all(np.array_equal(row, colours(8, 8)) for row in array)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are Unicode")
def test_a_name_that_is_not_unicode(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    save(path, colours(8, 8), format="PNG")
    np.testing.assert_array_equal(cached_images([path], tmp_path / "cache", "tiny", 8)[0], colours(8, 8))


class Interruption(BaseException):
    """Stands for Ctrl-C."""


def test_an_interrupted_build_is_begun_anew(tmp_path, monkeypatch):
    paths = tree(tmp_path / "in")

    def interrupt(path, **settings):
        if path == paths[2]:
            raise Interruption
        return decode_image(path, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(cache, "decode_image", interrupt)
        with pytest.raises(Interruption):
            cached_images(paths, tmp_path / "cache", "tiny", 8)
    assert not (tmp_path / "cache").exists()
    array = cached_images(paths, tmp_path / "cache", "tiny", 8)
    np.testing.assert_array_equal(array[2], colours(8, 8, seed=2))


def test_what_a_killed_build_left_is_not_taken_for_the_array(tmp_path):
    paths = tree(tmp_path / "in")
    expected = np.array(cached_images(paths, tmp_path / "cache", "tiny", 8))
    [name] = arrays(tmp_path / "cache")
    (tmp_path / "cache" / name).rename(tmp_path / "cache" / f".{name}.abc.partial")
    (tmp_path / "cache" / f".{name}.abc.partial").write_bytes(b"half")
    np.testing.assert_array_equal(cached_images(paths, tmp_path / "cache", "tiny", 8), expected)


@pytest.mark.parametrize("damage", [lambda content: content[:-50], lambda content: content[:60], lambda _: b"half"])
def test_an_array_that_is_not_whole_is_made_again(tmp_path, damage):
    paths = tree(tmp_path / "in")
    expected = np.array(cached_images(paths, tmp_path / "cache", "tiny", 8))
    [name] = arrays(tmp_path / "cache")
    (tmp_path / "cache" / name).write_bytes(damage((tmp_path / "cache" / name).read_bytes()))
    np.testing.assert_array_equal(cached_images(paths, tmp_path / "cache", "tiny", 8), expected)
    assert arrays(tmp_path / "cache") == [name]


def test_a_broken_image_among_many_is_named_and_nothing_is_left(tmp_path):
    paths = tree(tmp_path / "in") * 100  # enough for several processes
    broken = save(tmp_path / "in" / "broken.jpg", colours(64, 64))
    broken.write_bytes(broken.read_bytes()[:800])
    with pytest.raises(UserError, match="in/broken.jpg") as caught:
        cached_images([*paths, broken], tmp_path / "cache", "tiny", 8)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "cache").exists()


def test_many_images_are_the_same_by_several_processes(tmp_path):
    paths = tree(tmp_path / "in", 5) * 60
    array = cached_images(paths, tmp_path / "cache", "tiny", 8)
    expected = np.stack([colours(8, 8, seed=seed) for seed in range(5)] * 60)
    np.testing.assert_array_equal(array, expected)


def test_no_process_that_decodes_holds_the_paths_of_all_images(tmp_path, monkeypatch):
    """Those of ten million images take gigabytes."""
    paths, sent = tree(tmp_path / "in", 100), []

    def note(function, *arguments, **options):
        sent.append(len(pickle.dumps(function)))
        return map_indices(function, *arguments, **options)

    for module in (cache, decoding):
        monkeypatch.setattr(module, "map_indices", note)
    cached_images(paths, tmp_path / "cache", "tiny", 8, skip_broken=True)
    decoding.ImagesOnDemand(paths, 8).check("tiny")
    assert len(sent) == 3 and max(sent) < 1000


def test_a_missing_image_is_named_before_the_work_begins(tmp_path):
    with pytest.raises(UserError, match="gone.png"):
        cached_images([*tree(tmp_path / "in"), tmp_path / "in" / "gone.png"], tmp_path / "cache", "tiny", 8)
    assert not (tmp_path / "cache").exists()


def test_no_image_at_all(tmp_path):
    with pytest.raises(UserError, match="no image file for tiny"):
        cached_images([], tmp_path / "cache", "tiny", 8)


def test_a_full_disk_is_noticed_before_the_work_begins(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(100, 50, 50))
    with pytest.raises(UserError, match="are free"):
        cached_images(tree(tmp_path / "in"), tmp_path / "cache", "tiny", 8)
    assert not (tmp_path / "cache").exists()


def build(paths, folder, answers):
    original, decoded = cache.decode_image, []

    def note_and_decode(path, **settings):
        decoded.append(path)
        time.sleep(0.2)  # so that the other one comes in the meantime
        return original(path, **settings)

    cache.decode_image = note_and_decode
    answers.put((np.array(cached_images(paths, folder, "tiny", 8)), len(decoded)))


def test_of_several_processes_one_builds_the_array(tmp_path):
    paths = tree(tmp_path / "in")
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    processes = [context.Process(target=build, args=(paths, tmp_path / "cache", answers)) for _ in range(3)]
    for process in processes:
        process.start()
    found = [answers.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    expected = np.stack([colours(8, 8, seed=seed) for seed in range(3)])
    for array, _ in found:
        np.testing.assert_array_equal(array, expected)
    assert sorted(decoded for _, decoded in found) == [0, 0, 3]
    assert len(os.listdir(tmp_path / "cache")) == 2  # the array and its manifest: no lock, nothing half-written


# ------------------------------------------------------------------------------------------------ what cannot be read


def break_file(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def test_all_images_of_a_sound_set_are_readable(tmp_path, caplog, no_decoding):
    paths = tree(tmp_path / "in")
    with caplog.at_level("INFO"):
        assert readable_rows(paths, tmp_path / "cache", "tiny").tolist() == [0, 1, 2]
        no_decoding()
        assert readable_rows(paths, tmp_path / "cache", "tiny").tolist() == [0, 1, 2]
    assert "skipped" not in caplog.text


@pytest.mark.parametrize("count", [12, 300])
def test_what_cannot_be_read_is_left_out_and_counted(tmp_path, caplog, count):
    """By one process and by several, at the first use and at the second."""
    paths = tree(tmp_path / "in", count)
    for row in (1, 4, 5, 7):
        break_file(paths[row])
    paths[9].unlink()
    expected = [row for row in range(count) if row not in (1, 4, 5, 7, 9)]
    for _ in range(2):
        caplog.clear()
        with caplog.at_level("INFO"):
            rows = readable_rows(paths, tmp_path / "cache", "tiny")
        assert rows.tolist() == expected
        [line] = [record.getMessage() for record in caplog.records if "skipped" in record.getMessage()]
        assert line.startswith(f"skipped 5 of the {count} files for tiny")
        assert line.endswith(": 1.png, 4.png, 5.png and 2 more")
    array = cached_images([paths[row] for row in rows], tmp_path / "cache", "tiny", 8)
    np.testing.assert_array_equal(array, np.stack([colours(8, 8, seed=row) for row in expected]))


def test_a_mended_image_is_seen(tmp_path):
    paths = tree(tmp_path / "in")
    break_file(paths[1])
    assert readable_rows(paths, tmp_path / "cache", "tiny").tolist() == [0, 2]
    save(paths[1], colours(8, 8, seed=1))
    assert readable_rows(paths, tmp_path / "cache", "tiny").tolist() == [0, 1, 2]
    paths[2].unlink()
    assert readable_rows(paths, tmp_path / "cache", "tiny").tolist() == [0, 1]
    save(paths[2], colours(8, 8, seed=2))
    assert readable_rows(paths, tmp_path / "cache", "tiny").tolist() == [0, 1, 2]


def test_a_set_that_was_built_with_skipping_is_not_taken_for_a_whole_one(tmp_path):
    paths = tree(tmp_path / "in")
    break_file(paths[1])
    rows = readable_rows(paths, tmp_path / "cache", "tiny")
    assert len(cached_images([paths[row] for row in rows], tmp_path / "cache", "tiny", 8)) == 2
    with pytest.raises(UserError, match="in/1.png"):
        cached_images(paths, tmp_path / "cache", "tiny", 8)


def test_images_that_do_not_fit_are_left_out(tmp_path):
    paths = tree(tmp_path / "in")
    save(paths[0], colours(8, 9))
    assert readable_rows(paths, tmp_path / "cache", "tiny", stored=(8, 8)).tolist() == [1, 2]
    assert readable_rows(paths, tmp_path / "cache", "tiny", box=(0, 0, 9, 8)).tolist() == [0]
    assert readable_rows(paths, tmp_path / "cache", "tiny").tolist() == [0, 1, 2]


def test_no_image_that_can_be_read(tmp_path):
    paths = tree(tmp_path / "in")
    for path in paths:
        break_file(path)
    with pytest.raises(UserError, match="would skip 3 of the 3 files for tiny, which cannot be read: 0.png") as caught:
        readable_rows(paths, tmp_path / "cache", "tiny")
    assert "\n" not in str(caught.value)


def test_an_interrupted_check_is_begun_anew(tmp_path, monkeypatch):
    paths = tree(tmp_path / "in")
    break_file(paths[0])

    def interrupt(path, *settings, **more):
        if path == paths[2]:
            raise Interruption
        return decode_image(path, *settings, **more)

    with monkeypatch.context() as patch:
        patch.setattr(cache, "decode_image", interrupt)
        with pytest.raises(Interruption):
            readable_rows(paths, tmp_path / "cache", "tiny")
    assert readable_rows(paths, tmp_path / "cache", "tiny").tolist() == [1, 2]
