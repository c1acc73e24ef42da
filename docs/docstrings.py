"""An extension of Griffe, which reads the docstrings for the pages: what it does not know of ours becomes Markdown."""

import re

import griffe

# A section with a title of its own before its entries, sections that are text or a list of our own, and doctest.
TITLED = re.compile(r"^( *)Args: (.+)\n(?=\1 +\S)", re.MULTILINE)
SECTION = re.compile(r"^( *)(Call arguments|Returns|Yields):\n((?:\1 +.*\n|\n(?=\1 ))+)", re.MULTILINE)
DOCTEST = re.compile(r"^( *)>>>.*\n(?:.*\S.*\n)*", re.MULTILINE)


class Ours(griffe.Extension):
    def on_object(self, *, obj, **kwargs):
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(docstring):
    """A docstring whose call arguments are a list, whose results are text, and whose examples are blocks of code."""
    text = TITLED.sub(r"\1Arguments: \2\n\n\1Args:\n", docstring + "\n")
    text = SECTION.sub(lambda match: section(*match.groups()), text)
    return DOCTEST.sub(lambda match: f"{match[1]}```pycon\n{match[0]}{match[1]}```\n", text).rstrip()


def section(indent, title, body):
    lines = body.rstrip().splitlines()
    inner = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    lines = [indent + line[inner:] for line in lines]
    if title == "Call arguments":
        lines = [re.sub(rf"^({indent})([\w*, ]+): ", r"\1- **`\2`** – ", line) for line in lines]
    return "\n".join([f"{indent}**{title}:**", "", *lines, ""]) + "\n"
