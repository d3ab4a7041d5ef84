"""Images and labels: every format gives the same pixels, greys by a stated rule, and hostile files one line."""

import gzip
import hashlib
import re
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import spu
from spu.base.errors import InputError
from spu.problems import images as images_file
from spu.problems.images import read_images, read_labels, white_of

EXAMPLES = Path(__file__).parents[2] / "examples"

PIXELS = np.random.default_rng(3).integers(0, 256, size=(6, 3, 4)).astype(np.uint8)
PIXELS[0, 0, 0] = 255
LABELS = np.array([7, 0, 7, 1, 0, 7])


def idx(array, code=0x08):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape) + array.tobytes()


def pngs(folder, pixels=PIXELS, names="{label}_{k}.png"):
    folder.mkdir(exist_ok=True)
    for k, (image, label) in enumerate(zip(pixels, LABELS, strict=True)):
        path = folder / names.format(label=label, k=k)
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    return folder


def refused(path, labels=None, read=read_images):
    with pytest.raises(InputError) as found:
        read(path, labels) if read is read_images else read(path)
    said = str(found.value)
    assert "\n" not in said and said.startswith(str(path))
    return said.removeprefix(f"{path}: ").removeprefix(f"{path}/")


# What is read


@pytest.fixture
def everywhere(tmp_path):
    """The same images in every format, with the arguments that read them."""
    (tmp_path / "images-idx3").write_bytes(idx(PIXELS))
    (tmp_path / "labels-idx1").write_bytes(idx(LABELS.astype(np.uint8)))
    (tmp_path / "images.gz").write_bytes(gzip.compress(idx(PIXELS), mtime=0))
    (tmp_path / "labels.gz").write_bytes(gzip.compress(idx(LABELS.astype(np.uint8)), mtime=0))
    np.save(tmp_path / "images.npy", PIXELS)
    np.save(tmp_path / "labels.npy", LABELS)
    np.savez(tmp_path / "both.npz", images=PIXELS, labels=LABELS)
    np.savez_compressed(tmp_path / "packed.npz", images=PIXELS, labels=LABELS)
    return {
        "idx": ("images-idx3", "labels-idx1"),
        "gz": ("images.gz", "labels.gz"),
        "npy": ("images.npy", "labels.npy"),
        "npz": ("both.npz", None),
        "packed": ("packed.npz", None),
        "mixed": ("images.gz", "both.npz"),
    }


def test_every_format_gives_the_same(everywhere, tmp_path):
    digests = set()
    for images, labels in everywhere.values():
        found = read_images(tmp_path / images, None if labels is None else tmp_path / labels)
        assert np.array_equal(found.pixels, PIXELS / 255) and found.pixels.dtype == np.float64
        assert found.labels.tolist() == LABELS.tolist() and found.white == 255
        digests.add(found.digest)
    assert len(digests) == 1


def test_names_say_labels(tmp_path):
    found = read_images(pngs(tmp_path / "a"))
    order = [1, 4, 3, 0, 2, 5]
    assert found.labels.tolist() == LABELS[order].tolist()
    assert np.array_equal(found.pixels, PIXELS[order] / 255)


def test_sub_folders_are_labels(tmp_path):
    found = read_images(pngs(tmp_path / "a", names="{label}/{k}.png"))
    assert found.labels.tolist() == [0, 0, 1, 7, 7, 7]
    assert np.array_equal(found.of_classes([7]).pixels, PIXELS[LABELS == 7] / 255)
    named = read_images(pngs(tmp_path / "b", names="of {label}/{k}.png"))
    assert named.labels.tolist() == [0, 0, 1, 2, 2, 2] and [named.name(k) for k in range(3)] == ["of 0", "of 1", "of 7"]


def test_digits_alone_number_an_image(tmp_path):
    assert read_images(pngs(tmp_path / "a", names="{k}.png")).labels is None


def test_labels_that_are_given_come_first(tmp_path):
    np.savez(tmp_path / "both.npz", images=PIXELS, labels=LABELS)
    assert read_images(tmp_path / "both.npz", [1] * 6).counts == {1: 6}


