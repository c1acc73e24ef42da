"""Labelled texts: the user's own file, the built-in set of film reviews, and public sets by name.

`load`, `built_in` and `public` return the same thing: a `tf.data.Dataset` of (text, label), both scalar strings, in a
fixed order.
"""

import collections
import functools
import random
import re

import pandas as pd
import tensorflow as tf

from data import public_sets
from data.examples import in_chunks
from data.files import InputError
from data.tables import error_at, read_table

SPLITS = {"train": 4000, "validation": 500, "test": 500}  # reviews in the built-in set

_SIGNATURE = (tf.TensorSpec([None], tf.string), tf.TensorSpec([None], tf.string))


def check(path, text_column="text", label_column="label", known=None, form=None):
    """Reads the whole file once to check and count its rows.

    Args:
        path: The file.
        text_column: Column or key of the text.
        label_column: Column or key of the label.
        known: The labels that may occur: those of the training data; None allows any.
        form: As for `load`.

    Returns:
        `{"rows": number, "labels": {label: number}}`, the most frequent label first, ties in alphabetical order.

    Raises:
        InputError: at the first wrong line; see `data.tables.read_table`.

    Example:
        >>> check("tests/fixtures/reviews.csv")
        {'rows': 4, 'labels': {'negative': 2, 'positive': 2}}
    """
    counts = collections.Counter()
    for frame in _frames(path, text_column, label_column, form):
        unknown = pd.Series(False, frame.index) if known is None else ~frame[label_column].isin(list(known))
        if unknown.any():
            place = int(unknown.to_numpy().argmax())  # several rows of JSON may be on one line
            line, label = frame.index[place], frame[label_column].iloc[place]
            expected = ", ".join(map(repr, known))
            raise error_at(path, f"expected a label of the training data ({expected}), received {label!r}.", line)
        counts.update(frame[label_column])
    labels = dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
    return {"rows": counts.total(), "labels": labels}


def load(path, text_column="text", label_column="label", form=None):
    """The texts and labels of a table, read while they are used.

    Args:
        path: The file: CSV, TSV, JSON or Parquet, see `data.tables.read_table`.
        text_column: Column or key of the text.
        label_column: Column or key of the label, text or a number.
        form: A `data.files.Form`; None takes the format from the file itself.

    Returns:
        A `tf.data.Dataset` of (text, label): scalar strings, in the order of the file. Spaces around labels are
        removed.

    Raises:
        InputError: at the first wrong line. The whole file is checked before this returns.
    """
    check(path, text_column, label_column, form=form)

    def chunks():
        for frame in _frames(path, text_column, label_column, form):
            yield frame[text_column].tolist(), frame[label_column].tolist()

    return in_chunks(chunks, _SIGNATURE)


def _frames(path, text_column, label_column, form):
    for frame in read_table(path, [text_column, label_column], required=[label_column], form=form):
        frame[label_column] = frame[label_column].str.strip()
        yield frame


def built_in(split, seed=0):
    """Short film reviews made by a grammar, balanced, "positive" or "negative" by composition.

    Opinion words of both kinds occur in every place of every sentence; negation, contrast, quotation and their
    combinations decide the label. Counts of words or of pairs of words therefore say little; the order decides.
    About a third are as short as the first inputs of many users: "great movie", "not bad". No text occurs twice, within
    a split or in two, not even with other case or punctuation.

    Args:
        split: "train" (4,000 reviews), "validation" (500) or "test" (500).
        seed: Seed of the generator: another seed gives other reviews.

    Returns:
        A `tf.data.Dataset` of (text, label): scalar strings, in a fixed order.

    Raises:
        ValueError: if there is no such split.

    Example:
        >>> for text, label in built_in("train").take(1):
        ...     print(text.dtype, label.dtype)
        <dtype: 'string'> <dtype: 'string'>
    """
    if split not in SPLITS:
        raise ValueError(f"`split` must be one of {', '.join(SPLITS)}. Received: split={split!r}.")
    texts, labels = zip(*_written(seed)[split], strict=True)
    return tf.data.Dataset.from_tensor_slices((list(texts), list(labels)))


