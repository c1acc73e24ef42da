"""Images with captions: a folder of images with a table of captions, the built-in scenes, and public sets by name.

An example is (image, captions), two scalar strings: the bytes of the image's file, and its captions, joined by line
ends. Images are in the order in which the table first names them. Captions are as on disk, except that control
characters, including line ends, become spaces; tabs are kept. Captions without a visible character are left out, and so
are images without a caption and images that are missing or cannot be read.
"""

import functools
import itertools
import os
import pathlib
import re

import tensorflow as tf

from data import public_sets
from data.examples import untuned
from data.files import Form, InputError, kind_of, read_lines
from data.records import read_records
from data.sets import scene_captions, scenes
from data.tables import SUFFIXES, read_table
from data.transforms import image
from data.transforms.words import visible

SPLITS = scenes.SIZES  # images in the built-in set

_CONTROL = r"[\x00-\x08\x0a-\x1f\x7f\x{80}-\x{9f}]"  # Unicode category Cc without the tab
_TOKEN = re.compile(r"([^\t]+)#\d+\t(.*)", re.DOTALL)  # a line of Flickr8k's token file
_SPLITS_OF_KARPATHY = {"train": ("train", "restval"), "validation": ("val",), "test": ("test",)}
_KARPATHYS_SPLITS = tuple(itertools.chain(*_SPLITS_OF_KARPATHY.values()))
_KNOWN = f"a table ({', '.join(SUFFIXES)}), lines as in Flickr8k's token file, or the JSON of Karpathy or of COCO"
_REMEMBERED = 2**18  # images whose check is remembered


def check(path, *, images="", split=None, image_column="image", caption_column="caption", form=None):
    """Reads all captions and images once to check and count them.

    Args:
        path, images, split, image_column, caption_column, form: As for `load`.

    Returns:
        A dictionary of what `load` gives, the number of "images" and of their "captions"; of what it leaves out, the
        names of "missing" images, (name, reason) of each "broken" one, the names of images without a caption
        ("uncaptioned"), and the number of "empty" captions; the number of captions with a "control" character; and the
        words, between spaces, of the "longest" caption.

    Raises:
        InputError: at the first row that cannot be read; if there is no such file, folder, column or split; or if no
            image has both a caption and a file that can be read.

    Example:
        >>> found = check("tests/fixtures/captions.csv")
        >>> found["images"], found["captions"], found["missing"], found["longest"]
        (2, 3, [], 9)
    """
    return _read(path, images, split, image_column, caption_column, form)[0]


def load(path, *, images="", split=None, image_column="image", caption_column="caption", form=None):
    """The images and captions of a table, each image read while it is used.

    Args:
        path: One of these, each also with `.gz`, except Parquet:
            A table, see `data.tables.read_table`, with a column of names of images and one of captions, a row for each
            caption. Other columns do not matter.
            Flickr8k's token file, whatever its suffix: in each line a name, # and a number, a tab, a caption.
            Karpathy's JSON (`.json`): an object whose "images" have "filename", "split" and "sentences", each with
            "raw"; where they have "filepath", it is the folder of the file.
            COCO's JSON (`.json`): an object with "images", each with "id" and "file_name", and "annotations", each with
            "image_id" and "caption".
        images: Folder that the names of images refer to. "" is the folder of `path` or its folder `images`, whichever
            holds the first image that is in one of them.
        split: "train" (with "restval"), "validation" or "test" of Karpathy's JSON; None takes all images.
        image_column, caption_column: Columns or keys of a table.
        form: A `data.files.Form`; None takes the format from the file itself.

    Returns:
        A `tf.data.Dataset` of (image, captions): scalar strings, the bytes of the file and the captions, joined by line
        ends.

    Raises:
        InputError: as `check`. All captions and images are checked before this returns; the check of an image is
            remembered as long as its file does not change.

    Example:
        >>> for contents, captions in load("tests/fixtures/captions.csv").take(1):
        ...     print(contents.numpy()[1:4], captions.numpy().decode().splitlines()[1])
        b'PNG' three small purple diamonds below three small blue circles
    """
    _, files, captions = _read(path, images, split, image_column, caption_column, form)
    return untuned(tf.data.Dataset.from_tensor_slices((files, captions)).map(_opened, num_parallel_calls=2))


