"""What the time of a step goes to: milliseconds of all threads by kind of operation, for our loop and a stock layer.

    python -m tests.benchmarks.profile [--cell lstm] [--size 64x50x256x512] [--inference]

Each step is profiled operation by operation in the plain graph; the profiler itself costs, so the time without it
stands beside. Two threads on two cores: the sum over operations may reach twice the time of a step, and what is missing
from that is waiting.
"""

import argparse
import collections
import glob
import os
import statistics
import tempfile
import time

HOLDERS = ("Process", "Run")  # events with operations within them
KINDS = {
    "matrix products": ("MatMul", "BatchMatMulV2", "_FusedMatMul", "_MklMatMul", "Einsum"),
    "element by element": (
        *("Sigmoid", "Tanh", "SigmoidGrad", "TanhGrad", "Mul", "AddV2", "Add", "AddN", "Sub", "Neg", "Square"),
        *("BiasAdd", "BiasAddGrad", "SelectV2", "Sum", "Relu", "ReluGrad", "Exp", "Cast", "ZerosLike", "Fill"),
    ),
    "cut, put together, turned": (
        *("Split", "SplitV", "ConcatV2", "Concat", "Pack", "Unpack", "StridedSlice", "StridedSliceGrad", "Slice"),
        *("Reshape", "Transpose", "ReverseV2", "GatherV2", "ExpandDims", "Pad", "Identity"),
    ),
    "lists of timesteps": (
        *("TensorListReserve", "TensorListSetItem", "TensorListGetItem", "TensorListStack", "TensorListPopBack"),
        *("TensorListPushBack", "TensorListFromTensor", "TensorArrayV3", "TensorArrayReadV3", "TensorArrayWriteV3"),
    ),
}


def step_of(layer, x, training):
    import tensorflow as tf

    @tf.function(autograph=False)
    def train(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x, training=True))
        return tape.gradient(loss, [x, *(weight.value for weight in layer.trainable_weights)])

    infer = tf.function(lambda x: layer(x, training=False), autograph=False)
    run = train if training else infer
    return lambda: [value.numpy() for value in tf.nest.flatten(run(x))][0]


def by_operation(step):
    """Milliseconds and number of each operation in one step."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        step()
        tf.profiler.experimental.stop()
        (path,) = glob.glob(f"{folder}/**/*.xplane.pb", recursive=True)
        with open(path, "rb") as file:
            space = xplane_pb2.XSpace.FromString(file.read())
    spent, times = collections.Counter(), collections.Counter()
    for plane in space.planes:
        if "CPU" in plane.name:
            for event in (event for line in plane.lines for event in line.events):
                name = plane.event_metadata[event.metadata_id].name
                operation = name.rsplit(":", 1)[-1].strip()
                if ":" in name and operation not in HOLDERS and not operation.startswith("__"):
                    spent[operation] += event.duration_ps / 1e9
                    times[operation] += 1
    return spent, times


def told(name, step):
    for _ in range(3):
        step()
    taken = []
    for _ in range(15):
        begun = time.perf_counter()
        step()
        taken.append(1000 * (time.perf_counter() - begun))
    spent, times = by_operation(step)
    known = {operation: kind for kind, operations in KINDS.items() for operation in operations}
    kinds, counts, largest = collections.Counter(), collections.Counter(), collections.defaultdict(list)
    for operation, milliseconds in spent.most_common():
        kind = known.get(operation, "the rest")
        kinds[kind] += milliseconds
        counts[kind] += times[operation]
        largest[kind].append(f"{operation} {milliseconds:.1f}")
    print(f"{name}: {statistics.median(taken):.1f} ms a step; profiled, {sum(kinds.values()):.1f} ms of operations")
    for kind, milliseconds in kinds.most_common():
        shown = ", ".join(largest[kind][:4])
        print(f"  {kind:26}{milliseconds:8.1f} ms  {counts[kind]:6} operations   {shown}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", default="lstm", choices=("lstm", "gru", "elman"))
    parser.add_argument("--size", default="64x50x256x512", help="batch x timesteps x features x units")
    parser.add_argument("--inference", action="store_true")
    flags = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tensorflow as tf

    from layers import CELLS, Recurrent

    batch, timesteps, features, units = map(int, flags.size.split("x"))
    x = tf.random.normal((batch, timesteps, features), seed=0)
    stock = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "elman": keras.layers.SimpleRNN}[flags.cell]
    ours = Recurrent(CELLS[flags.cell](units), return_sequences=True, jit_compile=False)
    print(f"{flags.cell} {flags.size} {'inference' if flags.inference else 'training'}")
    for name, layer in (("ours", ours), ("stock layer", stock(units, return_sequences=True))):
        layer(x)
        told(name, step_of(layer, x, not flags.inference))


if __name__ == "__main__":
    main()