@pytest.mark.parametrize(
    ("high", "dtype", "white"),
    [
        (1, np.uint8, 1),
        (1, np.float64, 1),
        (0.3, np.float32, 1),
        (True, np.bool_, 1),
        (15, np.uint8, 16),
        (16, np.float64, 16),
        (17, np.uint8, 255),
        (255, np.int64, 255),
        (256, np.uint16, 65535),
    ],
)
def test_white_is_the_least_that_holds_all(high, dtype, white, tmp_path):
    array = np.zeros((2, 2, 2), dtype=dtype)
    array[1, 1, 1] = high
    assert white_of(array) == white
    np.save(tmp_path / "a.npy", array)
    found = read_images(tmp_path / "a.npy")
    assert found.pixels.max() == float(array.max()) / white and found.to_dict()["white"] == white
    assert f"white {white}" in repr(found)


def test_a_dark_idx_file_stays_dark(tmp_path):
    (tmp_path / "a").write_bytes(idx(np.full((1, 2, 2), 3, dtype=np.uint8)))
    assert read_images(tmp_path / "a").pixels.max() == 3 / 255


@pytest.mark.parametrize(("mode", "white"), [("1", 1), ("L", 255), ("I;16", 65535)])
def test_pngs_of_every_depth(tmp_path, mode, white):
    array = {"1": np.eye(3, dtype=bool), "L": np.eye(3, dtype=np.uint8) * 255}.get(mode)
    array = np.eye(3, dtype=np.uint16) * 65535 if array is None else array
    Image.fromarray(array).save(tmp_path / "a.png")
    found = read_images(tmp_path)
    assert np.array_equal(found.pixels[0], np.eye(3)) and found.white == white


# What they give


def test_classes_are_chosen_in_the_files_order():
    images = spu.Images(pixels=PIXELS / 255, labels=LABELS)
    chosen = images.of_classes([7, 0], each=2)
    assert chosen.labels.tolist() == [7, 0, 7, 0]
    assert np.array_equal(chosen.pixels, PIXELS[[0, 1, 2, 4]] / 255)
    for wanted, said in (
        (lambda: images.of_classes([3]), "no image of class 3: there are 0 1 7"),
        (lambda: images.of_classes([1], each=2), "class 1 has 1 images, and 2 are wanted"),
        (lambda: images.of_classes([0], each=0), "at least 1"),
        (lambda: images.of_classes([]), "no class"),
        (lambda: spu.Images(pixels=PIXELS / 255).of_classes([0]), "no labels"),
    ):
        with pytest.raises(InputError, match=said):
            wanted()


def test_coarser_images_are_means_of_blocks():
    images = spu.Images(pixels=PIXELS[:, :2] / 255, labels=LABELS)
    assert np.allclose(images.coarser(2).pixels[:, 0, 1], images.pixels[:, :, 2:].mean(axis=(1, 2)))
    assert images.coarser(2).shape == (1, 2) and images.coarser(1).digest == images.digest
    with pytest.raises(InputError, match="do not fill 2 x 4"):
        images.coarser(4)


def test_the_digest_sees_pixels_shapes_and_labels():
    def digest(pixels=PIXELS / 255, labels=LABELS):
        return spu.Images(pixels=pixels, labels=labels).digest

    other = PIXELS / 255
    other[5, 2, 3] = np.nextafter(other[5, 2, 3], 0.5)
    assert digest() == digest(labels=list(LABELS))
    turned = [digest(other), digest(labels=None), digest(labels=LABELS + 1), digest((PIXELS / 255).reshape(6, 4, 3))]
    assert len({digest(), *turned}) == 5