@tf.autograph.experimental.do_not_convert
def _opened(file, captions):
    return tf.io.read_file(file), captions


def splits(path, *, form=None):
    """Which of "train", "validation" and "test" a file has: those of Karpathy's JSON, else none.

    Raises:
        InputError: if the file is JSON and cannot be read.

    Example:
        >>> splits("tests/fixtures/captions.csv")
        []
    """
    found = _annotated(path, form or Form())
    if found is None or "annotations" in found:
        return []
    there = [one.get("split") for _, one in _objects(path, found, "images")]
    return [split for split, theirs in _SPLITS_OF_KARPATHY.items() if any(own in there for own in theirs)]


def _read(path, images, split, image_column, caption_column, form):
    """What `check` returns, the files of the images that can be used, and the captions of each, joined."""
    form = form or Form()
    captions, counts = _cleaned(_captions_of(path, split, image_column, caption_column, form))
    folder = _folder(path, images, captions)
    captions = _by_file(captions, folder)
    found = {"images": 0, "captions": 0, "missing": [], "broken": [], "uncaptioned": [], **counts}
    files, joined = [], []
    for file, (name, some) in captions.items():
        if not os.path.isfile(file):
            found["missing"].append(name)
        elif problem := _problem(file, *_version(file)):
            found["broken"].append((name, problem))
        elif not some:
            found["uncaptioned"].append(name)
        else:
            found["images"] += 1
            found["captions"] += len(some)
            files.append(file)
            joined.append("\n".join(some))
    if not files:
        raise InputError(path, f"expected images with captions, received {_reasons(found, folder)}.")
    return found, files, joined


def _by_file(captions, folder):
    """File -> (its first name, the captions of all its names), of name -> captions: "a.jpg" and "./a.jpg" are one."""
    found = {}
    for name, some in captions.items():
        found.setdefault(os.path.abspath(os.path.join(folder, name)), (name, []))[1].extend(some)
    return found


def _reasons(found, folder):
    """Why no image can be used."""
    missing, broken, uncaptioned = (found[kind] for kind in ("missing", "broken", "uncaptioned"))
    reasons = []
    if missing:
        reasons.append(f"{len(missing):,} missing from {folder} ({missing[0]!r} is the first; see --images)")
    if broken:
        name, reason = broken[0]
        reasons.append(f"{len(broken):,} that cannot be read ({name!r}: {reason})")
    if uncaptioned:
        reasons.append(f"{len(uncaptioned):,} without a caption ({uncaptioned[0]!r} is the first)")
    return ", ".join(reasons) or "none"


def _cleaned(pairs):
    """Name -> visible captions without control characters, of (name, caption or None); and the counts of the others."""
    pairs = list(pairs)
    given = tf.constant([caption or "" for _, caption in pairs], tf.string, [len(pairs)])
    plain = tf.strings.regex_replace(given, _CONTROL, " ")
    texts, seen = [text.decode() for text in plain.numpy()], (visible(plain) != "").numpy().tolist()
    captions, counts = {}, {"empty": 0, "control": 0, "longest": 0}
    for (name, caption), text, shown in zip(pairs, texts, seen, strict=True):
        of_image = captions.setdefault(name, [])
        if shown:
            of_image.append(text)
            counts["control"] += text != caption
            counts["longest"] = max(counts["longest"], len(text.split()))
        else:
            counts["empty"] += caption is not None
    return captions, counts


# Images.


def _folder(path, images, names):
    """The folder that the names of images refer to."""
    if images:
        if not os.path.isdir(images):
            received = "a file" if os.path.exists(images) else "a path where there is none"
            raise InputError(images, f"expected the folder of the images of {path}, received {received}.")
        return images
    beside = pathlib.Path(path).parent
    for name in names:
        for folder in (beside, beside / "images"):
            if os.path.isfile(folder / name):
                return str(folder)
    return str(beside)


def _version(file):
    """Changes when a file is written."""
    found = os.stat(file)
    return found.st_size, found.st_mtime_ns


