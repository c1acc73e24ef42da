"""Image files in graph operations against Pillow, and against geometry worked by hand."""

import functools
import io
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from data.transforms import image

STRINGS = tf.TensorSpec([None], tf.string)
SIZE = 24
DECODE = {
    fit: tf.function(lambda contents, fit=fit: image.decode(contents, SIZE, fit), [STRINGS], autograph=False)
    for fit in image.FITS
}
views = tf.function(image.views, autograph=False)

DOWN, RIGHT = np.mgrid[0:40, 0:60]
COLOURS = np.stack([RIGHT * 4, DOWN * 6, (DOWN + RIGHT) * 2], axis=-1).astype("uint8")  # (40, 60, 3), no symmetry
PICTURE = Image.fromarray(COLOURS)
TRANSPARENT = Image.fromarray(np.dstack([COLOURS, RIGHT * 4]).astype("uint8"))
LEVELS = Image.fromarray(COLOURS[:, :, 0])


def file(picture, form, **options):
    made = io.BytesIO()
    picture.save(made, form, **options)
    return made.getvalue()


def changed(contents, at, some):
    return contents[:at] + some + contents[at + len(some) :]


KINDS = {
    "JPEG": file(PICTURE, "JPEG"),
    "progressive JPEG": file(PICTURE, "JPEG", progressive=True),
    "grey JPEG": file(LEVELS, "JPEG"),
    "CMYK JPEG": file(PICTURE.convert("CMYK"), "JPEG"),
    "PNG": file(PICTURE, "PNG"),
    "grey PNG": file(LEVELS, "PNG"),
    "PNG of 1 bit": file(LEVELS.convert("1"), "PNG"),
    "PNG of 2 bits with a palette": file(PICTURE.convert("P", palette=1, colors=4), "PNG", bits=2),
    "PNG with alpha": file(TRANSPARENT, "PNG"),
    "grey PNG with alpha": file(TRANSPARENT.convert("LA"), "PNG"),
    "PNG with one transparent colour": file(PICTURE.convert("P"), "PNG", transparency=40),
    "GIF": file(PICTURE, "GIF"),
    "animated GIF": file(PICTURE, "GIF", save_all=True, append_images=[PICTURE.rotate(180)]),
    "BMP": file(PICTURE, "BMP"),
    "grey BMP": file(LEVELS, "BMP"),
    "BMP with a palette": file(PICTURE.convert("P"), "BMP"),
    "BMP of 32 bits": file(PICTURE.convert("RGBA"), "BMP"),
}


def on_white(contents):
    """Pillow's reading, `(height, width, 3)`."""
    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(contents))).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def squeezed(contents):
    return np.asarray(on_white(contents).resize((SIZE, SIZE), Image.BILINEAR), int)


def test_a_batch_of_every_kind_of_file_is_what_pillow_reads():
    found = DECODE["squeeze"](list(KINDS.values())).numpy().astype(int)
    assert found.shape == (len(KINDS), SIZE, SIZE, 3)
    for name, contents, one in zip(KINDS, KINDS.values(), found, strict=True):
        assert abs(one - squeezed(contents)).max() <= 1, name


OTHER_BITMAPS = [  # of OS/2, compressed, and with colours in an order of their own
    changed(KINDS["BMP"], 14, b"\x0c"),
    changed(KINDS["grey BMP"], 30, b"\x01"),
    changed(KINDS["BMP of 32 bits"], 30, b"\x03"),
]


@pytest.mark.parametrize("name", KINDS)
def test_the_size_of_every_kind_of_file_is_told(name):
    assert image.check(KINDS[name]) == (60, 40)


def test_of_16_bits_the_upper_8_are_kept():
    values = (RIGHT * 1000).astype("uint16")
    contents = file(Image.fromarray(values), "PNG")
    upper = file(Image.fromarray((values >> 8).astype("uint8")), "PNG")
    assert (DECODE["squeeze"]([contents]).numpy() == DECODE["squeeze"]([upper]).numpy()).all()
    assert image.check(contents) == (60, 40)


