"""A grammar of English and French: sentences of everyday life, each with its one translation.

Phrases are made in both languages at once. French is composed of full words ("je ne ai pas", "de le voisin"), which
`_FRENCH_SPELLING` elides and contracts. So that a sentence has one translation, "you" is always "vous", one man; "they"
and the speaker are masculine; a child, a doctor or a friend has one gender; the past is the passé composé; a question
inverts verb and pronoun ("Marie chante-t-elle ?").
"""

import collections
import random
import re

SIZES = {"train": 16_000, "validation": 500, "test": 500}
SHORTEST, LONGEST = 3, 14  # words of a sentence, in either language
OFTEN = 15  # least number of training sentences that contain a word of a held-out sentence


def written(seed):
    """The sentences of each split.

    Args:
        seed: Seed of the generator, an integer.

    Returns:
        `{"train": ..., "validation": ..., "test": ...}`, lists of (English, French). No English sentence occurs twice,
        and every word of the held-out ones is common in training.
    """
    rng, translations = random.Random(seed), {}
    while len(translations) < sum(SIZES.values()):
        english, french = _sentence(rng)
        lengths = len(english.split()), len(french.split())
        if min(lengths) >= SHORTEST and max(lengths) <= LONGEST and not _repeats(english):
            translations.setdefault(english, french)
    counts = collections.Counter(word for pair in translations.items() for word in _words(pair))
    splits = {split: [] for split in SIZES}
    for pair in translations.items():
        wanting = [split for split in ("validation", "test") if len(splits[split]) < SIZES[split]]
        if wanting and all(counts[word] > OFTEN for word in _words(pair)):
            counts.subtract(_words(pair))
            splits[rng.choice(wanting)].append(pair)
        else:
            splits["train"].append(pair)
    return splits


def _words(pair):
    return {(side, word) for side in (0, 1) for word in re.findall(r"\w+", pair[side].lower())}


def _repeats(english):
    """Whether a sentence repeats a word ("The old house is old."), except words of grammar."""
    words = [word for word in re.findall(r"\w+", english.lower()) if f" {word} " not in _MAY_REPEAT]
    return len(set(words)) < len(words)


_MAY_REPEAT = " the a an to in t s i he she we you they me him us them my your his her our their this these "


def _pairs(rows):
    """English and French of each row of "red: rouge | sad: triste"."""
    return [tuple(row.split(": ")) for row in rows.split(" | ")]


# Verbs.

_I, _HE, _WE, _YOU, _THEY = range(5)  # the columns of a conjugation: je, il, nous, vous, ils


# The past is "" if only the present is used.
Verb = collections.namedtuple("Verb", "english past particle infinitive present participle")

_ENDINGS = {"er": "e/e/ons/ez/ent/é", "re": "s//ons/ez/ent/u", "ir": "is/it/issons/issez/issent/i"}
_VERBS = """see/saw: voir vois voit voyons voyez voient vu | look/looked for: chercher | look/looked at: regarder |
wait/waited for: attendre | find/found: trouver | love: aimer | help/helped: aider | invite/invited: inviter |
listen/listened to: écouter | buy/bought: acheter achète achète achetons achetez achètent acheté | sell/sold: vendre |
lose/lost: perdre | choose/chose: choisir | draw/drew: dessiner | read: lire lis lit lisons lisez lisent |
write/wrote: écrire écris écrit écrivons écrivez écrivent écrit | eat/ate: manger |
drink/drank: boire bois boit buvons buvez boivent bu | speak/spoke to: parler | answer/answered: répondre |
give/gave: donner | show/showed: montrer | lend/lent: prêter | sing/sang: chanter | dance/danced: danser |
work/worked: travailler | sleep/slept: dormir dors dort dormons dormez dorment dormi |
run/ran: courir cours court courons courez courent couru | play/played: jouer |
leave/left: partir pars part partons partez partent parti | return/returned to: retourner |
go/went to: aller vais va allons allez vont allé | arrive/arrived at: arriver | have: avoir ai a avons avez ont |
be: être suis est sommes êtes sont | want: vouloir veux veut voulons voulez veulent |
can: pouvoir peux peut pouvons pouvez peuvent | must: devoir dois doit devons devez doivent | think: penser |
say: dire dis dit disons dites disent | know: savoir sais sait savons savez savent"""
_WITH_ÊTRE = ("aller", "retourner", "arriver", "partir")  # je suis allé