@functools.lru_cache(_REMEMBERED)
def _problem(file, size, written):
    """Why a file of this version is no image that can be read; "" if it is."""
    try:
        image.check(pathlib.Path(file).read_bytes())
    except OSError as error:
        return f"expected a readable file, received: {error.strerror or error}"
    except ValueError as error:
        return str(error)
    return ""


# Captions.


def _captions_of(path, split, image_column, caption_column, form):
    """(name of the image, caption) of each caption of a file; the caption is None of an image without any."""
    if split is not None and split not in _SPLITS_OF_KARPATHY:
        raise ValueError(f"`split` must be one of {', '.join(_SPLITS_OF_KARPATHY)}. Received: split={split!r}.")
    annotated = _annotated(path, form)
    if annotated is not None and "annotations" not in annotated:
        return _karpathy(path, annotated, split)
    if split is not None:
        raise InputError(path, f"expected Karpathy's JSON, whose images have a split, for the split {split!r}.")
    if annotated is not None:
        return _coco(path, annotated)
    if _has_tokens(path, form):
        return _tokens(path, form)
    if kind_of(path) not in SUFFIXES:
        received = kind_of(path) or "no suffix"
        raise InputError(path, f"expected {_KNOWN}, received {received!r}; a table needs the suffix of its format.")
    return _table(path, image_column, caption_column, form)


def _table(path, image_column, caption_column, form):
    if image_column == caption_column:
        expected = f"expected a column of images and one of captions, received {image_column!r} twice"
        raise InputError(path, f"{expected}; name them as in --image-column image --caption-column caption.")
    for frame in read_table(path, [image_column, caption_column], required=[image_column], form=form):
        yield from zip(frame[image_column].str.strip(), frame[caption_column], strict=True)


def _has_tokens(path, form):
    """Whether the first line that is not blank is one of Flickr8k's token file."""
    if kind_of(path) in (".json", ".jsonl", ".ndjson", ".parquet"):
        return False
    first = next((line for _, line in read_lines(path, form.encoding) if line.strip()), "")
    return bool(_TOKEN.fullmatch(first))


def _tokens(path, form):
    for number, line in read_lines(path, form.encoding):
        if line.strip():
            found = _TOKEN.fullmatch(line.rstrip("\r\n"))
            if not found or not found[1].strip():
                expected = "expected the name of an image, # and a number, a tab and a caption, such as a.jpg#0"
                raise InputError(path, f"{expected}, received {line.strip()[:40]!r}.", number)
            yield found[1].strip(), found[2]


def _annotated(path, form):
    """The object of Karpathy's or COCO's JSON; None if the file is something else."""
    if kind_of(path) != ".json":
        return None
    _, first = next(read_records(path, form.encoding), (None, {}))
    return first if isinstance(first.get("images"), list) else None


def _objects(path, parent, key, place=""):
    """(place in the file, object) of each element of a list in a JSON object."""
    found = parent.get(key)
    place = f"{place}{key}"
    if not isinstance(found, list):
        raise InputError(path, f"expected a list {place!r}, received {_short(found)}.")
    for number, one in enumerate(found):
        if not isinstance(one, dict):
            raise InputError(path, f"{place}[{number}]: expected an object, received {_short(one)}.")
        yield f"{place}[{number}]", one


def _value(path, parent, place, key, kinds, optional=False):
    """The value of a key of a JSON object: text, or an identifier."""
    found = parent.get(key)
    if optional and found in (None, ""):
        return ""
    if not isinstance(found, kinds) or isinstance(found, bool) or (key != "caption" and key != "raw" and found == ""):
        kind = "text" if kinds is str else "a number or text"
        raise InputError(path, f"{place}: expected {kind} as {key!r}, received {_short(found)}.")
    return found


def _short(value):
    return "none" if value is None else repr(value)[:40]