def test_pixels_are_not_written_over():
    images = spu.Images(pixels=PIXELS / 255, labels=LABELS)
    with pytest.raises(ValueError, match="read-only"):
        images.pixels[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        images.labels[0] = 0


# What is refused, in one line


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the file is empty"),
        (b"\0", "by its first bytes"),
        (b"\0\0\x08", "is no IDX file"),
        (b"\0\0\x08\x00aaaa", "1 to 4 dimensions"),
        (b"\0\0\x08\x05" + bytes(20), "1 to 4 dimensions"),
        (b"\0\0\x08\x03\0\0", "ends within its header"),
        (idx(PIXELS)[:-1], r"promises \(6, 3, 4\) bytes, and 71 are there"),
        (idx(PIXELS) + b"x", "and 73 are there"),
        (gzip.compress(idx(PIXELS)[:-1], mtime=0), "and only 71 are there"),
        (gzip.compress(idx(PIXELS) + b"x", mtime=0), "and more are there"),
        (gzip.compress(idx(PIXELS), mtime=0)[:-9], "is not a readable gzip file"),
        (b"\x1f\x8b" + bytes(30), "is not a readable gzip file"),
        (struct.pack(">BBBB3I", 0, 0, 8, 3, 2**31, 2**10, 2**10), "at most 100,000,000 in all"),
        (
            gzip.compress(struct.pack(">BBBB3I", 0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1), mtime=0),
            "at most 100,000,000",
        ),
        (struct.pack(">BBBB3I", 0, 0, 8, 3, 60000, 28, 28), "and 0 are there"),
        (struct.pack(">BBBB3I", 0, 0, 8, 3, 0, 28, 28), "none of them 0|none is there"),
        (idx(PIXELS.astype(">i4"), 0x0C), "holds int32: bytes"),
        (idx(PIXELS, 0x77), "unknown type 0x77"),
        (idx(LABELS.astype(np.uint8)), "1 dimensions, as labels have: no images"),
        (idx(PIXELS[:, None]), "4 dimensions: no images"),
        (b"%PDF-1.4 and so on", "by its first bytes: wanted is IDX"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "is one PNG: give the folder"),
        (b"\x93NUMPY\x01\x00" + bytes(20), "is not a readable NumPy file"),
        (b"PK\x03\x04" + bytes(20), "is not a readable NumPy .npz file"),
    ],
)
def test_hostile_files(tmp_path, data, said):
    (tmp_path / "file").write_bytes(data)
    assert re.search(said, refused(tmp_path / "file"))


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"pictures": PIXELS}, "unknown array 'pictures'"),
        ({"labels": LABELS}, "holds labels, and no images"),
        ({"images": PIXELS[0]}, r"of shape \(3, 4\): \(m, h, w\), without colours"),
        ({"images": PIXELS[..., None].repeat(3, -1)}, r"of shape \(6, 3, 4, 3\)"),
        ({"images": PIXELS - 1.0}, "go from -1 to"),
        ({"images": PIXELS * 1e9}, "at most 65535"),
        ({"images": np.where(PIXELS[2, 1, 1] == PIXELS, np.nan, PIXELS)}, "a pixel is NaN"),
        ({"images": np.where(PIXELS[2, 1, 1] == PIXELS, np.inf, PIXELS)}, "to inf"),
        ({"images": PIXELS * 1j}, "type complex128"),
        ({"images": np.full((2, 2, 2), "a")}, "type <U1"),
        ({"images": PIXELS[:0]}, "none is there"),
        ({"images": PIXELS, "labels": LABELS[:5]}, "5 labels for 6 images"),
        ({"images": PIXELS, "labels": LABELS - 1}, "labels go from -1"),
        ({"images": PIXELS, "labels": LABELS / 2}, "whole numbers"),
        ({"images": PIXELS, "labels": LABELS * 10**9}, "999999 are taken"),
        ({"images": PIXELS, "labels": LABELS[None]}, r"shape \(1, 6\)"),
    ],
)
def test_hostile_arrays(tmp_path, arrays, said):
    np.savez(tmp_path / "a.npz", **arrays)
    assert re.search(said, refused(tmp_path / "a.npz"))


def test_pickles_and_bombs_are_left_packed(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.array([{}], dtype=object))
    assert "never loaded" in refused(tmp_path / "a.npz")
    with (
        zipfile.ZipFile(tmp_path / "b.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("images.npy", "w") as file,
    ):
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (2000, 1000, 100)})
        for _ in range(200):
            file.write(bytes(10**6))
    assert "unpacks to more" in refused(tmp_path / "b.npz")


def test_labels_of_another_set(tmp_path):
    np.save(tmp_path / "images.npy", PIXELS)
    np.save(tmp_path / "labels.npy", LABELS[:4])
    assert "4 labels for 6 images" in refused(tmp_path / "images.npy", tmp_path / "labels.npy")
    assert "of shape (6, 3, 4)" in refused(tmp_path / "images.npy", read=read_labels)
    (tmp_path / "images").write_bytes(idx(PIXELS))
    assert "3 dimensions, as images have: no labels" in refused(tmp_path / "images", read=read_labels)
    (tmp_path / "text").write_text("7 0 7 1 0 7")
    assert "holds no labels by its first bytes" in refused(tmp_path / "text", read=read_labels)