def _verb(english, french):
    """A `Verb` from English with its past and particle, and French with its irregular forms."""
    (english, _, past), particle = english.split()[0].partition("/"), english.partition(" ")[2]
    infinitive, *forms = french.split()
    if not forms:
        stem, endings = infinitive[:-2], _ENDINGS[infinitive[-2:]].split("/")
        forms = [stem + ("e" if stem[-1] + end[:1] == "go" else "") + end for end in endings]  # mangeons
    return Verb(english, past, particle, infinitive, forms[:5], "".join(forms[5:]))


_VERBS = [_verb(*pair) for pair in _pairs(_VERBS.replace("\n", " "))]
_VERBS = {f"{verb.english} {verb.particle}".strip(): verb for verb in _VERBS}


# Words that agree. An agreement is 0 masculine, 1 feminine, 2 masculine plural, 3 feminine plural.

_BEFORE = "small: petit | big: grand | tall: grand | young: jeune | old: vieux/vieille | good: bon/bonne | "
_BEFORE += "beautiful: beau/belle | new: nouveau/nouvelle"
_AFTER = "red: rouge | green: vert | blue: bleu | white: blanc/blanche | black: noir | happy: heureux/heureuse | "
_AFTER += "sad: triste | tired: fatigué | rich: riche | quiet: tranquille | hot: chaud | cold: froid"
_BEFORE, _AFTER = dict(_pairs(_BEFORE)), dict(_pairs(_AFTER))
_BEFORE_A_VOWEL = {"beau": "bel", "nouveau": "nouvel", "vieux": "vieil"}  # un vieil ami

_NOUNS = {
    "people": "man/men: homme | woman/women: femme f | boy: garçon | girl: fille f | child/children: enfant | "
    "teacher: professeur | doctor: médecin | neighbour: voisin | friend: ami | brother: frère | sister: sœur f | "
    "mother: mère f | uncle: oncle | actress: actrice f | farmer: fermier",
    "animals": "dog: chien | cat: chat | horse: cheval | bird: oiseau | mouse/mice: souris f | "
    "cow: vache f | donkey: âne",
    "things": "car: voiture f | key: clé f | dress: robe f | hat: chapeau | table: table f | chair: chaise f | "
    "flower: fleur f | boat: bateau | knife/knives: couteau | umbrella: parapluie | box: boîte f | lamp: lampe f",
    "texts": "book: livre | letter: lettre f | newspaper: journal | story/stories: histoire f",
    "snacks": "apple: pomme f | orange: orange f | egg: œuf | cake: gâteau",
    "meals": "bread: pain | cheese: fromage | soup: soupe f | meat: viande f",
    "drinks": "water: eau f | milk: lait | coffee: café | wine: vin",
    "places": "garden: jardin | market: marché | school: école f | station: gare f | church: église f | park: parc | "
    "hotel: hôtel | hospital: hôpital | village: village | castle: château | office: bureau | factory: usine f",
}
_NOUNS = {kind: _pairs(nouns) for kind, nouns in _NOUNS.items()}
_LIKE = {
    "people": "small tall young old beautiful happy sad tired rich",
    "animals": "small big young old beautiful black white tired",
    "things": "small big new old beautiful red green blue white black",
    "texts": "small new old good beautiful",
    "snacks": "small big good red green",
    "meals": "good hot cold",
    "drinks": "good hot cold",
    "places": "small big new old beautiful quiet",
}
_MASS = ("meals", "drinks")  # some bread: du pain
_NAMES = {"Paul": 0, "Pierre": 0, "Marc": 0, "Marie": 1, "Sophie": 1, "Alice": 1, "Emma": 1}  # with their agreement