def _karpathy(path, annotated, split):
    wanted, there = _SPLITS_OF_KARPATHY.get(split), set()
    for place, one in _objects(path, annotated, "images"):
        name = _value(path, one, place, "filename", str)
        own = _value(path, one, place, "split", str, optional=split is None)
        if split is not None and own not in _KARPATHYS_SPLITS:
            raise InputError(
                path, f"{place}: expected one of {', '.join(_KARPATHYS_SPLITS)} as 'split', received {own!r}."
            )
        there.add(own)
        if wanted is None or own in wanted:
            name = os.path.join(_value(path, one, place, "filepath", str, optional=True), name)
            sentences = [
                _value(path, sentence, where, "raw", str)
                for where, sentence in _objects(path, one, "sentences", f"{place}.")
            ]
            for caption in sentences or [None]:
                yield name, caption
    if wanted is not None and not there & set(wanted):
        raise InputError(
            path, f"expected images of the split {' or '.join(wanted)}, received {', '.join(sorted(there)) or 'none'}."
        )


def _coco(path, annotated):
    names, captions = {}, {}
    for place, one in _objects(path, annotated, "images"):
        key = _value(path, one, place, "id", (int, str))
        if key in names:
            raise InputError(path, f"{place}: expected an 'id' of its own, received {key!r} again.")
        names[key] = _value(path, one, place, "file_name", str)
        captions[key] = []
    for place, one in _objects(path, annotated, "annotations"):
        key = _value(path, one, place, "image_id", (int, str))
        if key not in names:
            raise InputError(path, f"{place}: expected the 'id' of one of the images as 'image_id', received {key!r}.")
        captions[key].append(_value(path, one, place, "caption", str))
    for key, name in names.items():
        for caption in captions[key] or [None]:
            yield name, caption


# The built-in set.


def built_in(split, seed=0):
    """Drawn scenes of coloured shapes, each with five true captions; see `data.sets.scenes`.

    Args:
        split: "train" (10,000 images), "validation" (500) or "test" (500).
        seed: Seed of the generator: another seed gives other scenes.

    Returns:
        A `tf.data.Dataset` of (image, captions): scalar strings, the bytes of a PNG file and five captions, joined by
        line ends; in the order of `scenes.scenes(split, seed)`.

    Raises:
        ValueError: if there is no such split.

    Example:
        >>> for contents, captions in built_in("validation").take(1):
        ...     print(captions.numpy().decode().splitlines()[0])
        three large yellow crosses left of two small blue triangles
    """
    if split not in SPLITS:
        raise ValueError(f"`split` must be one of {', '.join(SPLITS)}. Received: split={split!r}.")
    return tf.data.Dataset.from_tensor_slices(_drawn(split, seed))


@functools.lru_cache(maxsize=6)
def _drawn(split, seed):
    some = scenes.scenes(split, seed)
    return scenes.encoded(some), ["\n".join(scene_captions.captions(scene)) for scene in some]


# Public sets.


def public(name, split, *, data_dir=None):
    """A public set of images with captions of TensorFlow Datasets, downloaded at the first use.

    Args:
        name: Its name there, such as "coco_captions".
        split: One of `public_splits(name)`.
        data_dir: Folder of the data sets; None is `~/tensorflow_datasets`.

    Returns:
        A `tf.data.Dataset` of (image, captions): scalar strings, the bytes of the image's file and its captions, joined
        by line ends; in a fixed order.

    Raises:
        InputError: if there is no such set or split, or it has no images with captions or cannot be downloaded.
    """
    found = public_sets.Public(name, data_dir)
    of_image = found.feature("image", found.is_image)
    wanted = "caption" if "caption" in found.features else "captions"
    of_captions = found.feature(wanted, found.is_captions)
    key = found.key_of_captions(found.features[of_captions])

    @tf.autograph.experimental.do_not_convert
    def example(one):
        captions = tf.reshape(one[of_captions][key] if key else one[of_captions], [-1])
        captions = tf.strings.regex_replace(captions, _CONTROL, " ")
        return one[of_image], tf.strings.reduce_join(tf.boolean_mask(captions, visible(captions) != ""), separator="\n")

    return found.examples(split, encoded=of_image).map(example).filter(lambda _, captions: captions != "")


def public_splits(name, *, data_dir=None):
    """Which of "train", "validation" and "test" a public set has; downloads the set if needed.

    Raises:
        InputError: as `public`.
    """
    return list(public_sets.Public(name, data_dir).splits)
