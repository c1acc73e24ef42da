"""The bytes of image files to pixels, in graph operations: training and the export use the same code.

Sources: "Exchangeable Image File Format for Digital Still Cameras: Exif Version 2.32", CIPA DC-008, 2019, sections
4.5.2 and 4.6.4 (the segment APP1, and the tag Orientation); ITU-T T.81, 1992, annex B (the segments of a JPEG file);
"Portable Network Graphics (PNG) Specification", third edition, W3C, sections 5.3 and 11.3.4.5 (chunks, and eXIf).
"""

import math

import tensorflow as tf

FITS = ("pad", "crop", "squeeze")
EXPECTED = "expected the bytes of a JPEG, PNG, GIF or BMP image"
GREY = 128  # of padding
SMALLEST_VIEW = 0.8  # share of an image's area
MOST_BYTES = 2**29  # of an image's pixels, three bytes each; TensorFlow's JPEG decoder refuses more

_JPEG, _PNG, _GIF, _BMP = range(4)
_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM")  # in this order
_NAMES = ("JPEG", "PNG", "GIF", "BMP")
# What else is found in folders of images: the place of its mark, the mark, and its name.
_OTHERS = (
    (8, b"WEBP", "a WebP image; save it as JPEG or PNG"),
    (0, b"II*\x00", "a TIFF image; save it as JPEG or PNG"),
    (0, b"MM\x00*", "a TIFF image; save it as JPEG or PNG"),
    (4, b"ftypavif", "an AVIF image; save it as JPEG or PNG"),
    (4, b"ftyp", "a HEIC image or an MP4 film; save it as JPEG or PNG"),
    (0, b"\xff\x0a", "a JPEG XL image; save it as JPEG or PNG"),
    (0, b"\x00\x00\x00\x0cJXL ", "a JPEG XL image; save it as JPEG or PNG"),
    (0, b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image; save it as JPEG or PNG"),
    (0, b"\x00\x00\x01\x00", "an icon (ICO); save it as PNG"),
    (0, b"8BPS", "a Photoshop file; save it as JPEG or PNG"),
    (0, b"%PDF", "a PDF document; save its pages as PNG"),
    (0, b"PK\x03\x04", "a ZIP archive; unpack it"),
    (0, b"\x1f\x8b", "a file packed by gzip; unpack it"),
    (0, b"version https://git-lfs", "a pointer of Git LFS; fetch the file itself by `git lfs pull`"),
)


def decode(contents, size, fit="pad"):
    """Image files to pixels of one size, by a triangle filter as wide as the reduction asks for (antialiasing).

    The image stands upright, by the orientation of its EXIF data (JPEG and PNG). Grey is repeated in all three
    channels, of 16 bits the upper 8 are kept, CMYK is converted, pixels that are partly transparent lie on white (PNG),
    of an animation the first frame is kept. Transparency of GIF and BMP files is not read.

    Args:
        contents: `(batch,)` strings, the bytes of JPEG, PNG, GIF or BMP files.
        size: Height and width of the result in pixels, a positive integer.
        fit: "pad" keeps the aspect ratio and pads with grey at two sides; "crop" keeps it and cuts the centre;
            "squeeze" does not keep it.

    Returns:
        `(batch, size, size, 3)` uint8, RGB.

    Raises:
        ValueError: if `size` or `fit` is not one of these.
        tf.errors.InvalidArgumentError: at bytes that are no such image, also in an exported model.

    Example:
        >>> red = tf.io.encode_png(np.full((1, 2, 3), [255, 0, 0], "uint8"))
        >>> decode(red[None], 4)[0, :, 0].numpy().tolist()
        [[128, 128, 128], [255, 0, 0], [255, 0, 0], [128, 128, 128]]
    """
    if isinstance(size, bool) or not hasattr(size, "__index__") or size < 1:
        raise ValueError(f"decode: `size` must be a positive integer. Received: size={size!r}.")
    if fit not in FITS:
        raise ValueError(f"decode: `fit` must be one of {', '.join(FITS)}. Received: fit={fit!r}.")
    contents = tf.convert_to_tensor(contents, tf.string)
    return tf.map_fn(
        lambda one: _decoded(*one, int(size), fit),
        (contents, tf.range(tf.shape(contents)[0])),
        fn_output_signature=tf.TensorSpec([size, size, 3], tf.uint8),
    )


def check(contents):
    """Size of one image, whose pixels are decoded to see that the file is whole; in Python, not in a graph.

    Args:
        contents: The bytes of a file.

    Returns:
        `(width, height)` in pixels, of the upright image.

    Raises:
        ValueError: if the bytes are not those of a whole JPEG, PNG, GIF or BMP image; the message says what they are.

    Example:
        >>> check(tf.io.encode_png(np.zeros((3, 5, 1), "uint8")).numpy())
        (5, 3)
        >>> check(b"<svg/>")
        Traceback (most recent call last):
            ...
        ValueError: expected the bytes of a JPEG, PNG, GIF or BMP image, received an SVG drawing; save it as PNG
    """
    kind = next((number for number, mark in enumerate(_BEGINNINGS) if contents.startswith(mark)), None)
    if kind is None:
        raise ValueError(f"{EXPECTED}, received {_other(contents)}")
    if kind == _BMP and (bits := int.from_bytes(contents[28:30], "little")) not in (8, 24, 32):
        raise ValueError(f"{EXPECTED}, received a BMP image of {bits} bits a pixel, where 8, 24 and 32 can be read")
    if kind == _BMP and not _is_plain(contents):
        raise ValueError(f"{EXPECTED}, received a BMP image that is compressed or of another kind; save it as PNG")
    try:
        height, width = _EXAMINE[kind](contents)[0].numpy().tolist()
    except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
        received = f"a {_NAMES[kind]} image of {len(contents)} bytes that is cut off or damaged"
        raise ValueError(f"{EXPECTED}, received {received}") from None
    if 3 * height * width >= MOST_BYTES:
        raise ValueError(
            f"{EXPECTED} of at most {MOST_BYTES // 3:,} pixels, received {width} x {height} = {width * height:,}"
        )
    return width, height


def views(images, count, seed, mirror=True):
    """Images and random views of them: a part of 80 to 100 % of the area, enlarged, and every second one mirrored.

    A view depends on the image, its number and the seed, not on the other images of a batch.

    Args:
        images: `(batch, height, width, 3)` uint8.
        count: Number of views, an integer of 0 or more.
        seed: An integer, or a scalar integer tensor.
        mirror: Whether a view may be mirrored; not where captions say left and right.

    Returns:
        `(batch, 1 + count, height, width, 3)` uint8: the image itself, then its views.

    Raises:
        ValueError: if `count` is not an integer of 0 or more.

    Example:
        >>> views(np.zeros((2, 4, 4, 3), "uint8"), count=3, seed=0).shape
        TensorShape([2, 4, 4, 4, 3])
    """
    if isinstance(count, bool) or not hasattr(count, "__index__") or count < 0:
        raise ValueError(f"views: `count` must be an integer of 0 or more. Received: count={count!r}.")
    images = tf.convert_to_tensor(images, tf.uint8)
    if count == 0:
        return images[:, None]
    height, width = images.shape[1:3]
    seed = tf.cast(seed, tf.int32)
    uniform = tf.map_fn(
        lambda key: tf.random.stateless_uniform([count, 4], tf.stack([seed, key])),
        _fingerprints(images),
        fn_output_signature=tf.TensorSpec([count, 4], tf.float32),
    )
    area, down, right, side = tf.unstack(tf.reshape(uniform, [-1, 4]), axis=1)  # (batch * count,) each
    length = tf.sqrt(1 - (1 - SMALLEST_VIEW) * area)  # share of the height, and of the width
    top, left = down * (1 - length), right * (1 - length)
    ends = tf.stack([left, left + length])
    if mirror:
        ends = tf.where(side < 0.5, ends[::-1], ends)  # a box from right to left is mirrored
    boxes = tf.stack([top, ends[0], top + length, ends[1]], axis=1)
    places = tf.repeat(tf.range(tf.shape(images)[0]), count)
    found = tf.image.crop_and_resize(images, boxes, places, [height, width])
    found = tf.reshape(_bytes_of(found), [-1, count, height, width, 3])
    return tf.concat([images[:, None], found], axis=1)


def _decoded(contents, place, size, fit):
    """One image, `(size, size, 3)`; `place` is its number in the batch."""
    found = tf.stack([_begins(contents, mark) for mark in _BEGINNINGS])
    # Without quotation marks, which the assertion would escape.
    message = tf.strings.join([f"{EXPECTED}, received other bytes: image ", tf.strings.as_string(place)])
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_any(found), [message + " (counted from 0)"])]):
        kind = tf.argmax(found, output_type=tf.int32)
    image = tf.switch_case(kind, [lambda read=read: read(contents) for read in _READ])
    start = tf.switch_case(kind, [lambda exif=exif: exif(contents) for exif in _EXIF], default=lambda: tf.constant(0))
    return _fitted(image, _orientation(contents, start), size, fit)