# English singular and plural; French masculine, feminine and plural.
_THE = ("the", "the", "le", "la", "les")
_MINE = "my my mon ma mes | your your votre votre vos | his his son sa ses | her her son sa ses | "
_MINE += "our our notre notre nos | their their leur leur leurs | this these ce cette ces"
_MINE = [row.split() for row in _MINE.split(" | ")]


# Someone or something. Only pronouns have a form before the verb, such as "le" (direct) and "lui" (indirect).
Phrase = collections.namedtuple("Phrase", "english object french direct indirect stressed person agreement")
_PRONOUNS = (
    Phrase("I", "me", "je", "me", "me", "moi", _I, 0),
    Phrase("he", "him", "il", "le", "lui", "lui", _HE, 0),
    Phrase("she", "her", "elle", "la", "lui", "elle", _HE, 1),
    Phrase("we", "us", "nous", "nous", "nous", "nous", _WE, 2),
    Phrase("you", "you", "vous", "vous", "vous", "vous", _YOU, 0),
    Phrase("they", "them", "ils", "les", "leur", "eux", _THEY, 2),
)


def _third(english, french, agreement):
    return Phrase(english, english, french, "", "", french, _THEY if agreement > 1 else _HE, agreement)


def _agreeing(word, agreement):
    """The form of an adjective, participle or noun that agrees; `word` has an irregular feminine after a slash."""
    masculine, _, feminine = word.partition("/")
    if agreement % 2:
        return (feminine or masculine + "e" * (masculine[-1] != "e")) + "s" * (agreement == 3)
    if agreement == 0 or masculine[-1] in "sx":
        return masculine
    return masculine[:-1] + "ux" if masculine.endswith("al") else masculine + ("x" if masculine[-3:] == "eau" else "s")


def _with_s(english):
    """boxes; goes; has"""
    return "has" if english == "have" else english + ("es" if re.search("(s|x|ch|sh|go)$", english) else "s")


def _noun_phrase(rng, kinds, definite=1.0, negated=False):
    """two small red boxes: deux petites boîtes rouges; negated, "a box" is "de boîte".

    `definite` is the share of phrases with "the", "my" or "Paul's", from 0 to 1.
    """
    kind = rng.choice(kinds.split())
    noun, french = rng.choice(_NOUNS[kind])
    (singular, _, plural), (french, *feminine) = noun.partition("/"), french.split()
    many = kind not in (*_MASS, "places") and rng.random() < 0.4
    english = (plural or _with_s(singular)) if many else singular
    french, agreement = _agreeing(french, 2 * many), len(feminine) + 2 * many
    before, after = ([word for word in _LIKE[kind].split() if word in some] for some in (_BEFORE, _AFTER))
    before, after = (rng.choice(words) if words and rng.random() < 0.25 else "" for words in (before, after))
    if after:
        english, french = f"{after} {english}", f"{french} {_agreeing(_AFTER[after], agreement)}"
    if before:
        adjective = _agreeing(_BEFORE[before], agreement)
        if agreement == 0 and re.match(_VOWEL, french):
            adjective = _BEFORE_A_VOWEL.get(adjective, adjective)
        english, french = f"{before} {english}", f"{adjective} {french}"
    if rng.random() < definite:
        english, french = _owned(rng, english, french, agreement)
    else:
        article = "de" if negated else _agreeing("un", agreement)
        some = ("any", "de") if negated else ("some", "de la" if feminine else "de le")
        few = [("", "de" if negated or before else "des"), ("two", "deux"), ("many", "beaucoup de")]
        determiner = rng.choice(few) if many else some if kind in _MASS else ("a", article)
        english, french = f"{determiner[0]} {english}", f"{determiner[1]} {french}"
    return _third(english, french, agreement)


