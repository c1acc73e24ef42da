"""The help of a verb: `--help` shows the main flags, in groups, on one screen; `--help-all` shows all."""

import ast
import dataclasses
import inspect
import shutil
import textwrap
import typing

from pipelines.engine.settings import helped

LEFT = 28  # columns of the flags
SHOWN_CHOICES = 8  # flags with more choices do not list them


def text(program, config, title, everything=False):
    """The help of a verb.

    Args:
        program: The command before the flags.
        config: The dataclass of the flags.
        title: A sentence that says what the verb does.
        everything: Whether all flags are shown.
    """
    width = min(shutil.get_terminal_size((80, 45)).columns, 100)
    fields = {field.name: field for field in dataclasses.fields(config)}
    described = docstrings(config)
    groups = helped(config) or {"flags": list(fields)}
    shown = {name for names in groups.values() for name in names}
    rest = [name for name in fields if name not in shown]
    if everything and rest:
        groups["more"] = rest
    lines = [*textwrap.wrap(title, width), f"{program} [FLAGS]"]
    for group, names in groups.items():
        lines += [f"{group}:", *(line for name in names for line in entry(fields[name], described[name], width))]
    if rest and not everything:
        lines.append(f"{len(rest)} more flags: --help-all")
    return "\n".join(lines)


def entry(field, described, width):
    """The lines of one flag: its name with its default, and its description."""
    name = "--" + field.name.replace("_", "-")
    kind, default = field.type, field.default
    choices = typing.get_args(kind) if typing.get_origin(kind) is typing.Literal else ()
    if typing.get_origin(kind) is typing.Annotated:  # a positional argument
        left = f"[{field.name.upper()} ...]"
    elif kind is bool:
        left = f"--no-{name[2:]}" if default else name
    elif default in ("", (), None) or default is dataclasses.MISSING:
        left = f"{name} {'X' if kind in (int, float) else field.name.rsplit('_', 1)[-1].upper()}"
    else:
        left = f"{name} {default:g}" if isinstance(default, float) else f"{name} {default}"
    if choices and len(choices) <= SHOWN_CHOICES:
        described += f" ({', '.join(map(str, filter(None, choices)))})"
    wrapped = textwrap.wrap(described, width - LEFT) or [""]
    first = [f"  {left:{LEFT - 3}} {wrapped.pop(0)}"] if len(left) <= LEFT - 3 else [f"  {left}"]
    return first + [" " * LEFT + line for line in wrapped]


def docstrings(config):
    """Field -> the string below it, of a dataclass and its base classes."""
    found = {}
    for one in reversed(config.__mro__):
        if not dataclasses.is_dataclass(one):
            continue
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(one))).body
        for line, after in zip(body.body, body.body[1:], strict=False):
            if (
                isinstance(line, ast.AnnAssign)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
            ):
                found[line.target.id] = " ".join(str(after.value.value).split())
    return found