def _begins(contents, mark):
    return tf.strings.substr(contents, 0, len(mark)) == mark


def _jpeg(contents, ratio=1):
    return tf.io.decode_jpeg(contents, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE")


def _png(contents):
    """On white where it is transparent."""
    colours, alpha = tf.split(tf.cast(tf.io.decode_png(contents, channels=4), tf.int32), [3, 1], axis=2)
    # In files of 1, 2 or 4 bits without transparency TensorFlow's alpha is the largest number of so many bits.
    depth = _bytes(contents, 24, 1)[0]
    opaque = (depth < 8) & tf.reduce_all(alpha == tf.bitwise.left_shift(1, depth) - 1)
    alpha = tf.where(opaque, 255, alpha)
    return tf.cast((colours * alpha + 255 * (255 - alpha) + 127) // 255, tf.uint8)


def _gif(contents):
    return tf.io.decode_image(contents, channels=3, expand_animations=False)


def _bmp(contents):
    """TensorFlow takes the numbers of colours, in files of 8 bits a pixel, for levels of grey."""
    with tf.control_dependencies([tf.debugging.Assert(_is_plain(contents), [EXPECTED + " that is not compressed"])]):
        image = tf.io.decode_image(contents, channels=3, expand_animations=False)
    header = _number(_bytes(contents, 14, 4), little=True)
    bits = _number(_bytes(contents, 28, 2), little=True)

    def from_palette():
        palette = tf.reshape(_bytes(contents, 14 + header, 4 * 256), [256, 4])  # blue, green, red, unused
        return tf.cast(tf.gather(palette[:, 2::-1], tf.cast(image[:, :, 0], tf.int32)), tf.uint8)

    return tf.cond(bits == 8, from_palette, lambda: image)


def _is_plain(contents):
    """Whether a BMP file is one that TensorFlow reads rightly: not of OS/2, not compressed, blue, green, red."""
    header, packed = (_number(_bytes(contents, start, 4), little=True) for start in (14, 30))
    return (header >= 40) & ((packed == 0) | (packed == 3) & tf.reduce_all(_bytes(contents, 54, 12) == _MASKS))


_MASKS = tuple(bytes.fromhex("0000ff00 00ff0000 ff000000"))  # of red, green and blue, in a file that names them


_READ = (_jpeg, _png, _gif, _bmp)


def _fitted(image, orientation, size, fit):
    """`(height, width, 3)` as stored to `(size, size, 3)` upright.

    What is small is turned: scaling a turned image is turning a scaled one, as `size` is that of both sides.
    """
    lengths = tf.cast(tf.shape(image)[:2], tf.float32)  # height and width
    if fit == "pad":
        target = tf.maximum(tf.round(lengths * (size / tf.reduce_max(lengths))), 1)
        scale, first = target / lengths, tf.zeros(2)
    else:
        target = tf.constant([size, size], tf.float32)
        scale = target / (lengths if fit == "squeeze" else tf.reduce_min(lengths))
        first = (target - lengths * scale) / 2  # where the image's corner comes to lie: at 0 or before
    image = tf.raw_ops.ScaleAndTranslate(
        images=image[None],
        size=tf.cast(target, tf.int32),
        scale=scale,
        translation=first,
        kernel_type="triangle",
        antialias=True,
    )[0]
    image = _upright(_bytes_of(image), orientation)
    if fit == "pad":
        before = (size - tf.shape(image)[:2]) // 2
        after = size - tf.shape(image)[:2] - before
        paddings = tf.concat([tf.stack([before, after], axis=1), [[0, 0]]], axis=0)
        image = tf.pad(image, paddings, constant_values=tf.constant(GREY, tf.uint8))
    return tf.ensure_shape(image, [size, size, 3])


def _upright(image, orientation):
    """The image as it is to be seen: orientations 5 to 8 have rows and columns exchanged."""
    image = tf.cond(orientation >= 5, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    mirrored = tf.reduce_any(orientation == [2, 3, 6, 7])
    upside_down = tf.reduce_any(orientation == [3, 4, 7, 8])
    image = tf.cond(mirrored, lambda: image[:, ::-1], lambda: image)
    return tf.cond(upside_down, lambda: image[::-1], lambda: image)


def _orientation(contents, start):
    """The orientation in the EXIF data that starts there, 1 to 8; 1 where there is none, or a damaged one."""
    return tf.cond(start > 0, lambda: _tag(contents, start), lambda: tf.constant(1))


def _tag(contents, start):
    """The orientation in EXIF data that starts there: a header, and a directory of entries of 12 bytes."""
    head = _bytes(contents, start, 8)  # byte order twice, 42, and where the first directory is
    little = head[0] == ord("I")
    directory = start + _number(head[4:], little)
    count = _number(_bytes(contents, directory, 2), little)
    entries = tf.reshape(_bytes(contents, directory + 2, 12 * (count + 1)), [-1, 12])[:count]
    tag, kind = _number(entries[:, :2], little), _number(entries[:, 2:4], little)
    value = tf.where(kind == 3, _number(entries[:, 8:10], little), _number(entries[:, 8:], little))  # 3: of 16 bits
    found = tf.reduce_max(tf.concat([[0], tf.where(tag == 0x0112, value, 0)], axis=0))
    return tf.where((found >= 1) & (found <= 8), found, 1)


def _exif_of_jpeg(contents):
    """Where the EXIF data of a JPEG starts, behind the name of its segment; 0 if there is none."""
    length = tf.strings.length(contents)

    def search(place, start):
        head = _bytes(contents, place, 10)  # 255, marker, length of the segment 2, name
        marker, segment = head[1], _number(head[2:4], little=False)
        named = (marker == 0xE1) & tf.reduce_all(head[4:] == list(b"Exif\0\0"))
        over = (head[0] != 0xFF) | (marker == 0xDA) | (marker == 0xD9)  # pixels follow, or nothing
        alone = (marker == 0x01) | ((marker >= 0xD0) & (marker <= 0xD8))  # a marker without a segment
        step = tf.where(marker == 0xFF, 1, tf.where(alone, 2, 2 + segment))  # any number of bytes 255 may stand before
        return tf.where(over, length, place + step), tf.where(named & ~over, place + 10, start)

    return tf.while_loop(lambda place, start: (start == 0) & (place < length), search, (2, 0))[1]


def _exif_of_png(contents):
    """Where the EXIF data of a PNG starts, in the chunk of that name before the pixels; 0 if there is none."""
    length = tf.strings.length(contents)

    def search(place, start):
        head = _bytes(contents, place, 8)  # length of the chunk's data, name; a checksum of 4 bytes follows the data
        named, over = (tf.reduce_all(head[4:] == list(name)) for name in (b"eXIf", b"IDAT"))
        behind = place + 12 + _number(head[:4], little=False)
        return tf.where(over | (behind < place), length, behind), tf.where(named, place + 8, start)

    return tf.while_loop(lambda place, start: (start == 0) & (place < length), search, (8, 0))[1]


_EXIF = (_exif_of_jpeg, _exif_of_png)  # of JPEG and PNG


def _bytes(contents, start, count):
    """`(count,)` int32, with 0 for bytes behind the end."""
    length = tf.strings.length(contents)
    part = tf.strings.substr(contents, tf.clip_by_value(start, 0, length), count)
    return tf.cast(tf.io.decode_raw(part, tf.uint8, fixed_length=count), tf.int32)


def _number(bytes_, little):
    """`(..., count)` bytes to `(...)` int32."""
    bytes_ = tf.where(little, bytes_[..., ::-1], bytes_)
    return tf.reduce_sum(bytes_ * [256**power for power in range(bytes_.shape[-1])][::-1], axis=-1)


def _bytes_of(image):
    return tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)


def _fingerprints(images):
    """`(batch,)` int32 from the pixels; sums of integers, which do not depend on the order."""
    count = math.prod(images.shape[1:])
    weights = 2 * tf.random.stateless_uniform([count], [0, 0], minval=None, maxval=None, dtype=tf.int32) + 1
    return tf.reduce_sum(tf.cast(tf.reshape(images, [-1, count]), tf.int32) * weights, axis=1)


def _other(contents):
    """What bytes are that are no image of the four kinds, in words."""
    if not contents:
        return "an empty file"
    for place, mark, name in _OTHERS:
        if contents[place:].startswith(mark):
            return name
    try:
        text = contents[:4096].decode("utf-8", "strict" if len(contents) <= 4096 else "ignore").lstrip("\ufeff \r\n\t")
    except UnicodeDecodeError:
        text = ""
    if "<svg" in text.lower():
        return "an SVG drawing; save it as PNG"
    if text.lower().startswith(("<!doctype html", "<html")):
        return "a web page"
    if text and all(letter.isprintable() or letter.isspace() for letter in text):
        return f"a text that begins with {text[:20]!r}"
    return f"{len(contents)} bytes of no known kind, which begin with {contents[:8]!r}"


def _examined(kind):
    """A graph that decodes an image and returns `[height, width]` upright, and the shape of what it decoded."""

    def examine(contents):
        if kind == _JPEG:
            # An eighth of the pixels needs all of the file too, in half of the time. The shape is returned since a
            # graph drops what nothing depends on.
            decoded = _jpeg(contents, ratio=8)
            lengths = tf.image.extract_jpeg_shape(contents)[:2]
        else:
            decoded = _READ[kind](contents)
            lengths = tf.shape(decoded)[:2]
        if kind < len(_EXIF):
            lengths = tf.where(_orientation(contents, _EXIF[kind](contents)) >= 5, lengths[::-1], lengths)
        return lengths, tf.shape(decoded)

    return tf.function(examine, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)


_EXAMINE = [_examined(kind) for kind in range(len(_NAMES))]
