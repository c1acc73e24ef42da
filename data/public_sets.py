"""Data sets of TensorFlow Datasets by name: their splits and features, and their examples in a fixed order."""

import contextlib
import sys

from data.examples import untuned
from data.files import InputError

_ALIKE = {"train": ["train"], "validation": ["validation", "valid", "dev", "val"], "test": ["test"]}


class Public:
    """A public data set on disk; it is downloaded at the first use.

    Args:
        name: Its name in TensorFlow Datasets, such as "imdb_reviews" or "glue/sst2".
        data_dir: Folder of the data sets; None is `~/tensorflow_datasets`.

    Attributes:
        features: Name -> feature, as the library describes them.
        splits: "train", "validation" or "test" -> the library's name of that split; without empty splits.

    Raises:
        InputError: if there is no such set, or it cannot be downloaded.
    """

    def __init__(self, name, data_dir=None):
        import tensorflow_datasets as tfds

        self.name, self.kinds = name, tfds.features
        try:
            self.builder = tfds.builder(name, data_dir=data_dir)
        except Exception as error:  # the library raises many kinds of errors for wrong names
            expected = "expected the name of a set in TensorFlow Datasets"
            raise InputError(name, f"{expected}, received: {_first_line(error)}") from None
        try:
            with contextlib.redirect_stdout(sys.stderr):  # standard output is for answers
                self.builder.download_and_prepare()
        except Exception as error:
            raise InputError(name, f"expected to download it, received: {_first_line(error)}") from None
        self.features = self.builder.info.features
        there = {split for split, info in self.builder.info.splits.items() if info.num_examples}
        self.splits = {
            ours: next(split for split in theirs if split in there)
            for ours, theirs in _ALIKE.items()
            if there & set(theirs)
        }

    def feature(self, wanted, of_kind):
        """`wanted` if a feature has this name, else the name of the only one of its kind; else raises InputError."""
        found = [feature for feature, value in self.features.items() if of_kind(value)]
        if wanted in found:
            return wanted
        if len(found) != 1:
            kind = of_kind.__doc__
            expected = f"expected one {kind} feature, or one called {wanted!r}"
            raise InputError(self.name, f"{expected}; received {', '.join(self.features)}.")
        return found[0]

    # Kinds of features, for `feature`.

    def is_text(self, value):
        """Text"""
        return isinstance(value, self.kinds.Text)

    def is_label(self, value):
        """ClassLabel"""
        return isinstance(value, self.kinds.ClassLabel)

    def is_words(self, value):
        """Sequence(Text)"""
        return isinstance(value, self.kinds.Sequence) and isinstance(value.feature, self.kinds.Text)

    def is_tags(self, value):
        """Sequence(ClassLabel)"""
        return isinstance(value, self.kinds.Sequence) and isinstance(value.feature, self.kinds.ClassLabel)

    def is_translation(self, value):
        """Translation"""
        return isinstance(value, self.kinds.Translation)

    def is_image(self, value):
        """Image"""
        return isinstance(value, self.kinds.Image)

    def is_captions(self, value):
        """Text, Sequence(Text) or Sequence(dictionary with Text)"""
        value = value.feature if isinstance(value, self.kinds.Sequence) else value
        return self._is_string(value) or bool(self.key_of_captions(value))

    def key_of_captions(self, value):
        """Which value of a dictionary, or of a sequence of dictionaries, is the caption; "" if it is no dictionary."""
        value = value.feature if isinstance(value, self.kinds.Sequence) else value
        if not isinstance(value, self.kinds.FeaturesDict):
            return ""
        return next((key for key in ("text", "caption", "raw") if key in value and self._is_string(value[key])), "")

    def _is_string(self, value):
        return isinstance(value, self.kinds.Text) or (value.shape == () and value.np_dtype in (str, object))

    def examples(self, split, encoded=""):
        """A `tf.data.Dataset` of the examples of one of `splits`, in a fixed order.

        Args:
            split: One of `splits`.
            encoded: Name of a feature that is not decoded: the bytes of an image's file; "" decodes all.
        """
        import tensorflow_datasets as tfds

        if split not in self.splits:
            raise InputError(self.name, f"expected one of the splits {', '.join(self.splits)}, received {split!r}.")
        in_order = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False, add_tfds_id=False)
        decoders = {encoded: tfds.decode.SkipDecoding()} if encoded else None
        how = {"shuffle_files": False, "read_config": in_order, "decoders": decoders}
        return untuned(self.builder.as_dataset(self.splits[split], **how))


def _first_line(error):
    return next(iter(str(error).splitlines()), "") or type(error).__name__