def exif(orientation, order, before=b"", long=False):
    """A segment APP1 with two other tags around the orientation."""
    number = lambda value, count: value.to_bytes(count, order)
    value = number(orientation, 4) if long else number(orientation, 2) + bytes(2)
    entries = [
        number(0x010F, 2) + number(2, 2) + number(2, 4) + b"a\0\0\0",
        number(0x0112, 2) + number(4 if long else 3, 2) + number(1, 4) + value,
        number(0x0128, 2) + number(3, 2) + number(1, 4) + number(2, 2) + bytes(2),
    ]
    head = (b"II" if order == "little" else b"MM") + number(42, 2) + number(8 + len(before), 4) + before
    body = b"Exif\0\0" + head + number(len(entries), 2) + b"".join(entries) + bytes(4)
    return b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body


def with_chunk(contents, body):
    """A PNG with the EXIF data of `exif`, without the name that they have in JPEG, behind its header."""
    length, chunk = (len(body) - 10).to_bytes(4, "big"), b"eXIf" + body[10:]
    return contents[:33] + length + chunk + zlib.crc32(chunk).to_bytes(4, "big") + contents[33:]


def with_segments(*segments):
    contents = KINDS["JPEG"]
    after = 4 + int.from_bytes(contents[4:6], "big")  # after APP0, which JFIF wants first
    return contents[:after] + b"".join(segments) + contents[after:]


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("place", [with_segments, functools.partial(with_chunk, KINDS["PNG"])], ids=["JPEG", "PNG"])
def test_all_orientations_stand_upright_as_in_pillow(place, order):
    files = [place(exif(number, order)) for number in range(1, 9)]
    found = DECODE["squeeze"](files).numpy().astype(int)
    for number, contents, one in zip(range(1, 9), files, found, strict=True):
        assert abs(one - squeezed(contents)).max() <= 1, number
        assert image.check(contents) == ((60, 40) if number < 5 else (40, 60))
    assert len({one.tobytes() for one in found}) == 8  # so that each is told from each


@pytest.mark.parametrize(
    "segments, upright",
    [
        ([b"\xff\xe1\x00\x0ahttp://x", exif(6, "big")], False),  # another APP1 before
        ([b"\xff\xff\xff" + exif(6, "little", before=bytes(30))], False),  # fill bytes; a directory further behind
        ([exif(6, "little", long=True)], False),
        ([exif(0, "big")], True),  # no such orientation
        ([exif(9, "big")], True),
        ([b"\xff\xe1\x00\x10Exif\0\0II*\0\xff\xff\xff\x7f"], True),  # a directory behind the end
        ([b"\xff\xe1\x00\x08Exif\0\0"], True),
        ([b"\xff\xed" + exif(6, "big")[2:]], True),  # not of APP1
    ],
)
def test_odd_exif_data_is_read_or_passed_over(segments, upright):
    assert image.check(with_segments(*segments)) == ((60, 40) if upright else (40, 60))


def test_a_png_file_whose_chunks_lie_about_their_length_is_damaged():
    for length in (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(4)):
        with pytest.raises(ValueError, match="a PNG image of .* that is cut off or damaged"):
            image.check(changed(KINDS["PNG"], 33, length))


@pytest.mark.parametrize("orientation", [1, 6])
def test_padding_keeps_the_aspect_ratio(orientation):
    found = DECODE["pad"]([with_segments(exif(orientation, "big"))])[0].numpy()
    found = found if orientation == 1 else found.transpose(1, 0, 2)
    assert (found[:4] == image.GREY).all() and (found[20:] == image.GREY).all()  # 24 x 16 pixels
    inner = np.asarray(on_white(KINDS["JPEG"]).resize((24, 16), Image.BILINEAR), int)
    assert abs(found[4:20] - (inner if orientation == 1 else inner[::-1])).max() <= 1


