"""Pairs of sentences from files, from TensorFlow Datasets, which is asked offline, and from the grammar."""

import collections
import gzip
import json
import re

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from data.files import Form, InputError
from data.sets import bitext, bitext_grammar

PAIRS = [("Hi.", "Salut !"), ('She said "no".', "Elle a dit « non »."), ("It rains.", "Il pleut.")]


def listed(dataset):
    assert dataset.element_spec == (tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.string))
    return [(source.decode(), target.decode()) for source, target in dataset.as_numpy_iterator()]


def lines(rows, separator="\t"):
    return "".join(separator.join(row) + "\n" for row in rows)


def write(path, text, encoding="utf-8"):
    (gzip.open if path.suffix == ".gz" else open)(path, "wb").write(text.encode(encoding))
    return path


# Files.


def test_tab_separated_pairs_are_cut_at_tabs_and_nothing_else(tmp_path):
    for name in ("a.tsv", "a.txt", "a.tsv.gz"):
        assert listed(bitext.load(write(tmp_path / name, lines(PAIRS)))) == PAIRS
    rows = [(target, "7", source) for source, target in PAIRS]
    path = write(tmp_path / "b.tsv", "\ufeff" + lines(rows).replace("\n", "\r\n"))
    assert listed(bitext.load(path, source="2", target="0")) == PAIRS


def test_tables_give_the_columns_that_are_named(tmp_path):
    frame = pd.DataFrame(PAIRS, columns=["en", "fr"]).assign(id=[1, 2, 3])
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_csv(tmp_path / "a.csv.gz", index=False)
    frame.to_csv(tmp_path / "a.tsv", index=False, sep="\t")
    frame.to_parquet(tmp_path / "a.parquet")
    for name in ("a.jsonl", "a.ndjson"):
        write(tmp_path / name, "".join(json.dumps(row) + "\n" for row in frame.to_dict("records")))
    for name in ("a.csv", "a.csv.gz", "a.tsv", "a.parquet", "a.jsonl", "a.ndjson"):
        assert listed(bitext.load(tmp_path / name, source="en", target="fr")) == PAIRS
    assert listed(bitext.load(tmp_path / "a.csv", source="fr", target="id"))[2] == ("Il pleut.", "3")


def test_parallel_files_are_paired_line_by_line_gzip_or_not(tmp_path):
    english, french = zip(*PAIRS, strict=True)
    write(tmp_path / "train.1.en", lines([[one] for one in english]))
    write(tmp_path / "train.1.fr.gz", lines([[one] for one in french]).rstrip("\n"))
    assert listed(bitext.load(tmp_path / "train.1", source="en", target="fr")) == PAIRS
    assert listed(bitext.load(str(tmp_path / "train.1"), source="fr", target="en"))[0] == ("Salut !", "Hi.")


def test_a_long_file_keeps_its_order_and_long_sentences_their_words(tmp_path):
    pairs = [(f"a {number}", f"b {number}") for number in range(3000)] + [("w " * 10_000, "m " * 20_000)]
    path = write(tmp_path / "a.tsv", lines(pairs))
    assert listed(bitext.load(path)) == pairs
    assert bitext.check(path)["longest"] == 20_000


def test_empty_pairs_are_left_out_and_peculiar_ones_counted(tmp_path):
    one_sided = "h\t \n\x01\ti\n\u200b\xa0\tj\n"
    path = write(tmp_path / "a.tsv", f"\n \t \nnon\tnon \na\x07b\x85c\tb\n\t\ufeff\nNo\x0b\tNon\n{one_sided}d e f\tg\n")
    expected = {"pairs": 4, "empty": 3, "one_sided": 3, "same": 1, "control": 2, "longest": 3}
    assert bitext.check(path) == expected
    assert listed(bitext.load(path)) == [("non", "non "), ("a b c", "b"), ("No ", "Non"), ("d e f", "g")]
    path = write(tmp_path / "b.csv", 'en,fr\n"two\nlines","deux\tmots"\n')
    assert listed(bitext.load(path, source="en", target="fr")) == [("two lines", "deux\tmots")]
    assert bitext.check(path, source="en", target="fr")["control"] == 1


