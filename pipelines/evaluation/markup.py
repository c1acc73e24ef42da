"""Answers as marked-up text: colours on a terminal, and pages for a browser."""

import html
import pathlib

# Hues that the colour-blind can distinguish (M. Okabe and K. Ito), as red, green, blue and as one of a terminal's 256.
HUES = (
    ((0, 114, 178), 110),
    ((230, 159, 0), 221),
    ((0, 158, 115), 115),
    ((204, 121, 167), 218),
    ((213, 94, 0), 216),
    ((86, 180, 233), 153),
    ((240, 228, 66), 228),
    ((128, 128, 128), 250),
)
FOR, AGAINST = "#2166ac", "#b2182b"  # blue and red that the colour-blind can distinguish


def coloured(strip):
    """A strip for a terminal of 256 colours: blue and red backgrounds, as in `pictures.words`."""
    largest = max((abs(value) for _, value in strip), default=0) or 1
    shown = []
    for word, value in strip:
        strength = round(3 * abs(value) / largest)
        back = {True: (None, 153, 75, 26), False: (None, 224, 210, 167)}[value > 0][strength]
        ink = "97" if strength == 3 else "30"
        shown.append(word if back is None else f"\x1b[48;5;{back};{ink}m{word}\x1b[0m")
    return " ".join(shown)


def coloured_entities(text, entities, labels):
    """A text for a terminal of 256 colours, with its entities coloured and labelled."""
    shown, upto = [], 0
    for one in entities:
        hue = HUES[labels.index(one["label"]) % len(HUES)][1]
        shown.append(text[upto : one["start"]])
        shown.append(f"\x1b[48;5;{hue};30m {text[one['start'] : one['end']]} \x1b[1;2m{one['label']} \x1b[0m")
        upto = one["end"]
    return " ".join("".join([*shown, text[upto:]]).split())