def test_no_file_and_no_folder(tmp_path):
    assert refused(tmp_path / "none") == "no such file"
    assert "holds no .png" in refused(tmp_path)
    with pytest.raises(InputError, match=r"no such file|cannot be read"):
        read_images("a\0b")


def spoilt_colour(folder):
    Image.new("RGB", (4, 3)).save(folder / "7_2.png")


def spoilt_transparent(folder):
    Image.new("LA", (4, 3)).save(folder / "7_2.png")


def spoilt_palette(folder):
    Image.new("P", (4, 3)).save(folder / "7_2.png")


def spoilt_size(folder):
    Image.new("L", (3, 4)).save(folder / "7_2.png")


def spoilt_depth(folder):
    Image.fromarray(PIXELS[2].astype(np.uint16)).save(folder / "7_2.png")


def spoilt_truncated(folder):
    path = folder / "7_2.png"
    path.write_bytes(path.read_bytes()[:-30])


def spoilt_animated(folder):
    frames = [Image.fromarray(frame) for frame in PIXELS]
    frames[0].save(folder / "7_2.png", save_all=True, append_images=frames[1:])


def spoilt_other(folder):
    Image.fromarray(PIXELS[2]).save(folder / "7_2.png", format="GIF")


def spoilt_empty(folder):
    (folder / "7_2.png").write_bytes(b"")


def spoilt_name(folder):
    shutil.copy(folder / "7_2.png", folder / "seven.png")


def spoilt_both(folder):
    shutil.copytree(folder, folder.parent / "copy")
    (folder.parent / "copy").rename(folder / "copy")


def spoilt_folder(folder):
    (folder / "7_2.png").unlink()
    (folder / "7_2.png").mkdir()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoilt_colour, "7_2.png: has colours or transparency (mode RGB)"),
        (spoilt_transparent, "7_2.png: has colours or transparency (mode LA)"),
        (spoilt_palette, "7_2.png: has colours or transparency (mode P)"),
        (spoilt_size, "7_2.png: has 4 x 3 pixels, and 0_1.png 3 x 4"),
        (spoilt_depth, "7_2.png: is of mode I;16, and 0_1.png of L"),
        (spoilt_truncated, "7_2.png: is not a readable PNG file"),
        (spoilt_animated, "7_2.png: is animated"),
        (spoilt_other, "7_2.png: is not a readable PNG file"),
        (spoilt_empty, "7_2.png: the file is empty"),
        (spoilt_name, "'seven.png' says no label"),
        (spoilt_both, "holds PNGs and a folder of PNGs, 'copy'"),
        (spoilt_folder, "7_2.png: is a directory, not a file"),
    ],
)
def test_a_folder_with_one_that_does_not_fit(tmp_path, spoil, said):
    folder = pngs(tmp_path / "a")
    spoil(folder)
    assert said in refused(folder)


def test_a_png_that_promises_much(tmp_path, monkeypatch):
    monkeypatch.setattr(images_file, "MAX_ENTRIES", 71)
    assert "6 images of 3 x 4 pixels: at most 71" in refused(pngs(tmp_path / "a")).removeprefix("0_1.png: ")
    monkeypatch.setattr(images_file, "MOST_FILES", 5)
    assert "holds 6 PNGs" in refused(tmp_path / "a")


# What is shipped


@pytest.mark.parametrize("name", ["digits8", "mnist300"])
def test_shipped_images_are_those_that_data_md_says(name):
    said = (EXAMPLES / "DATA.md").read_text()
    file, digest = re.search(rf"`{name}.npz` .*`(\w{{64}})` \| `(\w{{64}})`", said).groups()
    assert hashlib.sha256((EXAMPLES / f"{name}.npz").read_bytes()).hexdigest() == file
    images = read_images(EXAMPLES / f"{name}.npz")
    assert images.digest == digest
    assert set(images.counts) == set(range(10))
    if name == "mnist300":
        assert images.shape == (28, 28) and set(images.counts.values()) == {30}
    else:
        assert images.shape == (8, 8) and len(images) == 1797 and images.white == 16