def _owned(rng, english, french, agreement):
    """my car: ma voiture; the girls' car: la voiture des filles"""
    column = 2 + min(agreement, 2)
    if rng.random() < 0.88:
        row = _THE if rng.random() < 0.5 else rng.choice(_MINE)
        return f"{row[agreement > 1]} {english}", f"{row[column]} {french}"
    owner = _name(rng) if rng.random() < 0.5 else _noun_phrase(rng, "people")
    mark = "'" if owner.agreement > 1 and owner.english.endswith("s") else "'s"
    return f"{owner.english}{mark} {english}", f"{_THE[column]} {french} de {owner.french}"


def _name(rng):
    name = rng.choice(list(_NAMES))
    return _third(name, name, _NAMES[name])


def _someone(rng, kinds, pronouns, share):
    """One of the pronouns, with probability `share`; else a name or a noun phrase."""
    if "people" in kinds and rng.random() < share:
        # Names and nouns are already third persons.
        return rng.choices(pronouns, [1 if one.person in (_HE, _THEY) else 2 for one in pronouns])[0]
    return _name(rng) if "people" in kinds and rng.random() < 0.25 else _noun_phrase(rng, kinds)


def _other(rng, subject, kinds="people"):
    """Someone other than the subject: neither "I see me" nor "we see me"."""
    same = {_I: (_I, _WE), _WE: (_I, _WE), _YOU: (_YOU,)}.get(subject.person, ())
    return _someone(rng, kinds, [one for one in _PRONOUNS if one.person not in same], 0.5)


# Complements of a verb: English, French, the French pronoun before the verb, and the agreement of the participle.


def _direct(rng, subject, kinds, negated):
    """see him: le voir; see a box: voir une boîte"""
    if "people" not in kinds:
        thing = _noun_phrase(rng, kinds, definite=0.4, negated=negated)
        return thing.english, thing.french, "", 0
    one = _other(rng, subject, kinds)
    return (one.object, "", one.direct, one.agreement) if one.direct else (one.object, one.french, "", 0)


def _indirect(rng, subject, kinds, negated):
    """answer him: lui répondre; answer the girls: répondre aux filles"""
    one = _other(rng, subject)
    return one.object, "" if one.indirect else f"à {one.french}", one.indirect, 0


def _gift(rng, subject, kinds, negated):
    """give him the book: lui donner le livre; give the book to Paul: donner le livre à Paul"""
    one, thing = _other(rng, subject), _noun_phrase(rng, kinds, definite=0.6, negated=negated)
    if one.indirect:
        return f"{one.object} {thing.english}", thing.french, one.indirect, 0
    return f"{thing.english} to {one.english}", f"{thing.french} à {one.french}", "", 0


def _goal(rng, subject, kinds, negated):
    """to the market: au marché"""
    place = _noun_phrase(rng, kinds)
    return place.english, f"à {place.french}", "", 0


def _place(rng, subject, kinds, negated):
    """near the market: près du marché"""
    english, french = rng.choice(_pairs("in: dans | near: près de | behind: derrière | in front of: devant"))
    place = _noun_phrase(rng, kinds)
    return f"{english} {place.english}", f"{french} {place.french}", "", 0


def _company(rng, subject, kinds, negated):
    """with me: avec moi; alone: seul, seule"""
    if rng.random() < 0.7:
        one = _other(rng, subject)
        return f"with {one.object}", f"avec {one.stressed}", "", 0
    if subject.person in (_WE, _THEY):
        return "together", "ensemble", "", 0
    return "alone", _agreeing("seul", subject.agreement), "", 0


def _setting(rng, subject, kinds, negated):
    return rng.choice((_place, _company, _company))(rng, subject, kinds, negated)


def _state(rng, subject, kinds, negated):
    """very tired: très fatiguée"""
    english = rng.choice(_LIKE[kinds].split())
    french = _agreeing((_BEFORE | _AFTER)[english], subject.agreement)
    return (english, french, "", 0) if rng.random() < 0.5 else (f"very {english}", f"très {french}", "", 0)


# Clauses.

