"""`pipelines.dna`: accuracy on public sets with one set of defaults, maps of the built-in set, a genome by windows.

    python -m tests.benchmarks.dna splice | ecoli_promoters | ecoli_sigma70 | arabidopsis | arabidopsis_2 |
        gene_families [--data ../shared/data] [--seeds 0 1 2]
    python -m tests.benchmarks.dna boxes --run runs/dna     share of maps whose largest effect is in a planted box
    python -m tests.benchmarks.dna genome --run runs/dna    10 million bases through `predict --to hits.bed`

`arabidopsis_2` has both kinds of promoters as one label. `ecoli_promoters` has 80 sequences, so it is cross-validated;
similar ones stay in one fold.
"""

import argparse
import csv
import gzip
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from data.sets import promoters
from pipelines import dna
from pipelines.engine import verbs
from pipelines.evaluation import mutagenesis, sequences

FILES = {
    "splice": ("splice/train.csv", "splice/valid.csv"),
    "ecoli_promoters": ("ecoli_promoters/train.csv", ""),
    "ecoli_sigma70": ("ecoli_sigma70/train.fasta", "ecoli_sigma70/valid.fasta"),
    "arabidopsis": ("arabidopsis_promoters/train.csv.gz", "arabidopsis_promoters/valid.csv.gz"),
    "arabidopsis_2": ("arabidopsis_promoters/train.csv.gz", "arabidopsis_promoters/valid.csv.gz"),
    "gene_families": ("gene_families/train.csv.gz", "gene_families/valid.csv.gz"),
}


def two_labels(path, to):
    """A copy of a table, with "promoter" for both kinds of promoters."""
    with gzip.open(path, "rt", newline="") as file, open(to, "w", newline="") as other:
        writer = csv.writer(other)
        writer.writerow(["sequence", "label"])
        for row in csv.DictReader(file):
            writer.writerow([row["sequence"], row["label"] if row["label"].startswith("non_") else "promoter"])
    return str(to)


def accuracy(name, folder, seeds):
    found, linear, seconds = [], [], []
    with tempfile.TemporaryDirectory() as scratch:
        paths = [str(pathlib.Path(folder) / file) if file else "" for file in FILES[name]]
        if name == "arabidopsis_2":
            paths = [two_labels(path, pathlib.Path(scratch) / f"{part}.csv") for part, path in enumerate(paths)]
        for seed in seeds:
            begun = time.perf_counter()
            given = {"data": paths[0], "validation_data": paths[1], "seed": seed, "folds": 0 if paths[1] else 10}
            metrics = verbs.train(dna.TASK, dna.Config(**given, run=f"{scratch}/run{seed}"))
            seconds.append(time.perf_counter() - begun)
            if given["folds"]:
                folds = metrics["folds"]["metrics"]
                found.append(folds["accuracy"][0])
                linear.append(folds["baseline kmer_logistic_regression accuracy"][0])
            else:
                found.append(metrics["validation"]["accuracy"])
                linear.append(metrics["baselines"]["validation"]["kmer_logistic_regression"]["accuracy"])
            print(f"{name}  seed {seed}  {found[-1]:.4f}  k-mers {linear[-1]:.4f}  {seconds[-1]:.0f} s", flush=True)
    medians = [statistics.median(some) for some in (found, linear, seconds)]
    print("{}  median {:.4f}  k-mers {:.4f}  {:.0f} s a run".format(name, *medians))


def boxes(run, count=500):
    """Of the promoters of the validation data that are called promoters: where is the largest effect of a mutation?"""
    parts = verbs.restored(dna.TASK, run)[2]
    rows = list(promoters.built_in("validation").take(count).as_numpy_iterator())
    answers = sequences.answers(parts, [sequence.decode() for sequence, _ in rows])
    called = hits = 0
    shares = []
    for (sequence, label), answer, planted in zip(rows, answers, promoters.planted("validation"), strict=False):
        if label != b"promoter" or answer["label"] != "promoter":
            continue
        largest = np.abs(mutagenesis.mutagenesis(parts, sequence.decode())).max(axis=1)
        inside = np.zeros(len(largest), bool)
        for start, end, _ in planted:
            inside[start:end] = True
        called += 1
        hits += inside[largest.argmax()]
        shares.append(inside[np.argsort(-largest)[: inside.sum()]].mean())
    print(f"the largest effect is in a box: {hits} of {called} promoters, {hits / called:.3f}")
    print(f"of as many bases as the boxes have, those with the largest effects are in a box: {np.mean(shares):.3f}")


def genome(run, bases):
    with tempfile.TemporaryDirectory() as scratch:
        path, hits = pathlib.Path(scratch) / "genome.fa", pathlib.Path(scratch) / "hits.bed"
        letters = np.random.default_rng(0).choice(np.frombuffer(b"ACGT", "uint8"), bases).tobytes().decode()
        path.write_text(f">chr1\n{letters}\n")
        command = [sys.executable, "-m", "pipelines.dna", "predict", "--run", run, "--input", path, "--to", hits]
        begun = time.perf_counter()
        subprocess.run([*map(str, command), "--window", "100"], check=True)
        seconds = time.perf_counter() - begun
        lines = hits.read_bytes().count(b"\n")
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        print(f"{bases:,} bases: {lines:,} windows in {seconds:.0f} s, {peak:.2f} GiB at most")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=[*FILES, "boxes", "genome"])
    parser.add_argument("--data", default="../shared/data", help="folder of the data sets")
    parser.add_argument("--run", default="runs/dna", help="folder of a run on the built-in set")
    parser.add_argument("--bases", type=int, default=10_000_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    flags = parser.parse_args()
    if flags.name == "boxes":
        boxes(flags.run)
    elif flags.name == "genome":
        genome(flags.run, flags.bases)
    else:
        accuracy(flags.name, flags.data, flags.seeds)


if __name__ == "__main__":
    main()