@functools.lru_cache(maxsize=2)
def _written(seed):
    """Split -> (text, label) of each review; every other one is positive before they are shuffled."""
    rng, seen, written = random.Random(seed), set(), {}
    for split, size in SPLITS.items():
        some = []
        while len(some) < size:
            value, text = _review(rng)
            wanted = 1 if len(some) % 2 else -1
            if value == wanted and words_of(text) not in seen:
                seen.add(words_of(text))
                some.append((text, "positive" if value > 0 else "negative"))
        rng.shuffle(some)
        written[split] = some
    return written


def words_of(text):
    """A text without its case and its punctuation; two texts of the set differ in it."""
    return " ".join(re.findall(r"[\w']+", text.lower()))


def _phrases(written):
    return written.split("|")


# The grammar. Every function returns (value, words): 1 for praise, -1 for blame. Words of both polarities, and all ways
# to negate them, are equally likely in each place, so that no word and no pair of words gives the label away.

_ADJECTIVES = {
    1: "brilliant funny moving clever gripping charming wonderful touching fresh witty superb delightful warm elegant "
    "original honest tender beautiful thrilling memorable great good nice awesome amazing excellent perfect fantastic "
    "lovely enjoyable entertaining interesting exciting hilarious impressive incredible magnificent marvelous "
    "outstanding remarkable stunning terrific fabulous cool sweet smart powerful intense engaging captivating "
    "compelling inspiring satisfying refreshing heartwarming unforgettable masterful solid strong fun cute epic genius "
    "gorgeous believable convincing flawless riveting spectacular sublime underrated watchable",
    -1: "dull boring clumsy stale predictable tedious lifeless awful silly shallow annoying hollow terrible weak bland "
    "messy dreadful tiresome forgettable pointless bad poor horrible stupid lame disappointing mediocre ridiculous "
    "ugly cheesy pathetic dumb lousy crappy horrendous atrocious appalling unwatchable unbearable uninspired unfunny "
    "unoriginal uninteresting unconvincing overrated slow flat empty confusing cheap fake pretentious painful "
    "depressing disgusting laughable useless worthless mindless sloppy incoherent dreary dismal garbage rubbish trash "
    "crap wooden amateurish nonsensical contrived",
}
_VERBS = {
    1: "enjoy like love admire praise recommend adore appreciate applaud cherish",
    -1: "hate dislike regret detest resent despise loathe mock criticize lament",
}
_ADJECTIVES, _VERBS = ({value: words.split() for value, words in kind.items()} for kind in (_ADJECTIVES, _VERBS))
_PAST = {1: _phrases("loved|liked|enjoyed|adored|admired"), -1: _phrases("hated|disliked|regretted|despised|detested")}
_VERDICTS = {
    1: _phrases("the best|a masterpiece|a gem|a must see|worth watching|worth every minute|top notch|a joy"),
    -1: _phrases("the worst|a disaster|a mess|a waste of time|a waste of money|a failure|a bore|a joke|a letdown"),
}
_NOUNS = _phrases("movie|film|story|plot|acting|cast|script|ending|picture|music|show|directing|flick|cinema")
_HARDLY = _phrases("not|not|not|hardly|far from|never|not very|not so|not that|anything but")
_DID_NOT = ["did not", "didn't", "never"]
_DO_NOT = ["don't", "do not", "never"]
_DOES_NOT = ["doesn't", "does not", "did not"]
_ADVICE = {1: _phrases("watch|see|go see|try|buy"), -1: _phrases("skip|avoid|miss|forget")}
_DOINGS = {1: _phrases("rock|rule|shine|deliver|delight"), -1: _phrases("suck|stink|fail|disappoint|drag")}
_RECOMMENDED = _phrases("recommended|highly recommended|strongly recommended|would recommend|I would recommend it")
_NOT_RECOMMENDED = _phrases("not recommended|would not recommend|I would not recommend it|not worth watching")
_SUBJECTS = _phrases(
    "the film|the movie|the story|the plot|the acting|the script|the music|the ending|the dialogue|the camera work|"
    "the cast|the opening|the humour|the lead role"
)
_WHOLES = _phrases("the film|the movie|this film|this movie|the whole thing|this picture")
_DEGREES = _phrases("really|truly|very|particularly|especially|quite|so")
_LIMITS = _phrases("on the whole|to my mind|for me|in the end|after all|all in all|in my opinion|as far as I can tell")
_PEOPLE = _phrases("my friend|my sister|my brother|the critic|my colleague|my neighbour|the man next to me")
_BEFORE = _phrases(
    "We saw it on a Sunday.|I watched it with my sister.|It runs for two hours.|I had read the book.|"
    "The cinema was full.|I saw it twice.|It came out in spring.|We watched it at home."
)
_AFTER = _phrases(
    "It runs for two hours.|It was shot in Norway.|The credits are long.|I watched it at home.|It is in cinemas now.|"
    "The director is new.|There is a second part.|That is all I can say."
)
_TURNS = {
    1: "it is true that|everybody agrees that|I must say that|it is fair to say that|nobody can deny that",
    -1: "it is not true that|nobody agrees that|I cannot say that|it is wrong to say that|I doubt that",
}
_TURNS = {value: _phrases(turns) for value, turns in _TURNS.items()}