_HEAD = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.9 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
"""

_ENTITIES = """p {{ margin: 0.5rem 0; white-space: pre-wrap; overflow-wrap: anywhere; }}
mark {{ color: inherit; border-radius: 0.3rem; padding: 0.1rem 0.3rem; background: rgb(var(--hue) / 0.35); }}
mark small {{ opacity: 0.75; margin-left: 0.3rem; }}
mark.wrong {{ outline: 2px dashed #d33; }}
mark.missed {{ background: none; outline: 2px dotted rgb(var(--hue)); }}
{hues}
</style>
<p class="key">{key}</p>
{rows}
</html>
"""


def entities(rows, labels, path):
    """Writes an HTML page of texts with their entities coloured, for light and dark screens.

    Args:
        rows: For each text (text, entities found, true entities or None), the entities as lists of dictionaries with
            label, start and end.
        labels: All labels.
        path: The file to write.
    """

    def mark(words, label, kind="", note="", tell=True):
        told = f"<small>{html.escape(label)}</small>" if tell else ""
        hue = f"e{labels.index(label)}"
        return f'<mark class="{hue} {kind}" title="{html.escape(note)}">{html.escape(words)}{told}</mark>'

    lines = []
    for text, found, true in rows:
        place = lambda one: (one["start"], one["end"], one["label"])
        known = {place(one) for one in true} if true is not None else {place(one) for one in found}
        marks = [
            (one, "", f"{one['score']:.2f}") if place(one) in known else (one, "wrong", f"wrong, {one['score']:.2f}")
            for one in found
        ]
        taken = [range(one["start"], one["end"]) for one in found]
        for one in true or []:
            if not any(one["start"] < some.stop and some.start < one["end"] for some in taken):
                marks.append((one, "missed", "missed"))
        line, upto = "", 0
        for one, kind, note in sorted(marks, key=lambda mark: mark[0]["start"]):
            line += html.escape(text[upto : one["start"]])
            line += mark(text[one["start"] : one["end"]], one["label"], kind, note)
            upto = one["end"]
        lines.append(f"<p>{line}{html.escape(text[upto:])}</p>")
    hues = [" ".join(map(str, HUES[k % len(HUES)][0])) for k in range(len(labels))]
    key = [mark(label, label, tell=False) for label in labels]
    if any(true is not None for _, _, true in rows):
        key += [mark(kind, labels[0], kind, tell=False) for kind in ("wrong", "missed")]
    page = _HEAD.format(title="entities") + _ENTITIES.format(
        hues="\n".join(f".e{k} {{ --hue: {hue}; }}" for k, hue in enumerate(hues)),
        key=" ".join(key),
        rows="\n".join(lines),
    )
    pathlib.Path(path).write_text(page, encoding="utf-8")


_STRIPS = """h2 {{ font-size: 1rem; margin: 1.2rem 0 0.2rem; }}
p {{ margin: 0.3rem 0; overflow-wrap: anywhere; }}
span {{ border-radius: 0.25rem; padding: 0.1rem 0.15rem; }}
span {{ background: color-mix(in srgb, var(--hue) var(--much), transparent); }}
.for {{ --hue: {for_}; }}
.against {{ --hue: {against}; }}
@media (prefers-color-scheme: dark) {{ .for {{ --hue: #4393e0; }} .against {{ --hue: #e0565f; }} }}
small {{ opacity: 0.75; line-height: 1.4; display: block; }}
</style>
<small><span class="for" style="--much: 60%">blue</span>: without this word the label's probability falls;
<span class="against" style="--much: 60%">red</span>: it rises; scaled to each text</small>
"""


def strips(rows, path):
    """Writes an HTML page of texts with their words coloured by influence, for light and dark screens.

    Args:
        rows: Iterator of (title, [(word, influence)], note): the note stands in small letters below the text.
        path: The file to write.
    """
    with open(path, "w", encoding="utf-8") as file:
        file.write(_HEAD.format(title="influence of words") + _STRIPS.format(for_=FOR, against=AGAINST))
        for title, strip, note in rows:
            largest = max((abs(value) for _, value in strip), default=0) or 1
            words = " ".join(
                f'<span class="{"for" if value > 0 else "against"}" style="--much: {75 * abs(value) / largest:.0f}%" '
                f'title="{value:+.3f}">{html.escape(word)}</span>'
                for word, value in strip
            )
            file.write(f"<h2>{html.escape(title)}</h2>\n<p>{words}</p>\n<small>{html.escape(note)}</small>\n")
        file.write("</html>\n")


_CAPTIONS = """article { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; margin: 1.2rem 0; }
article > div:first-child { flex: 0 0 160px; text-align: center; }
article > div:last-child { flex: 1 1 16rem; }
img { max-width: 160px; border-radius: 0.3rem; display: block; margin: auto; }
p, ol { margin: 0; line-height: 1.5; overflow-wrap: anywhere; }
ol { padding-left: 1.4rem; font-size: 0.85rem; opacity: 0.75; }
small { opacity: 0.6; overflow-wrap: anywhere; line-height: 1.4; display: block; }
</style>
"""


def captions(rows, path):
    """Writes an HTML page of images with their captions, the best first, for light and dark screens.

    Args:
        rows: Iterator of (name or None, JPEG file in base64 or None, captions): for each image its captions as
            dictionaries of caption, score and log_probability.
        path: The file to write.
    """
    with open(path, "w", encoding="utf-8") as file:
        file.write(_HEAD.format(title="captions") + _CAPTIONS)
        for name, jpeg, several in rows:
            best = html.escape(several[0]["caption"])
            image = f'<img src="data:image/jpeg;base64,{jpeg}" alt="{best}">' if jpeg else ""
            told = f"<small>{html.escape(name)}</small>" if name else ""
            items = "".join(
                f"<li>{html.escape(one['caption'])} <small>score {one['score']:.2f}, "
                f"log probability {one['log_probability']:.2f}</small></li>"
                for one in several
            )
            file.write(f"<article><div>{image}</div><div><p>{best}</p>{told}<ol>{items}</ol></div></article>\n")
        file.write("</html>\n")


def shortened(text, most=18):
    return text if len(text) <= most else text[: most - 1] + "…"
