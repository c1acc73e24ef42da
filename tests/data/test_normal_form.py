"""Unicode normal form C against Python's own."""

import sys
import unicodedata

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies

from data.transforms.normal_form import _tables, nfc

# Characters that change, compose or stand in between, far more often than by chance.
TROUBLE = (
    "aeoAqs \u0300\u0301\u0302\u0308\u030a\u0323\u0327\u0331\u0338\u0345\u05b0\u05bc\u05d0\u0915\u093c\u0958\u09c7"
)
TROUBLE += (
    "\u09be\u09d7\u0cc6\u0cc2\u0cd5\u0dd9\u0dcf\u0dca\u0f71\u0f72\u0f73\u1100\u1112\u1161\u1175\u11a7\u11a8\u11c2"
)
TROUBLE += "각가힣\u212b\u2126\u2adc\ufb1d\U0001d15e\U0001d165\U0001d16e\U00011131\U00011127\U0002f800ệǭ▁😀"

compiled = tf.function(nfc, input_signature=[tf.TensorSpec([None], tf.string)])


def normalised(texts):
    return [text.decode() for text in compiled(tf.constant([text.encode() for text in texts], tf.string)).numpy()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cafe\u0301", "café"),
        ("a\u0302\u0323", "ậ"),  # marks out of order, composed in two steps
        ("q\u0307\u0323", "q\u0323\u0307"),  # put in order, and no more
        ("a\u0327\u0301", "á\u0327"),  # a mark is passed by
        ("a\u0301\u0301", "á\u0301"),
        ("a\u0315\u0300\u05ae\u0300b", "à\u05ae\u0300\u0315b"),  # the second of a class is blocked
        ("\u1100\u1161\u11a8", "각"),
        ("가\u11a8", "각"),
        ("각\u11a8", "각\u11a8"),
        ("\u1100\u1161\u0301\u11a8", "가\u0301\u11a8"),
        ("\u0958", "\u0915\u093c"),  # excluded from composition
        ("\u212b", "Å"),  # a singleton
        ("\u0344", "\u0308\u0301"),
        ("\u09c7\u0323\u09be", "\u09c7\u0323\u09be"),  # a starter is blocked by a mark
        ("\u0dd9\u0dcf\u0dca", "\u0ddd"),
        ("\u0301a", "\u0301a"),
        ("ﬁ ½", "ﬁ ½"),  # compatibility is not canonical
        ("", ""),
    ],
)
def test_hard_cases_are_as_the_standard_says(text, expected):
    assert normalised([text]) == [expected] == [unicodedata.normalize("NFC", text)]


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(strategies.lists(strategies.text(max_size=12) | strategies.text(TROUBLE, max_size=12), max_size=5))
def test_any_text_becomes_what_python_makes_of_it(texts):
    assert normalised(texts) == [unicodedata.normalize("NFC", text) for text in texts]


def test_every_character_alone_between_letters_and_decomposed_is_right():
    codes = [code for code in range(1, sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    settled = unicodedata.normalize("NFD", "".join(map(chr, codes)))
    whole = [
        f"a{chr(code)}b" for code in codes if code < 0x3000 or 0xA000 <= code < 0x20000 or 0x2F800 <= code < 0x2FA20
    ]
    texts = ["".join(whole[start : start + 500]) for start in range(0, len(whole), 500)]
    texts += [settled[start : start + 1000] for start in range(0, len(settled), 1000)]
    assert normalised(texts) == [unicodedata.normalize("NFC", text) for text in texts]


def test_random_texts_of_troublesome_characters_are_right():
    rng = np.random.default_rng(3)
    texts = ["".join(rng.choice(list(TROUBLE), size=size)) for size in rng.integers(0, 60, size=2000)]
    assert normalised(texts) == [unicodedata.normalize("NFC", text) for text in texts]


def test_malformed_utf8_is_replaced_in_every_text():
    texts = [b"a\xff", b"e\xcc\x81\xe2\x82", b"\xed\xa0\x80", b"fine"]
    found = [text.decode() for text in nfc(texts).numpy()]
    assert found[0] == "a\ufffd" and found[1] == "é\ufffd" and found[3] == "fine"
    assert set(found[2]) == {"\ufffd"}


def test_texts_that_could_not_change_take_the_short_way():
    texts = ["plain, 各 gefüllt\n\t\x00\ufeff😀", "가", "\ufffe\uffff", "ab\u0301", "\u1161", "\u212b", "a\u0323"]
    assert tf.strings.regex_full_match(texts, _tables().settled).numpy().tolist() == [True] * 3 + [False] * 4


def test_thousands_of_marks_are_no_trouble():
    text = "a" + "\u0301\u0323" * 5000
    assert normalised([text, "b"]) == [unicodedata.normalize("NFC", text), "b"]
