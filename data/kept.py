"""Prepared examples, kept so that each is prepared once: in memory, or in files if they are too large for it."""

import contextlib
import json
import math
import mmap
import os
import pathlib
import tempfile
import zlib

import numpy as np
import tensorflow as tf

from data.examples import dense, dense_targets, leaves

MEMORY = 2**29  # bytes held in memory by default, at most
RESIDENT = 2**27  # bytes of files that stay in memory between two batches, about
READ_AROUND = 2**21  # bytes that may be mapped with a byte that is read, at most: a huge page
WHOLE = 2**20  # integers converted to int64 at a time
PLACES, AT_PLACE = 64, 2**18  # of an array of which a checksum is made, and its values at each place, at most


def cached(examples, limit=MEMORY, folder=None, name="train", told=None):
    """`examples`, read once and kept: in memory up to `limit` bytes, beyond that in files in `folder`.

    Files that an earlier call has finished are used again, without reading `examples`. `NAME.json` is written last;
    without it the other files are ignored. The files are for the process that writes them and for the same run when it
    is resumed: for other examples the caller must empty the folder.

    Args:
        examples: Chunks of (features, targets), as `prepared` or `prepared_splits` gives them.
        limit: Bytes that may be held in memory.
        folder: Folder for the files, made if it is needed; None: no files.
        name: Beginning of the files' names.
        told: Called with the number of examples so far, after each chunk; None: nothing is called.

    Returns:
        `Cached`.

    Raises:
        MemoryError: if the examples are larger than `limit` and there is no folder.
        OSError: if the files cannot be written; unfinished ones are removed.
    """
    return Cached(examples, limit, folder, name, told)


class Cached:
    """Prepared examples as arrays, one for each leaf of the features and of the target; it holds all examples.

    Args:
        examples, limit, folder, name, told: See `cached`.

    Attributes:
        lengths: `(examples,)` timesteps of the main sequence, the first among the features; None if there is none.
        target_lengths: `(examples,)` timesteps of the targets; None if they are not sequences.
        one_for_each: Whether each target has as many timesteps as the main sequence of its example.
        dtypes: Dtypes of the arrays that `rows` returns.
    """

    def __init__(self, examples, limit=MEMORY, folder=None, name="train", told=None):
        spec = examples.element_spec
        self.leaves = leaves(spec)
        self.named = isinstance(spec[0], dict)
        place = None if folder is None else _Place(pathlib.Path(folder), name, self.leaves)
        arrays = None if place is None else place.finished()
        arrays = iter(arrays or _read(examples, self.leaves, limit, place, told))
        self.columns = [_Column(next(arrays), next(arrays)[0] if leaf.sequence else None) for leaf in self.leaves]
        *features, target = self.columns
        main = next((column for column in features if column.lengths is not None), None)
        self.lengths = None if main is None else main.lengths
        self.aligned = [_same_lengths(column, main) for column in self.columns]
        self.target_lengths, self.one_for_each = target.lengths, self.aligned[-1]
        self.dtypes = [array.dtype for column in self.columns for array in column.rows(np.arange(0))]

    def __len__(self):
        return len(self.columns[-1])

    def checksums(self):
        """A number for each array of integers and for the targets, by which other examples are noticed.

        Floats among the features are left out: on another machine their last digits may differ. Of very long arrays
        parts are read.
        """
        return [column.checksum() for column in self.columns if column.exact or column is self.columns[-1]]

    def rows(self, rows):
        """NumPy arrays of the examples `rows`; the array of a sequence is followed by its lengths."""
        return [array for column in self.columns for array in column.rows(rows)]

    def batch(self, arrays, timesteps=None):
        """A batch from the arrays of `rows`: `(features, targets)` or `(features, targets, sample weights)`.

        Args:
            arrays: The arrays, as tensors.
            timesteps: Timesteps to pad to, for sequences that are always as long as the main one; each other sequence
                is padded to its longest in the batch. None pads all of them to their longest.
        """
        arrays, values = iter(arrays), []
        for leaf in self.leaves:
            value = tf.cast(tf.ensure_shape(next(arrays), [None, *leaf.shape]), leaf.dtype)
            if leaf.sequence:
                value = tf.RaggedTensor.from_row_lengths(value, tf.ensure_shape(next(arrays), [None]), validate=False)
            values.append(value)
        *features, targets = values
        names = [leaf.name for leaf in self.leaves[:-1]]
        features = dict(zip(names, features, strict=True)) if self.named else features[0]
        common = dict.fromkeys((name for name, same in zip(names, self.aligned, strict=False) if same), timesteps)
        return dense(features, common), *dense_targets(targets, timesteps if self.one_for_each else None)


