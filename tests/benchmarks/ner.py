"""`pipelines.ner` on two public sets: validation F1 of entities, beside looking them up.

    python -m tests.benchmarks.ner conll2003 | wnut17 [--data ../shared/data] [--seeds 0 1 2] [--kinds KIND ...]

No outside embeddings. The validation file picks the epoch. Kinds are the whole network, one without its field (softmax
at each word), one without the letters of words, and one without both.
"""

import argparse
import pathlib
import statistics
import tempfile
import time

from pipelines import ner
from pipelines.engine import verbs

FILES = {"conll2003": ("train.txt", "valid.txt"), "wnut17": ("train.conll", "valid.conll")}
SETTINGS = {"conll2003": {}, "wnut17": {"batch_size": 16}}
WITHOUT = {
    "whole": {},
    "softmax": {"crf": False},
    "words": {"letter_filters": 0},
    "softmax-words": {"crf": False, "letter_filters": 0},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=FILES)
    parser.add_argument("--data", default="../shared/data", help="folder of the data sets")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--kinds", nargs="+", choices=WITHOUT, default=["whole"], help="what is left out")
    flags = parser.parse_args()
    train, held = (str(pathlib.Path(flags.data) / flags.name / file) for file in FILES[flags.name])
    for kind in flags.kinds:
        found, unseen, seconds = [], [], []
        for seed in flags.seeds:
            begun = time.perf_counter()
            with tempfile.TemporaryDirectory() as scratch:
                config = ner.Config(
                    data=train,
                    validation_data=held,
                    run=f"{scratch}/run",
                    seed=seed,
                    baselines=seed == flags.seeds[0] and kind == "whole",
                    **SETTINGS[flags.name] | WITHOUT[kind],
                )
                metrics = verbs.train(ner.TASK, config)
            seconds.append(time.perf_counter() - begun)
            found.append(metrics["validation"]["f1"])
            unseen.append(metrics["validation"]["unseen"]["f1"])
            if config.baselines:
                lookup = metrics["baselines"]["validation"]["lookup"]["f1"]
                print(f"{flags.name}  looking entities up  {lookup:.4f}", flush=True)
            print(
                f"{flags.name}  {kind}  seed {seed}  F1 {found[-1]:.4f}  unseen {unseen[-1]:.4f}  {seconds[-1]:.0f} s",
                flush=True,
            )
        middle = [statistics.median(some) for some in (found, unseen, seconds)]
        print(f"{flags.name}  {kind}  median F1 {middle[0]:.4f}  unseen {middle[1]:.4f}  {middle[2]:.0f} s a run")


if __name__ == "__main__":
    main()
