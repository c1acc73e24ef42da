"""The page of the benchmark and its picture: a table and a panel for each row."""

import statistics

HEAD = """# What papers say, and what our layers do

Written by `python -m tests.benchmarks.papers --write` from the runs in `tests/benchmarks/papers/results.jsonl`; a row
runs again with `python -m tests.benchmarks.papers ROW`. A table has the mean over the seeds, their standard deviation
and each seed's figure; seconds are of one core. All rows with three seeds took {minutes:.0f} minutes of one core.

![Each row's figures, a dot for each seed](papers.png)
"""


def section(row, runs):
    """Lines of Markdown for a row from `(seed, {figure: number})` of each run."""
    title, *more = [part.replace("\n", " ").strip() for part in row.__doc__.strip().split("\n\n")]
    yield from (f"## {row.__name__}", "", f"**{' '.join(title.split())}** " + " ".join(" ".join(more).split()), "")
    yield "| figure | mean | spread |" + "".join(f" seed {seed} |" for seed, _ in runs)
    yield "| --- |" + " ---: |" * (2 + len(runs))
    for figure in runs[0][1]:
        values = [found[figure] for _, found in runs]
        shown = [statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0, *values]
        yield f"| {figure} | " + " | ".join(map(readable, shown)) + " |"
    yield ""


def readable(value):
    return f"{value:,.0f}" if value == round(value) or abs(value) >= 1000 else f"{value:.3g}"


def draw(found, rows, path):
    """A panel for each row: the figures that its words pick, a dot for each seed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels = {name: [figure for figure in runs[0][1] if rows[name][1] in figure] for name, runs in found.items()}
    columns = 2
    heights = [
        max(len(panels[name]) for name in list(panels)[begin : begin + columns])
        for begin in range(0, len(panels), columns)
    ]
    figure, axes = plt.subplots(
        len(heights),
        columns,
        figsize=(11, sum(0.2 * height + 0.9 for height in heights)),
        height_ratios=[0.2 * height + 0.5 for height in heights],
        layout="constrained",
    )
    for axis, (name, figures) in zip(axes.flat, panels.items(), strict=False):
        for seed, one in enumerate(found[name]):
            values = [one[1][figure] for figure in figures]
            axis.plot(values, range(len(figures)), "o", color=f"C{seed}", markersize=4, alpha=0.7)
        words = rows[name][1]
        axis.set_yticks(range(len(figures)), [figure.replace(words, "").strip(" ,:") for figure in figures], fontsize=7)
        axis.set_ylim(len(figures) - 0.5, -0.5)
        axis.set_title(f"{name}: {words}", fontsize=10)
        axis.set_xlim(left=0) if min(one[figure] for _, one in found[name] for figure in figures) >= 0 else None
        axis.grid(alpha=0.3)
    for axis in list(axes.flat)[len(panels) :]:
        axis.axis("off")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def write(done, rows, folder):
    """Writes `papers.md` and `papers.png` into a folder, from `{(row, seed): {figure: number}}`."""
    found = {name: sorted((seed, one) for (row, seed), one in done.items() if row == name) for name in rows}
    found = {name: runs for name, runs in found.items() if runs}
    minutes = sum(one["seconds"] for one in done.values()) / 60
    lines = [HEAD.format(minutes=minutes)]
    for name, runs in found.items():
        lines += section(rows[name][0], runs)
    draw(found, rows, folder / "papers.png")
    (folder / "papers.md").write_text("\n".join(lines), encoding="utf-8")
