"""`pipelines.captioning`: what attention, the search, self-critical training and the encoder are worth on Flickr8k.

    python -m tests.benchmarks.captioning attention | none | self_critical | small [--data ../shared/data/flickr8k]
        [--encoder ../shared/models/efficientnet_lite0.keras] [--run FOLDER] [--seeds 0]
    python -m tests.benchmarks.captioning export --run FOLDER    the SavedModel on 100 images, with TensorFlow alone

Each row trains on the folder's `train_captions.csv` and is measured on `valid_captions.csv`, by greedy search and by a
beam of 5. With `--run` the run is kept, and `self_critical` then shows its first stage too.
"""

import argparse
import itertools
import pathlib
import subprocess
import sys
import tempfile
import time

from data.sets import captions
from pipelines import captioning
from pipelines.engine import verbs

ROWS = {
    "attention": {},
    "none": {"attention": "none"},
    "self_critical": {"self_critical": 12},
    "small": {"encoder": "small"},
}
ALL = {"no_repeat": 2}  # of people no pair of words is said twice; of drawn scenes it may be
SHOWN = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "cider", "rouge_l", "distinct")
ALONE = """
import pathlib, sys, time
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
images = [path.read_bytes() for path in sorted(pathlib.Path(sys.argv[2]).iterdir())]
serve = lambda some: model.signatures["serve"](image=tf.constant(some))["captions"][:, 0].numpy()
serve(images[:32])
begun = time.perf_counter()
found = [caption.decode() for start in range(0, len(images), 32) for caption in serve(images[start : start + 32])]
print(time.perf_counter() - begun)
print("\\n".join(found))
"""


def train(row, flags, seed, run):
    data = pathlib.Path(flags.data)
    given = {"data": str(data / "train_captions.csv"), "validation_data": str(data / "valid_captions.csv")}
    config = captioning.Config(**{**given, **ALL, "encoder": flags.encoder, "seed": seed, "run": run, **ROWS[row]})
    begun = time.perf_counter()
    metrics = verbs.train(captioning.TASK, config)
    seconds = time.perf_counter() - begun
    found = {f"{row}, before": one for one in metrics.get("stages", {}).values()} | {row: metrics["validation"]}
    greedy = verbs.evaluate(captioning.TASK, run, given["validation_data"], beam=1)
    for name, one in [*found.items(), (f"{row}, greedy", greedy)]:
        shown = "  ".join(f"{kind} {one[kind]:.3g}" for kind in SHOWN)
        print(f"seed {seed}  {name:24}{shown}  captioned in {one['seconds']:.0f} s", flush=True)
    for name, one in metrics["baselines"]["validation"].items():
        print(f"seed {seed}  {name:24}" + "  ".join(f"{kind} {one[kind]:.3g}" for kind in SHOWN if kind in one))
    print(f"seed {seed}  {row}: {seconds:.0f} s in all, {metrics['seconds_training']:.0f} s training", flush=True)


def export(flags, count=100):
    data = pathlib.Path(flags.data)
    examples = captions.load(str(data / "valid_captions.csv")).take(count).as_numpy_iterator()
    images = [image for image, _ in examples]
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch) / "images"
        folder.mkdir()
        for place, image in enumerate(images):
            (folder / f"{place:04}").write_bytes(image)
        model = verbs.export(captioning.TASK, flags.run, pathlib.Path(scratch) / "export", "savedmodel")
        command = [sys.executable, "-I", "-c", ALONE, str(model), str(folder)]
        seconds, *found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        here = [answer["caption"] for answer in verbs.predict(captioning.TASK, flags.run, images)]
    same = sum(itertools.starmap(str.__eq__, zip(found, here, strict=True)))
    print(f"{same} of {count} captions are the same; {count / float(seconds):.1f} captions a second")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=[*ROWS, "export"])
    parser.add_argument("--data", default="../shared/data/flickr8k", help="folder of the data set")
    parser.add_argument("--encoder", default="../shared/models/efficientnet_lite0.keras")
    parser.add_argument("--run", default="", help="folder of the run; else it is not kept")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    flags = parser.parse_args()
    if flags.name == "export":
        export(flags)
        return
    for seed in flags.seeds:
        with tempfile.TemporaryDirectory() as scratch:
            train(flags.name, flags, seed, flags.run or f"{scratch}/run")


if __name__ == "__main__":
    main()