# Weight, kinds of the subject, complement, verbs, kinds of the complement.
_FRAMES = (
    (12, "people animals", _direct, "see, look for, look at, wait for, find, love", "people animals"),
    (6, "people", _direct, "help, invite, listen to", "people"),
    (12, "people", _direct, "buy, sell, draw, lose, choose, have, want", "things"),
    (4, "people", _direct, "read, write", "texts"),
    (4, "people animals", _direct, "eat, find, want", "snacks meals"),
    (4, "people animals", _direct, "drink, want", "drinks"),
    (4, "people", _indirect, "speak to, answer", "people"),
    (8, "people", _gift, "give, show, lend", "things texts"),
    (6, "people", _setting, "sing, dance, work", "places"),
    (4, "people animals", _setting, "run, play", "places"),
    (3, "people animals", _place, "sleep", "places"),
    (2, "people", _company, "leave", ""),
    (8, "people", _goal, "go to, return to, arrive at", "places"),
    (6, "people", _state, "be", "people"),
    (2, "animals", _state, "be", "animals"),
    (4, "things", _state, "be", "things"),
    (2, "places", _state, "be", "places"),
    (4, "people animals things", _place, "be", "places"),
)
_PRESENT = "every day: tous les jours | in the morning: le matin | on Sundays: le dimanche | today: aujourd'hui | "
_PRESENT = _pairs(_PRESENT + "in winter: en hiver | in summer: en été")
_PAST = "yesterday: hier | last night: hier soir | last week: la semaine dernière | this morning: ce matin | "
_PAST = _pairs(_PAST + "two days ago: il y a deux jours")
_HOW_OFTEN = _pairs("often: souvent | always: toujours | sometimes: parfois")


def _clause(rng, question=False):
    """A clause in English and in French, before the spelling rules."""
    _, who, complement, verbs, kinds = rng.choices(_FRAMES, [frame[0] for frame in _FRAMES])[0]
    verb, subject = _VERBS[rng.choice(verbs.split(", "))], _someone(rng, who, _PRONOUNS[question:], 0.65)
    past = bool(verb.past) and rng.random() < 0.3
    negation = rng.choices(("", "pas", "" if question else "jamais"), (14, 5, 2))[0]
    english, french, clitic, agreement = complement(rng, subject, kinds, bool(negation))
    time = rng.choice(_PAST if past else _PRESENT) if verb.past and negation != "jamais" and rng.random() < 0.25 else ()
    plain = not (past or time or negation or complement is _state)
    adverb = rng.choice(_HOW_OFTEN) if plain and rng.random() < 0.2 else ()
    opening = ()
    if question and not adverb and rng.random() < 0.3:
        fitting = [("why", "pourquoi")]
        if verb.past and not time and not negation:
            fitting += [("when", "quand"), ("where", "où")][: 2 if complement is _direct else 1]
        opening = rng.choice(fitting)
    english = f"{verb.particle} {english}"
    able = not (past or adverb or "things" in who or "places" in who or verb.english == "want")
    if able and rng.random() < 0.2:  # je veux le voir
        english, french, clitic = f"{verb.english} {english}", f"{clitic} {verb.infinitive} {french}", ""
        verb = _VERBS[rng.choice(("want", "can", "must"))]
        english = f"to {english}" if verb.english == "want" else english
    opening, adverb, time = (pair or ("", "") for pair in (opening, adverb, time))
    english = _english(subject, verb, f"{english} {time[0]}", past, negation, adverb[0], question)
    french = _french(subject, verb, f"{french} {time[1]}", past, negation, adverb[1], clitic, agreement, question)
    return f"{opening[0]} {english}", f"{opening[1]} {french}"