def _sign(rng, straight=0.6):
    return 1 if rng.random() < straight else -1


def _statement(rng, straight=0.7):
    """One opinion: "the plot is not particularly dull"; `straight` is the share that is not negated."""
    word, turn = _sign(rng, 0.5), _sign(rng, straight)
    degree = f"{rng.choice(_DEGREES)} " if rng.random() < 0.8 else ""
    subject = rng.choice(_SUBJECTS)
    kind = rng.random()
    if kind < 0.6:
        verb = rng.choice(["is", "was"]) if turn > 0 else rng.choice(["is not", "isn't", "was never", "was not"])
        text = f"{subject} {verb} {degree}{rng.choice(_ADJECTIVES[word])}"
    elif kind < 0.8:
        amount = rng.choice(["plenty", "a lot", "so much"]) if turn > 0 else rng.choice(["nothing", "not much"])
        text = f"there is {amount} to {rng.choice(_VERBS[word])} in {rng.choice(_WHOLES)}"
    else:
        verb = "did" if turn > 0 else rng.choice(["did not", "didn't", "never did"])
        text = f"I {verb} {rng.choice(['really', 'truly'])} {rng.choice(_VERBS[word])} {subject}"
    return word * turn, text


def _short(rng):
    """A short text: "great movie", "not bad at all", "I loved it", "a waste of time", "don't watch it"."""
    word, turn = _sign(rng, 0.5), _sign(rng, 0.65)
    form = rng.choices([_described, _felt, _judged, _advised, _done], [6, 2, 2, 1.5, 1])[0]
    return word * turn, form(rng, word, turn > 0)


def _what(rng):
    return rng.choice(["it", "it", "this", *(f"{which} {rng.choice(_NOUNS)}" for which in ("the", "this", "this"))])


def _described(rng, word, straight):
    adjective, noun = rng.choice(_ADJECTIVES[word]), rng.choice(_NOUNS)
    said = adjective if straight else f"{rng.choice(_HARDLY)} {adjective}"
    if straight and rng.random() < 0.33:
        said = f"{rng.choice(_DEGREES)} {said}"
    if rng.random() < 0.3:
        return f"{rng.choice(['it is', 'it was', f'the {noun} was', f'the {noun} is'])} {said}"
    if straight:
        start = rng.choice(["", "", "", "what a ", "simply "])
        return f"{start}{said}{'' if not start and rng.random() < 0.3 else f' {noun}'}"
    return said + rng.choice(["", "", " at all"])


def _felt(rng, word, straight):
    very = rng.choice(["", "", "really ", "truly "])
    if straight:
        return f"I {very}{rng.choice(_PAST[word])} {_what(rng)}"
    return f"I {rng.choice(_DID_NOT)} {very}{rng.choice(_VERBS[word])} {_what(rng)}"


def _judged(rng, word, straight):
    verdict, what = rng.choice(_VERDICTS[word]), _what(rng)
    if verdict.startswith("the "):
        verdict += rng.choice([f" {rng.choice(_NOUNS)} ever", f" {rng.choice(_NOUNS)}", ""])
    starts = ["", f"{what} is ", f"{what} was "] if straight else ["not ", f"{what} is not ", f"{what} was not "]
    text = f"{rng.choice(starts)}{verdict}"
    return text.removeprefix("the ") if rng.random() < 0.5 else text