def test_the_fixtures_are_read():
    assert bitext.check("tests/fixtures/pairs.tsv")["pairs"] == 4
    assert listed(bitext.load("tests/fixtures/pairs.tsv"))[2][0] == '"Who is it?" he asked.'
    pairs = listed(bitext.load("tests/fixtures/parallel", source="en", target="fr"))
    assert pairs[-1] == ("Do you want to sing with me?", "Voulez-vous chanter avec moi ?")


@pytest.mark.parametrize(
    "name, text, languages, message",
    [
        ("a.tsv", "a\tb\nc\n", "0 1", r"a.tsv:2: expected a column 1, from 0 and between tabs, received 1 .*'c'"),
        ("a.csv", "en,fr\na,b\n", "0 1", r"a.csv:1: .*one column '0'.*'en', 'fr'; name two of them: --source en"),
        ("a.csv", "en,fr\na\n", "en fr", r"a.csv:2: expected 2 fields"),
        ("a.tsv", "\n\t\n", "0 1", r"a.tsv: expected pairs of sentences, received none"),
        ("a.tsv", "a\t\n\tb\n", "0 1", r"a.tsv: expected pairs of sentences, received 2 with a sentence on one side"),
        ("a.tsv", "", "0 1", r"a.tsv: expected rows, received an empty file"),
        ("a.tsv", "a\tb\n", "0 0", r"a.tsv: expected two languages, received '0' twice; name them as in --source en"),
        ("a.en", "a\n", "en de", r"a.de: expected a file, received a path where there is none"),
        (
            "a.xml",
            "a\n",
            "0 1",
            r"a: expected a table \(.csv, .*\) or the parallel files .*a.0 and .*a.1, received n",
        ),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(tmp_path, name, text, languages, message):
    source, target = languages.split()
    path = write(tmp_path / name, text)
    path = path.with_suffix("") if path.suffix in (".en", ".xml") else path
    for read in (bitext.check, bitext.load):
        with pytest.raises(InputError, match=message):
            read(path, source=source, target=target)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.json", "a.parquet"])
def test_pairs_with_one_side_are_left_out_of_every_kind_of_table(tmp_path, name):
    frame = pd.DataFrame([("a", "b"), ("", "c"), (None, "d"), ("e", "\u200b"), ("f", "g")], columns=["en", "fr"])
    kind, arguments = name.removeprefix("a."), {"index": False} if name == "a.csv" else {}
    if kind.startswith("json"):
        kind, arguments = "json", {"orient": "records", "lines": kind == "jsonl"}
    getattr(frame, f"to_{kind}")(tmp_path / name, **arguments)
    assert listed(bitext.load(tmp_path / name, source="en", target="fr")) == [("a", "b"), ("f", "g")]
    found = bitext.check(tmp_path / name, source="en", target="fr")
    assert (found["pairs"], found["empty"], found["one_sided"]) == (2, 0, 3)


def test_pairs_are_read_in_another_encoding_with_another_separator_and_line_end(tmp_path):
    path = write(tmp_path / "a.txt", "été;summer\rnoël;xmas\r", encoding="cp1252")
    assert listed(bitext.load(path, form=Form("cp1252", ";"))) == [("été", "summer"), ("noël", "xmas")]
    write(tmp_path / "b.fr", "été\nnoël\n", encoding="utf-16"), write(tmp_path / "b.en", "summer\nxmas\n")
    pairs = listed(bitext.load(tmp_path / "b", source="fr", target="en", form=Form("cp1252")))
    assert pairs == [("été", "summer"), ("noël", "xmas")]


def test_parallel_files_that_do_not_fit_are_told_with_both_counts(tmp_path):
    languages = {"source": "en", "target": "de"}
    write(tmp_path / "a.en", "one\ntwo\nthree\n"), write(tmp_path / "a.de", "eins\nzwei\n")
    with pytest.raises(InputError, match=r"a.de: expected 3 lines, as in .*a.en, received 2\."):
        bitext.check(tmp_path / "a", **languages)
    write(tmp_path / "a.de", "eins\nzwei\ndrei\nvier\nfünf")
    with pytest.raises(InputError, match=r"a.de: expected 3 lines, as in .*a.en, received 5\."):
        bitext.check(tmp_path / "a", **languages)
    write(tmp_path / "a.de", "eins\n\ndrei\n")
    assert listed(bitext.load(tmp_path / "a", **languages)) == [("one", "eins"), ("three", "drei")]
    write(tmp_path / "a.de", "eins\nzwei\nfünf\n", encoding="latin-1")
    with pytest.raises(InputError, match="a.de:3: expected UTF-8, received the byte 0xfc"):
        bitext.load(tmp_path / "a", **languages)


# Public sets.


class LittleTalks(tfds.core.GeneratorBasedBuilder):
    """A set to translate from Portuguese to English, as the library's own are described."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.Translation(languages=["pt", "en"])
        return tfds.core.DatasetInfo(builder=self, features=features, supervised_keys=("pt", "en"))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples("Olá", "Sim"), "validation": self._generate_examples("Não", "")}

    def _generate_examples(self, *sentences):
        for number, sentence in enumerate(sentences):
            yield number, {"pt": sentence, "en": f"{sentence}!"}


def test_a_public_set_gives_its_pairs_in_either_direction(tmp_path):
    assert bitext.public_splits("little_talks", data_dir=tmp_path) == ["train", "validation"]
    read = lambda split, **languages: listed(bitext.public("little_talks", split, **languages, data_dir=tmp_path))
    assert sorted(read("train")) == [("Olá", "Olá!"), ("Sim", "Sim!")]
    assert read("train", source="en", target="pt") == [pair[::-1] for pair in read("train")]
    assert read("validation") == [("Não", "Não!")]
    with pytest.raises(InputError, match="languages en, pt, received 'de'; name two of them: --source pt --target en"):
        read("train", source="de", target="en")
    with pytest.raises(InputError, match="little_talks: expected two languages, received 'pt' twice"):
        read("train", source="0", target="pt")
    with pytest.raises(InputError, match="expected one of the splits train, validation, received 'test'"):
        read("test")


def test_translations_may_be_a_feature_among_others(tmp_path):
    translation = tfds.features.Translation(languages=["fr", "de", "en"])
    rows = {"pair": {"fr": ["oui"], "de": ["ja"], "en": ["yes"]}, "id": [1]}
    kept = {"version": "1.0.0", "data_dir": tmp_path, "disable_shuffling": True}
    tfds.dataset_builders.store_as_tfds_dataset(
        name="little_pairs",
        features=tfds.features.FeaturesDict({"pair": translation, "id": np.int64}),
        split_datasets={"train": tf.data.Dataset.from_tensor_slices(rows)},
        **kept,
    )
    assert listed(bitext.public("little_pairs", "train", data_dir=tmp_path)) == [("ja", "yes")]
    assert listed(bitext.public("little_pairs", "train", target="fr", data_dir=tmp_path)) == [("ja", "oui")]
    tfds.dataset_builders.store_as_tfds_dataset(
        name="little_texts",
        features=tfds.features.FeaturesDict({"text": tfds.features.Text()}),
        split_datasets={"train": tf.data.Dataset.from_tensor_slices({"text": ["a"]})},
        **kept,
    )
    with pytest.raises(InputError, match="expected one Translation feature, or one called 'translation'; rece"):
        bitext.public("little_texts", "train", data_dir=tmp_path)


# The built-in set.


@pytest.fixture(scope="module")
def made():
    return {split: listed(bitext.built_in(split)) for split in bitext.SPLITS}


@pytest.fixture(scope="module")
def pairs(made):
    return [pair for split in made.values() for pair in split]


def words(sentence):
    return re.findall(r"\w+|[^\w\s]", sentence.lower())


def test_the_built_in_set_depends_on_its_seed_alone(made):
    assert {split: len(found) for split, found in made.items()} == {"train": 16_000, "validation": 500, "test": 500}
    assert bitext_grammar.written(0) == made
    with pytest.raises(ValueError, match="split='dev'"):
        bitext.built_in("dev")


def test_no_english_sentence_occurs_twice_and_another_seed_translates_alike(pairs):
    translations = dict(pairs)
    assert len(translations) == len(pairs) == 17_000
    met = 0
    for english, french in (pair for split in bitext_grammar.written(1).values() for pair in split):
        met += english in translations
        assert translations.setdefault(english, french) == french
    assert 100 < met < 8500


def test_every_word_of_held_out_sentences_is_common_in_training(made):
    for side in (0, 1):
        common = collections.Counter(word for pair in made["train"] for word in set(words(pair[side])))
        for pair in made["validation"] + made["test"]:
            assert all(common[word] >= 15 for word in words(pair[side]))


def test_sentences_are_short_varied_and_well_formed(pairs):
    for english, french in pairs:
        assert all(3 <= len(side.split()) <= 14 for side in (english, french))
        assert re.fullmatch(r"[A-Z][A-Za-z' ]+[.?]", english) and "  " not in english
        assert re.fullmatch(r"[A-ZÊÀÉ][a-zA-Zàâéèêîôùûœç' -]*[a-zéè](\.| \?)", french) and "  " not in french
        assert english.endswith("?") == french.endswith(" ?")
    assert len({tuple(words(english)[:3]) for english, _ in pairs}) > 2000


def test_you_may_ask_whether_someone_wants_to_sing_with_you():
    you, want = bitext_grammar._PRONOUNS[4], bitext_grammar._VERBS["want"]
    english = bitext_grammar._english(you, want, "to sing with me", question=True)
    french = bitext_grammar._french(you, want, "chanter avec moi", question=True)
    spelled = bitext_grammar._spelled(french, bitext_grammar._FRENCH_SPELLING)
    assert (" ".join(english.split()), spelled) == ("do you want to sing with me", "Voulez-vous chanter avec moi")


# Rules of French, as what must not be found.

VOWEL = "[aàâeéèêiîoôuyhœAÉE]"
FEMININE = (
    "fille|femme|sœur|mère|actrice|voiture|clé|robe|maison|table|chaise|fleur|boîte|lampe|gare|école|église|pomme"
)
MASCULINE = "homme|garçon|enfant|frère|oncle|ami|chapeau|bateau|couteau|livre|journal|jardin|marché|parc|hôtel|château"
NOUN = rf"({FEMININE}|{MASCULINE})"
SHORT = "homme|enfant|ami|oncle|oiseau|âne|hôtel|hôpital"
BEFORE = "petit|grand|beau|bel|vieux|vieil|jeune|nouveau|nouvel|bon"
WRONG = {
    "elision": rf"\b(je|me|le|la|ne|de|que|ce|ma|sa) (?={VOWEL})",
    "no elision before consonants": rf"\b(j|m|l|n|d|qu)'(?!{VOWEL})",
    "contraction": r"\b(de|à) les?\b",
    "cet before vowels": rf"\bcet (?!{VOWEL})",
    "bel before vowels": rf"\b(beau|nouveau|vieux) ({SHORT})\b|\b(bel|nouvel|vieil) (?!{VOWEL})",
    "articles of women": rf"\b(un|ce|cet|du|au) ({FEMININE})\b",
    "articles of men": rf"\b(une|cette|la|ma|sa) ({MASCULINE})\b",
    "adjectives of women": rf"\b(petit|grand|beau|bon)s?x? ({FEMININE})|({FEMININE})s? (vert|noir|blanc|bleu)s?\b",
    "adjectives of men": rf"\b(petite|grande|belle|bonne)s? ({MASCULINE})\b|({MASCULINE})s? (verte|noire|blanche)",
    "plural nouns": rf"\b(des|aux|mes|ses|vos|nos|ces|leurs|deux) {NOUN}\b",
    "plural adjectives": rf"\b(petit|grand)e?s {NOUN}\b|\b(petit|grand)e? {NOUN}[sx]\b",
    "adjectives after the noun": rf"\b(rouge|vert|bleu|noir|blanc|heureux|triste)e?s? {NOUN}\b",
    "adjectives before the noun": rf"\b{NOUN}[sx]? ({BEFORE})",
    "de with preposed adjectives": r"\b(avons|avez|achète|vend|veut|voulez) des (petit|grand|belle|vieil|nouve|bon)",
    "t between vowels": r"[ae]-(il|elle)|[^ae]-t-",
    "negation around the verb": r"\b(pas|jamais) (ne|n')|\bne \w+ (?!.*\b(pas|jamais)\b)",
    "pronouns before the verb": r"\w(ons|ez|ent) (le|la|les|lui|leur|me|moi|eux)[ .]*$",
    "persons": r"\b(je|il|elle) \w+(ons|ez)\b|^vous (ne )?\w+ons\b(?!-)|^nous (ne )?\w+ez\b(?!-)",
}


@pytest.mark.parametrize("rule", WRONG)
def test_french_keeps_its_rules(pairs, rule):
    found = [french for _, french in pairs if re.search(WRONG[rule], french, re.IGNORECASE)]
    assert not found, found[:5]


def test_a_noun_has_one_gender(pairs):
    after = lambda articles: {
        noun for _, french in pairs for noun in re.findall(rf"\b(?:{articles}) (\w+)", french) if noun != "jeune"
    }
    masculine, feminine = after("un|ce|cet|du|au"), after("une|cette|de la|à la")
    assert not masculine & feminine
    assert min(len(masculine), len(feminine)) > 30


def test_what_is_said_of_someone_agrees(pairs):
    said = lambda subject, ending: {
        (word, bool(re.search(ending, word)))
        for _, french in pairs
        for word in re.findall(
            rf"^{subject} (?:n')?(?:ne )?(?:est|sont|sommes) (?:pas |jamais )?(?:très )?(\w+)", french
        )
        if word not in ("dans", "près", "derrière", "devant", "souvent", "toujours", "parfois")
    }
    for subject, ending in {"Elle": "e$", "Ils": "[sx]$", "Nous": "[sx]$", "Il": "[^s]$", "La \\w+": "e$"}.items():
        assert len(said(subject, ending)) > 6
        assert all(right for _, right in said(subject, ending)), said(subject, ending)


def test_pronouns_and_participles_follow_from_the_english_ones(pairs):
    before = {"me": "m'|me ", "him": "l'|le ", "her": "l'|la ", "us": "nous ", "you": "vous ", "them": "les "}
    endings = {"me": "[éust]", "him": "[éust]", "her": "(ée|ue)", "us": "(és|us)", "you": "[éu]", "them": "(és|us)"}
    present, past = ("sees?|finds?|loves?|helps?|invites?|looks? for", "saw|found|helped|invited|looked for")
    seen = collections.Counter()
    for english, french in pairs:
        if match := re.fullmatch(rf"[\w' ]+ (?:{present}) (me|him|her|us|you|them)\.", english):
            if not re.search("want|can|must|not|n't|never|often|always|sometimes|that|but|because", english):
                assert re.search(rf"(\b|')({before[match[1]]})\w+\.$", french), french
                seen[match[1]] += 1
        elif match := re.fullmatch(rf"\w+ (?:{past}) (me|him|her|us|you|them)\.", english):
            assert re.search(rf"({before[match[1]]})\w+ \w*{endings[match[1]]}\.$", french), french
            seen[match[1], "past"] += 1
    assert len(seen) == 12


def test_negation_and_questions_are_those_of_the_english(pairs):
    for english, french in pairs:
        negations = len(re.findall(r"n't|\bnot\b|\bnever\b", english))
        assert negations == len(re.findall(r"\bn(?:e |')", french, re.IGNORECASE))
        assert negations == len(re.findall(r"\b(?:pas|jamais)\b", french))
        assert english.endswith("?") == bool(re.search(r"-(il|elle|nous|vous|ils|elles)\b", french))


def test_a_dictionary_is_not_enough(made):
    translate = dictionary([tuple(map(words, pair)) for pair in made["train"]])
    right = [[translate[word] for word in words(english)] == words(french) for english, french in made["validation"]]
    assert np.mean(right) < 0.1


def dictionary(pairs, iterations=8):
    """The likeliest translation of each word, by IBM's model 1."""
    sources, targets = (sorted({word for pair in pairs for word in pair[side]}) for side in (0, 1))
    row, column = ({word: number for number, word in enumerate(found)} for found in (sources, targets))
    links = [(row[one], column[other], place) for place, one, other in linked(pairs)]
    row, column, place = np.array(links).T
    likely = np.full((len(sources), len(targets)), 1.0)
    for _ in range(iterations):
        weights = likely[row, column]
        weights /= np.bincount(place, weights)[place]
        likely = np.bincount(row * len(targets) + column, weights, likely.size).reshape(likely.shape)
        likely /= likely.sum(1, keepdims=True)
    return {word: targets[best] for word, best in zip(sources, likely.argmax(1), strict=True)}


def linked(pairs):
    """(number of the target word among all, source word, target word), each with each within a pair."""
    places = ((source, word) for source, target in pairs for word in target)
    return ((place, one, word) for place, (source, word) in enumerate(places) for one in source)