def test_cropping_cuts_the_centre():
    found = DECODE["crop"]([KINDS["PNG"]])[0].numpy().astype(int)
    expected = PICTURE.resize((SIZE, SIZE), Image.BILINEAR, box=(10, 0, 50, 40))
    inside = np.s_[:, 2:-2]  # Pillow's filter sees nothing outside of its box
    assert abs(found - np.asarray(expected, int))[inside].max() <= 1


def test_a_reduced_image_is_filtered():
    stripes = np.zeros((240, 240, 3), "uint8")
    stripes[:, ::2] = 255
    found = DECODE["pad"]([tf.io.encode_png(stripes).numpy()]).numpy().astype(int)
    assert abs(found - 127.5).max() < 20


@pytest.mark.parametrize("fit", image.FITS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 20_000), (20_000, 1), (2, 20_000)], ids=str)
def test_images_of_one_pixel_and_of_very_many_are_read(shape, fit):
    colour = [10, 200, 90]
    contents = tf.io.encode_png(np.full((*shape, 3), colour, "uint8")).numpy()
    assert image.check(contents) == shape[::-1]
    found = DECODE[fit]([contents])[0].numpy()
    is_colour = (found == colour).all(axis=-1)
    assert (is_colour | (found == image.GREY).all(axis=-1)).all()
    one_line = fit == "pad" and shape != (1, 1)
    assert is_colour.sum() == (SIZE if one_line else SIZE**2)


def test_an_empty_batch_is_decoded():
    assert DECODE["pad"](tf.constant([], tf.string)).shape == (0, SIZE, SIZE, 3)


def test_a_dataset_has_images_of_static_shape():
    contents = tf.data.Dataset.from_tensor_slices(list(KINDS.values())).batch(4)
    images = contents.map(lambda some: image.decode(some, 8))
    assert images.element_spec.shape == (None, 8, 8, 3) and images.element_spec.dtype == tf.uint8
    assert sum(len(some) for some in images) == len(KINDS)


def test_an_exported_graph_decodes_as_this_process_does(tmp_path):
    module = tf.Module()
    module.decode = DECODE["pad"]
    tf.saved_model.save(module, str(tmp_path))
    contents = [*KINDS.values(), with_segments(exif(7, "big"))]
    expected = np.concatenate([image.decode([one], SIZE) for one in contents])
    found = tf.saved_model.load(str(tmp_path)).decode(tf.constant(contents)).numpy()
    assert (found == expected).all()


@pytest.mark.parametrize(
    "contents, received",
    [
        (b"", "an empty file"),
        (b"RIFF\x24\0\0\0WEBPVP8 ", "a WebP image"),
        (file(PICTURE, "TIFF"), "a TIFF image"),
        (b"<?xml version='1.0'?>\n<svg xmlns='x'></svg>", "an SVG drawing"),
        (b"<!DOCTYPE html><html></html>", "a web page"),
        ("héllo, a caption".encode(), "a text that begins with 'héllo, a caption'"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"\x00\x00\x00\x1cftypheic", "a HEIC image"),
        (b"\x93\x01\x02\xff" * 4, "16 bytes of no known kind"),
        (file(LEVELS.convert("1"), "BMP"), "a BMP image of 1 bits a pixel"),
        *((contents, "a BMP image that is compressed or of another kind") for contents in OTHER_BITMAPS),
    ],
)
def test_other_files_are_named(contents, received):
    with pytest.raises(ValueError, match=f"^{image.EXPECTED}, received {received}"):
        image.check(contents)
    with pytest.raises(tf.errors.InvalidArgumentError):
        DECODE["pad"]([contents])


def test_the_graph_says_which_image_of_a_batch_is_none():
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"image 1 \(counted from 0\)"):
        DECODE["pad"]([KINDS["PNG"], b"none"])