def _advised(rng, word, straight):
    """Advice to see the film or to avoid it, perhaps negated."""
    if word > 0 and rng.random() < 0.4:
        return rng.choice(_RECOMMENDED) if straight else rng.choice(_NOT_RECOMMENDED)
    if word < 0 and straight and rng.random() < 0.4:
        return (
            f"{rng.choice(_DO_NOT)} waste your {rng.choice(['time', 'money'])}{rng.choice(['', f' on {_what(rng)}'])}"
        )
    verb, what = rng.choice(_ADVICE[word]), _what(rng)
    return f"{verb} {what}" if straight else f"{rng.choice(_DO_NOT)} {verb} {what}"


def _done(rng, word, straight):
    what, verb = _what(rng), rng.choice(_DOINGS[word])
    return f"{what} {verb}s" if straight else f"{what} {rng.choice(_DOES_NOT)} {verb}"


def _opposed(rng):
    """Two statements of opposite value: the value and words of the one that counts, and the words of the other."""
    value, text = _statement(rng)
    while True:
        other, overruled = _statement(rng)
        if other != value:
            return value, text, overruled


def _review(rng):
    limit = lambda: f" {rng.choice(_LIMITS)}"
    maybe = lambda: limit() if rng.random() < 0.5 else ""
    if rng.random() < 0.3:
        value, text = _short(rng)
        text = text if rng.random() < 0.4 else text[0].upper() + text[1:]
        return value, text + rng.choice(["", "", "", ".", "!", "!!"])
    kind = rng.random()
    if kind < 0.3:
        value, text = _statement(rng, 0.8)
        text += maybe()
    elif kind < 0.37:
        value, text = _statement(rng)
        first = _sign(rng, 0.5)
        text = f"{rng.choice(_ADJECTIVES[first])} at first, {'and' if first == value else 'but'} {text}{maybe()}"
    elif kind < 0.47:
        value, text, overruled = _opposed(rng)
        text = f"{overruled}{limit()}, but {text}{maybe()}"
    elif kind < 0.6:
        value, text, overruled = _opposed(rng)
        text = f"although {overruled}{limit()}, {text}{maybe()}"
    elif kind < 0.7:
        value, text, overruled = _opposed(rng)
        text = f"{text}{limit()}, even though {overruled}{maybe()}"
    elif kind < 0.85:
        value, turn = _sign(rng, 0.5), _sign(rng)
        verdict = rng.choice(["was right", "had a point"]) if turn > 0 else rng.choice(["was wrong", "had no idea"])
        person, adjective = rng.choice(_PEOPLE), rng.choice(_ADJECTIVES[value])
        text = f'{person} called {rng.choice(_SUBJECTS)} "{adjective}", {rng.choice(["and", "but"])} {person} {verdict}'
        value *= turn
    else:
        turn = _sign(rng)
        value, text = _statement(rng)
        text = f"{rng.choice(_TURNS[turn])} {text}{maybe()}"
        value *= turn
    text = text[0].upper() + text[1:] + rng.choice([".", ".", "!"])
    if rng.random() < 0.25:
        text = f"{rng.choice(_BEFORE)} {text}"
    if rng.random() < 0.25:
        text = f"{text} {rng.choice(_AFTER)}"
    return value, text


def public(name, split, *, data_dir=None):
    """A public text-classification set of TensorFlow Datasets, downloaded at the first use.

    Args:
        name: Its name there, such as "imdb_reviews", "glue/sst2" or "ag_news_subset".
        split: One of `public_splits(name)`.
        data_dir: Folder of the data sets; None is `~/tensorflow_datasets`.

    Returns:
        A `tf.data.Dataset` of (text, name of the label): scalar strings, in a fixed order.

    Raises:
        InputError: if there is no such set or split, or it has no labelled text or cannot be downloaded.
    """
    found = public_sets.Public(name, data_dir)
    text, label = found.feature("text", found.is_text), found.feature("label", found.is_label)
    names = tf.constant(found.features[label].names)
    # Sets made for a contest have -1 for labels that are not published.
    examples = found.examples(split).filter(lambda example: example[label] >= 0)
    if next(iter(examples.take(1)), None) is None:
        raise InputError(name, f"expected labels in the split {split!r}, received none.")
    return examples.map(lambda example: (example[text], tf.gather(names, example[label])))


def public_splits(name, *, data_dir=None):
    """Which of "train", "validation" and "test" a public set has; downloads the set if needed.

    Raises:
        InputError: as `public`.
    """
    return list(public_sets.Public(name, data_dir).splits)