def _english(subject, verb, rest, past=False, negation="", adverb="", question=False):
    """does Paul often look for him"""
    third = subject.person == _HE
    finite, main = "", verb.past if past else _with_s(verb.english) if third else verb.english
    if verb.english == "be":
        finite, main = "am" if subject.person == _I else "is" if third else "are", ""
    elif verb.english in ("can", "must"):
        finite, main = verb.english, ""
    elif question or negation == "pas":
        finite, main = "did" if past else "does" if third else "do", verb.english
    finite += "n't" if negation == "pas" else ""
    adverb = "never" if negation == "jamais" else adverb
    first = (finite, subject.english) if question else (subject.english, finite)
    return " ".join((*first, adverb, main, rest))


def _french(subject, verb, rest, past=False, negation="", adverb="", clitic="", agreement=0, question=False):
    """Paul le cherche-il souvent; je ne le ai jamais vu"""
    finite = verb.present[subject.person]
    if past:
        être = verb.infinitive in _WITH_ÊTRE
        finite = _VERBS["be" if être else "have"].present[subject.person]
        rest = f"{_agreeing(verb.participle, subject.agreement if être else agreement)} {rest}"
    first = subject.french
    if question and subject in _PRONOUNS:
        first, finite = "", f"{finite}-{first}"
    elif question:
        finite += ("-il", "-elle", "-ils", "-elles")[subject.agreement]
    return " ".join((first, "ne" if negation else "", clitic, finite, negation, adverb, rest))


def _existence(rng, question=False):
    """there isn't any bread in the park: il n'y a pas de pain dans le parc"""
    negation = rng.choice(("", "", "pas"))
    thing = _noun_phrase(rng, "people animals things meals", definite=0.0, negated=bool(negation))
    english, french, _, _ = _place(rng, thing, "places", False)
    there, il = thing._replace(english="there"), _PRONOUNS[1]
    english = _english(there, _VERBS["be"], f"{thing.english} {english}", negation=negation, question=question)
    french = f"{thing.french} {french}"
    return english, _french(il, _VERBS["have"], french, negation=negation, clitic="y", question=question)


def _sentence(rng):
    chance, question = rng.random(), rng.random() < 0.3
    if question:
        english, french = (_existence if chance < 0.06 else _clause)(rng, question=True)
    elif chance < 0.12:
        one, verb, said = _someone(rng, "people", _PRONOUNS, 0.6), _VERBS[rng.choice(_OPINIONS)], _clause(rng)
        english, french = _english(one, verb, f"that {said[0]}"), _french(one, verb, f"que {said[1]}")
    elif chance < 0.24:
        (english, french), link, other = _clause(rng), rng.choice(_LINKS), _clause(rng)
        english, french = f"{english} {link[0]} {other[0]}", f"{french} {link[1]} {other[1]}"
    else:
        english, french = (_existence if chance < 0.3 else _clause)(rng)
    english, french = _spelled(english, _ENGLISH_SPELLING), _spelled(french, _FRENCH_SPELLING)
    return (f"{english}?", f"{french} ?") if question else (f"{english}.", f"{french}.")


_OPINIONS = ("think", "say", "know")
_LINKS = _pairs("because: parce que | but: mais")


# Spelling rules, applied in this order.

_VOWEL = "[aâeéêèiîoôuyhœAE]"  # words before these elide; the h of all words here is mute
_ENGLISH_SPELLING = (("amn't", "am not"), ("cann't", "can't"), (r"\ba (?=[aeiou])", "an "))
_FRENCH_SPELLING = (
    (rf"\b([ms])a (?={_VOWEL})", r"\1on "),  # mon école
    (rf"\bce (?={_VOWEL})", "cet "),
    (rf"\b([jlmnd]|qu)[ea] (?={_VOWEL})", r"\1'"),  # j'ai, l'eau, qu'il
    (r"\bà le ", "au "),
    (r"\bà les ", "aux "),
    (r"\bde le ", "du "),
    (r"\bde les ", "des "),
    ("([ae])-(?=il|elle)", r"\1-t-"),  # chante-t-elle
)


def _spelled(words, rules):
    text = " ".join(words.split())
    for pattern, spelling in rules:
        text = re.sub(pattern, spelling, text)
    return text[0].upper() + text[1:]