class _Column:
    """The arrays of one leaf, of all examples.

    Args:
        values: `(values, mapping)`: an array, and the `mmap` that holds it or None.
        lengths: `(examples,)` if the leaf is a sequence: `values` then holds the timesteps of all examples.
    """

    def __init__(self, values, lengths=None):
        self.values, self.mapping = values
        self.lengths = None if lengths is None else lengths.astype("int64")
        self.starts = None if lengths is None else np.cumsum(self.lengths) - self.lengths
        self.touched = 0

    def __len__(self):
        return len(self.values if self.lengths is None else self.lengths)

    @property
    def exact(self):
        return self.values.dtype.kind in "biu"

    def checksum(self):
        """CRC-32 of the lengths, if there are any, and of the values at evenly spaced places."""
        found = 0 if self.lengths is None else zlib.crc32(self.lengths)
        values = self.values.reshape(-1)
        for start in np.unique(np.linspace(0, max(0, len(values) - AT_PLACE), PLACES, dtype="int64")):
            part = values[start : start + AT_PLACE]
            found = zlib.crc32(part.view("uint8"), found)
            self._release(part.nbytes + READ_AROUND)
        return found

    def rows(self, rows):
        if self.lengths is None:
            found = (self.values.take(rows, axis=0),)
        else:
            lengths = self.lengths[rows]
            before = np.cumsum(lengths) - lengths
            places = np.repeat(self.starts[rows] - before, lengths) + np.arange(lengths.sum())
            found = self.values.take(places, axis=0), lengths
        self._release(found[0].nbytes + READ_AROUND * len(rows))
        return found

    def _release(self, read):
        """Releases pages of the file: read pages count as this process's memory until then."""
        if self.mapping is None or len(self.mapping) <= RESIDENT or not hasattr(mmap, "MADV_DONTNEED"):
            return
        self.touched += read
        if self.touched > RESIDENT:
            self.mapping.madvise(mmap.MADV_DONTNEED)
            self.touched = 0


def _same_lengths(column, main):
    """Whether a column always has as many timesteps as the main one; if so, it shares its lengths."""
    if main is None or column.lengths is None or not np.array_equal(column.lengths, main.lengths):
        return False
    column.lengths, column.starts = main.lengths, main.starts
    return True


def _read(examples, leaves, limit, place, told=None):
    """`(array, mapping)` of each leaf's values, and of its lengths if it is a sequence; above `limit` in files."""
    count = 0
    growing = [_Growing(*kind) for leaf in leaves for kind in _arrays_of(leaf)]
    in_files = False
    try:
        for features, targets in examples:
            arrays = []
            for leaf in leaves[:-1]:
                arrays += _arrays(features[leaf.name] if isinstance(features, dict) else features)
            for some, array in zip(growing, arrays + _arrays(targets), strict=True):
                some.append(array.numpy())
            count += len(array)
            if told:
                told(count)
            if in_files or sum(some.nbytes for some in growing) <= limit:
                continue
            if place is None:
                raise MemoryError(
                    f"The prepared examples are larger than the {limit:,} bytes of `limit`: they need a `folder` to "
                    f"write to, or a larger limit. Received: folder=None."
                )
            in_files = True
            place.begin()
            for number, some in enumerate(growing):
                some.move_to(place.path(number))
        found = [some.array() for some in growing]
        if in_files:
            place.finish(growing)
        return found
    except BaseException:
        for some in growing:
            some.remove()
        raise


def _arrays_of(leaf):
    """dtype and shape of each array of a leaf: its values, and if it is a sequence its lengths."""
    values = (leaf.dtype.as_numpy_dtype, leaf.shape)
    return [values, ("int64", ())] if leaf.sequence else [values]