@pytest.mark.parametrize("name", ["JPEG", "progressive JPEG", "CMYK JPEG", "PNG", "GIF", "BMP", "BMP with a palette"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.97])
def test_files_that_are_cut_off_are_refused(name, share):
    contents = KINDS[name][: int(share * len(KINDS[name]))]
    with pytest.raises(ValueError, match=f"a {name.split()[-1] if 'JPEG' in name else name[:3]} image of"):
        image.check(contents)
    with pytest.raises(tf.errors.InvalidArgumentError):
        DECODE["pad"]([contents])


def test_an_image_too_large_to_decode_is_refused():
    contents = KINDS["JPEG"]
    place = contents.index(b"\xff\xc0") + 5  # height and width in the frame's header
    with pytest.raises(ValueError, match=r"30000 x 30000 = 900,000,000$"):
        image.check(contents[:place] + (30_000).to_bytes(2, "big") * 2 + contents[place + 4 :])


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="decode: `size` must be a positive integer. Received: size=0"):
        image.decode([KINDS["PNG"]], 0)
    with pytest.raises(ValueError, match="decode: `fit` must be one of pad, crop, squeeze. Received: fit='stretch'"):
        image.decode([KINDS["PNG"]], 8, "stretch")
    with pytest.raises(ValueError, match="views: `count` must be an integer of 0 or more. Received: count=-1"):
        image.views(np.zeros((1, 4, 4, 3), "uint8"), -1, 0)


SOME = np.random.default_rng(5).integers(0, 256, (3, 20, 20, 3), "uint8")
RAMP = np.broadcast_to(np.arange(100, dtype="uint8")[None, :, None], (100, 100, 3))  # says where a column is from


def test_views_depend_on_the_image_and_the_seed_alone():
    found = views(SOME, 4, 1).numpy()
    assert found.shape == (3, 5, 20, 20, 3) and found.dtype == np.uint8
    assert (found[:, 0] == SOME).all()
    assert (views(SOME[::-1], 4, 1).numpy() == found[::-1]).all()
    assert (views(SOME[1:2], 4, 1).numpy() == found[1:2]).all()
    assert len({view.tobytes() for view in found.reshape(15, -1)}) == 15
    assert not (views(SOME, 4, 2).numpy()[:, 1:] == found[:, 1:]).all(axis=(2, 3, 4)).any()
    assert (views(SOME, 0, 1).numpy()[:, 0] == SOME).all()


def test_views_are_80_to_100_percent_of_the_area_and_half_of_them_mirrored():
    columns = views(RAMP[None], 400, 3).numpy()[0, 1:, 50, :, 0].astype(int)  # (view, column)
    first, last = columns[:, 0], columns[:, -1]
    share = (abs(last - first) / 99) ** 2  # of the area, to a rounding of 1 % of the side
    assert share.min() > 0.78 and share.max() <= 1 and share.min() < 0.83 and share.max() > 0.97
    assert abs(share.mean() - 0.9) < 0.02
    assert 0.4 < (last < first).mean() < 0.6
    left = np.minimum(first, last)
    assert left.min() == 0 and left.max() >= 8


def test_views_are_not_mirrored_where_that_is_said():
    columns = views(RAMP[None], 50, 3, mirror=False).numpy()[0, :, 50, :, 0].astype(int)
    assert (columns[:, -1] > columns[:, 0]).all()


def test_a_view_keeps_the_aspect_ratio():
    rows, columns = np.mgrid[0:100, 0:100].astype("uint8")
    picture = np.stack([rows, columns, rows], axis=-1)
    for view in views(picture[None], 20, 0, mirror=False).numpy()[0, 1:].astype(float):
        height, width = view[-1, 0, 0] - view[0, 0, 0], view[0, -1, 1] - view[0, 0, 1]
        assert abs(height - width) <= 2  # each end is rounded
        np.testing.assert_allclose(view[:, 7, 0], np.linspace(view[0, 7, 0], view[-1, 7, 0], 100), atol=1.01)
