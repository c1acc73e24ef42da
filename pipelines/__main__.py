"""`python -m pipelines` lists the tasks, each with the question that it answers."""

import ast
import pathlib

HERE = pathlib.Path(__file__).parent


def tasks():
    """Name -> question of each task: the first line of its module's docstring, read without importing the module."""
    modules = {path.stem: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(HERE.glob("[a-z]*.py"))}
    return {name: ast.get_docstring(module).splitlines()[0] for name, module in modules.items()}


def main():
    width = max(map(len, tasks()))
    print("Tasks. Each trains on a file of yours, or on its built-in data:\n")
    for name, question in tasks().items():
        print(f"    python -m pipelines.{name:{width}}  {question}")
    print("\nWhat a task can do: python -m pipelines.TASK --help")


if __name__ == "__main__":
    main()