def _arrays(values):
    return [values.flat_values, values.row_lengths()] if isinstance(values, tf.RaggedTensor) else [values]


class _Growing:
    """An array that rows are appended to, in memory and later in a file. int64 is kept as int32 as long as it fits."""

    def __init__(self, dtype, shape):
        self.dtype, self.shape, self.count, self.file = np.dtype(dtype), tuple(shape), 0, None
        self.stored = np.dtype("int32") if self.dtype == "int64" else self.dtype
        self.held = np.empty((0, *self.shape), self.stored)

    @property
    def nbytes(self):
        return self.count * math.prod(self.shape) * self.stored.itemsize

    def append(self, rows):
        if self.stored != self.dtype and rows.size and not -(2**31) <= rows.min() <= rows.max() < 2**31:
            self._widen()
        upto = self.count + len(rows)
        if self.file:
            self._write(rows)
        else:
            if upto > len(self.held):  # in small steps: memory that is allocated too early counts too
                self.held.resize((max(upto, len(self.held) * 9 // 8), *self.shape), refcheck=False)
            self.held[self.count : upto] = rows
        self.count = upto

    def _write(self, rows):
        self.file.write(np.ascontiguousarray(rows, self.stored).reshape(-1).view("uint8"))

    def _widen(self):
        narrow, _ = self.array()
        self.stored = self.dtype
        if not self.file:
            self.held = narrow.astype(self.stored)
            return
        self.file.close()
        wide = self.path.with_suffix(".wide")
        with open(wide, "wb") as self.file:
            for start in range(0, self.count, WHOLE):
                self._write(narrow[start : start + WHOLE])
        os.replace(wide, self.path)
        self.file = self.path.open("ab")

    def move_to(self, path):
        self.path, self.file = path, path.open("wb")
        self._write(self.held[: self.count])
        self.held = None

    def array(self):
        """`(array, mapping)` of the rows so far; the mapping is None if they are in memory."""
        if not self.file:
            self.held.resize((self.count, *self.shape), refcheck=False)
            return self.held, None
        self.file.flush()
        return _mapped(self.path, self.stored, (self.count, *self.shape))

    def remove(self):
        if self.file:
            self.file.close()
            self.path.unlink(missing_ok=True)


def _mapped(path, dtype, shape):
    if not math.prod(shape):  # an empty file cannot be mapped
        return np.empty(shape, dtype), None
    with open(path, "rb") as file:
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(mapping, dtype).reshape(shape), mapping


class _Place:
    """The files of examples: `NAME.0.bin` and so on, an array each, and `NAME.json` with their dtypes and shapes."""

    def __init__(self, folder, name, leaves):
        self.folder, self.name, self.note = folder, name, folder / f"{name}.json"
        self.kinds = [
            {"name": leaf.name, "dtype": np.dtype(dtype).name, "shape": list(shape)}
            for leaf in leaves
            for dtype, shape in _arrays_of(leaf)
        ]

    def path(self, number):
        return self.folder / f"{self.name}.{number}.bin"

    def begin(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.note.unlink(missing_ok=True)

    def finish(self, growing):
        """Writes the note, after all other files are on the disk."""
        for some in growing:
            os.fsync(some.file.fileno())
            some.file.close()
        kept = {"kinds": self.kinds, "arrays": [[some.stored.name, some.count] for some in growing]}
        temporary = self.note.with_suffix(".writing")
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(kept, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.note)

    def finished(self):
        """The arrays as `_read` returns them, if all exist with the expected dtypes and shapes; else None."""
        try:
            kept = json.loads(self.note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if kept["kinds"] != self.kinds:
            return None
        found = []
        for number, ((stored, count), kind) in enumerate(zip(kept["arrays"], self.kinds, strict=True)):
            dtype, shape = np.dtype(tf.as_dtype(stored).as_numpy_dtype), (count, *kind["shape"])
            path = self.path(number)
            if not path.is_file() or path.stat().st_size != math.prod(shape) * dtype.itemsize:
                return None
            found.append(_mapped(path, dtype, shape))
        return found


@contextlib.contextmanager
def temporary():
    """Context with a folder for `cached`, a `pathlib.Path`, which is removed at its end."""
    with tempfile.TemporaryDirectory() as folder:
        yield pathlib.Path(folder)
