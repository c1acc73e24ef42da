"""`python -m pipelines` lists the tasks, each with the question that it answers."""

import ast
import pathlib
import textwrap

HERE = pathlib.Path(__file__).parent
COLUMNS = 80  # of a terminal


def tasks():
    """Name -> question of each task: the first line of its module's docstring, read without importing the module."""
    modules = {path.stem: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(HERE.glob("[a-z]*.py"))}
    return {name: ast.get_docstring(module).splitlines()[0] for name, module in modules.items()}


def main():
    print("Tasks. Each trains on a file of yours, or on its built-in data:\n")
    for name, question in tasks().items():
        print(f"    python -m pipelines.{name}")
        print(textwrap.fill(question, COLUMNS, initial_indent=" " * 8, subsequent_indent=" " * 8))
    print("\nWhat a task can do: python -m pipelines.TASK --help")


if __name__ == "__main__":
    main()
