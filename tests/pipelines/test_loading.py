"""Functions that the tasks share."""

import pytest

from data.files import InputError
from pipelines.engine.loading import check_words


def test_a_vocabulary_without_words_names_the_flag():
    check_words(["a"])
    with pytest.raises(InputError, match="--minimum-count: expected a number of times that some word"):
        check_words([])
