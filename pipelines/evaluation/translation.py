"""Metrics, baselines and display of translations."""

import collections
import math
import time
import unicodedata

import numpy as np
import tensorflow as tf

from layers import TokenCrossentropy
from pipelines.engine.training import in_order, say
from pipelines.evaluation.generation import n_best
from pipelines.evaluation.portions import portions

PICTURES = ("curves.png", "lengths.png", "alignment.png")
AT_ONCE, BYTES_AT_ONCE = 64, 100_000  # texts in a batch, and their bytes with padding, at most
SHOWN = 4  # validation sentences in alignment.png
LENGTHS = (8, 12, 16, 24, 40)  # largest number of words of a source in each bar of lengths.png
BASELINE_PAIRS, EPOCHS = 30_000, 5  # pairs from which the dictionary is learnt, at most, and passes over them


def evaluate(parts, data, examples):
    """Metrics on the raw pairs `examples`, and the perplexity on the prepared `data`.

    Returns:
        Dictionary of `examples`; `bleu`, `chrf` and `ter`, by the defaults of `sacrebleu` (percent) on texts in normal
        form C, the one that is written, with the `signature` of BLEU; `exact`, the share of translations that equal the
        reference; `perplexity` per piece of the reference, its end included; `seconds`, the time to translate;
        `lengths`: for each range of lengths of the source, in words, `from`, `to` (None: no limit), `examples` and
        `bleu`.
    """
    pairs = [(source.decode(), target.decode()) for source, target in examples.as_numpy_iterator()]
    sources, references = map(list, zip(*pairs, strict=True))
    begun = time.monotonic()
    guesses = [answer["translation"] for answer in answers(parts, sources)]
    seconds = time.monotonic() - begun
    return metrics_of(sources, guesses, references) | {"perplexity": perplexity(parts, data), "seconds": seconds}


def metrics_of(sources, guesses, references):
    """As `evaluate`, from lists of texts."""
    from sacrebleu.metrics import BLEU

    guesses, references = composed(guesses), composed(references)
    bleu = BLEU()
    metrics = {"examples": len(guesses), **scores(guesses, references, bleu), "signature": str(bleu.get_signature())}
    metrics["lengths"], low = [], 1
    words = np.array([len(source.split()) for source in sources])
    for high in (*LENGTHS, None):
        rows = np.flatnonzero((words >= low) & (words <= (high or words.max(initial=0))))
        if len(rows):
            found = BLEU().corpus_score([guesses[row] for row in rows], [[references[row] for row in rows]]).score
            metrics["lengths"].append({"from": low, "to": high, "examples": len(rows), "bleu": found})
        low = (high or 0) + 1
    return metrics


def scores(guesses, references, bleu=None):
    """BLEU, chrF and TER in percent, and the share of guesses that equal the reference."""
    from sacrebleu.metrics import BLEU, CHRF, TER

    guesses, references = composed(guesses), composed(references)
    return {
        "bleu": (bleu or BLEU()).corpus_score(guesses, [references]).score,
        "chrf": CHRF().corpus_score(guesses, [references]).score,
        "ter": TER().corpus_score(guesses, [references]).score,
        "exact": float(np.mean([guess == reference for guess, reference in zip(guesses, references, strict=True)])),
    }


def composed(texts):
    """Texts in Unicode's normal form C: sacrebleu compares characters as they are."""
    return [unicodedata.normalize("NFC", text) for text in texts]


def perplexity(parts, data):
    """exp of the mean of -log p over the pieces of the references, given the pieces before them."""
    mean, total, tokens = TokenCrossentropy(), 0.0, 0
    for given, targets in in_order(data, parts.extras.teacher_forcing):
        count = int(tf.reduce_sum(tf.cast(targets >= 0, "int32")))
        total += count * float(mean(targets, parts.forward(given)))
        tokens += count
    return math.exp(min(total / max(tokens, 1), 700))


def answers(parts, inputs):
    """For each text a dictionary: `text`, `translation`, `score`, `translations` (the n best with their scores and log
    probabilities), `pieces`, `source_pieces` and, with attention, the `alignment` of the first, a row for each piece.
    """
    texts = [text.encode("utf-8", errors="replace") for text in inputs]
    found = [None] * len(texts)
    for rows in portions(texts, AT_ONCE, BYTES_AT_ONCE):
        answer = {name: value.numpy() for name, value in parts.serve(tf.constant([texts[row] for row in rows])).items()}
        for place, row in enumerate(rows):
            found[row] = listed({name: value[place] for name, value in answer.items()}, inputs[row])
    tell_what_was_cut(parts.prepare, found)
    return found


def tell_what_was_cut(prepare, found):
    """Prints how many texts were too long and were cut."""
    most = prepare.max_length
    full = [one["text"].encode("utf-8", errors="replace") for one in found if len(one["source_pieces"]) > most]
    cut = int(tf.reduce_sum(tf.cast(prepare.subwords(full).row_lengths() > most, "int32"))) if full else 0
    if cut:
        say(f"longer than {most:,} pieces, the rest not read (--max-length): {cut:,} of {len(found):,} texts")


def listed(answer, text):
    """One row of a batch's answer, as a dictionary for JSON."""
    several = n_best("translation", answer["translations"], answer)
    pieces, source = ([one.decode() for one in some if one] for some in (answer["pieces"][0], answer["source_pieces"]))
    found = {"text": text, **several[0], "translations": several, "pieces": pieces, "source_pieces": source}
    if "alignments" in answer:
        alignment = answer["alignments"][0, : len(pieces), : len(source)]
        found["alignment"] = [[round(float(share), 4) for share in row] for row in alignment]
    return found


# The baseline: a dictionary, word by word.


def baselines(parts, data, splits):
    """The same scores for word-by-word translation with a dictionary learnt from the training pairs alone."""
    say("making a dictionary of the training pairs (IBM model 1)")
    train = splits["train"].take(BASELINE_PAIRS)
    dictionary = learnt([(source.decode(), target.decode()) for source, target in train.as_numpy_iterator()])
    found = {"words": len(dictionary)}
    for split, examples in splits.items():
        if split == "train":
            continue
        pairs = [(source.decode(), target.decode()) for source, target in examples.as_numpy_iterator()]
        guesses = [word_by_word(dictionary, source) for source, _ in pairs]
        found[split] = {"word_by_word": scores(guesses, [target for _, target in pairs])}
    return found


def word_by_word(dictionary, text):
    return " ".join(dictionary.get(word, word) for word in text.split())


def learnt(pairs, epochs=EPOCHS):
    """The most likely translation of each word: IBM model 1, by expectation maximisation.

        t(f|e) ∝ Σ_pairs Σ_(e,f) t(f|e) / Σ_e' t(f|e')

    Source: P. Brown et al., "The Mathematics of Statistical Machine Translation", 1993, section 4.1, without the empty
    word.

    Args:
        pairs: List of (source, target) texts; words are separated by spaces.
        epochs: Passes over the pairs.

    Returns:
        Dictionary from source words to target words.
    """
    numbers = [collections.defaultdict(lambda side=side: len(numbers[side])) for side in (0, 1)]
    links = []  # (place of the target word in all the data, source word, target word)
    place = 0
    for source, target in pairs:
        e = np.array([numbers[0][word] for word in source.split()], "int64")
        f = np.array([numbers[1][word] for word in target.split()], "int64")
        links.append(np.stack([np.repeat(place + np.arange(len(f)), len(e)), np.tile(e, len(f)), np.repeat(f, len(e))]))
        place += len(f)
    if not place:
        return {}
    place_of, e, f = np.concatenate(links, axis=1)
    known, entry = np.unique(e * len(numbers[1]) + f, return_inverse=True)
    source_of, target_of = np.divmod(known, len(numbers[1]))
    t = np.ones(len(known))
    for _ in range(epochs):
        share = t[entry] / np.bincount(place_of, t[entry])[place_of]
        counts = np.bincount(entry, share)
        t = counts / np.bincount(source_of, counts)[source_of]
    words = [list(side) for side in numbers]
    order = np.argsort(t, kind="stable")  # the most likely last
    return {
        words[0][source]: words[1][target] for source, target in zip(source_of[order], target_of[order], strict=True)
    }


# Display.


def format_metrics(metrics, splits=("validation", "test")):
    """The metrics of these splits, if they exist, as a table to read."""
    lines = []
    for split in splits:
        if split not in metrics:
            continue
        found, base = metrics[split], metrics.get("baselines", {}).get(split)
        title = f"{split} ({found['examples']} sentences)"
        lines.append(f"{title:30}{'BLEU':>8}{'chrF':>8}{'TER':>8}{'exact':>8}{'perplexity':>12}")
        rows = {"the network": found} | ({"word by word": base["word_by_word"]} if base else {})
        for name, one in rows.items():
            shown = "".join(f"{one[kind]:8.2f}" for kind in ("bleu", "chrf", "ter")) + f"{one['exact']:8.3f}"
            lines.append(f"  {name:28}{shown}" + (f"{one['perplexity']:12.2f}" if "perplexity" in one else ""))
        lines.append(f"  {found['signature']}; translated in {found['seconds']:.1f} s")
    return "\n".join(lines)


def format_answers(parts, found, colours):
    """A line for each of `answers`: its translation."""
    for answer in found:
        yield " ".join(answer["translation"].splitlines())


def plot_answers(parts, found, path):
    """Writes a heat map of the attention of each translated word, for the first few of `answers`."""
    from pipelines.evaluation import pictures

    shown = [answer for answer in found if answer.get("alignment") and answer["translation"]]
    pictures.alignments([words_of(answer) for answer in shown[:SHOWN]], path)


WRITERS = {".png": plot_answers}


def words_of(answer):
    """(source words, words of the translation, shares), with pieces joined to words; the shares of a word's pieces are
    summed over the source and averaged over the translation.
    """
    source, read = grouped(answer["source_pieces"])
    words, written = grouped(answer["pieces"])
    shares = np.array(answer["alignment"]).reshape(len(written), len(read))
    by_word = np.zeros((len(words), len(source)))
    np.add.at(by_word, (np.array(written, int)[:, None], np.array(read, int)[None, :]), shares)
    return source, words, by_word / np.maximum(np.bincount(written, minlength=len(words)), 1)[:, None]


def grouped(pieces):
    """The words that pieces form, and for each piece the number of its word; a word begins with "▁"."""
    words, number = [], []
    for piece in pieces:
        if piece.startswith("▁") or piece == "</s>" or not words:
            words.append("")
        words[-1] += piece
        number.append(len(words) - 1)
    return [word.removeprefix("▁") or "␣" for word in words], number


def plot_run(parts, folder, history, metrics, splits):
    """Plots curves, BLEU by length of the sentence, and the attention of a few translations."""
    from pipelines.evaluation import pictures

    folder.write("curves.png", lambda path: pictures.curves(history, path))
    folder.write("lengths.png", lambda path: pictures.lengths(metrics["lengths"], path))
    sources = [source.decode() for source, _ in splits["validation"].take(200).as_numpy_iterator()]
    middling = sorted(sources, key=lambda source: abs(len(source.split()) - 9))[:SHOWN]
    found = answers(parts, middling)
    folder.write("alignment.png", lambda path: plot_answers(parts, found, path))
