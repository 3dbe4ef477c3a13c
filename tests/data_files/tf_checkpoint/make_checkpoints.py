#!/usr/bin/env python3
"""Writes version 1 TensorFlow checkpoints by TensorFlow itself (2.21): small ones that the tests read.

Every value follows from its name and place, so that a test can say what must come out:
value(name, i) = ((sum of the name's bytes + 37 i) mod 256 - 128) / 64, i the row-major index.
"""
import pathlib
import sys

import numpy as np
import oracle
import tensorflow as tf
from tensorflow.core.protobuf import saver_pb2

tf1 = tf.compat.v1
here = pathlib.Path(__file__).resolve().parent if len(sys.argv) < 2 else pathlib.Path(sys.argv[1])
CONVS = ["conv1", "conv2", "conv3/conv3_1", "conv3/conv3_2", "conv4/conv4_1", "conv4/conv4_2"]
DENSE = ["fc1/fc1_1", "fc1/fc1_2", "fc2"]


def values(name, shape, dtype=np.float32):
    count = int(np.prod(shape))
    return (((sum(name.encode()) + 37 * np.arange(count)) % 256 - 128) / 64).astype(dtype).reshape(shape)


def vggish(channels, dense):
    shapes, before = {}, 1
    for name, width in zip(CONVS, channels):
        shapes[f"vggish/{name}/weights"], shapes[f"vggish/{name}/biases"] = [3, 3, before, width], [width]
        before = width
    before *= 24
    for name, width in zip(DENSE, dense):
        shapes[f"vggish/{name}/weights"], shapes[f"vggish/{name}/biases"] = [before, width], [width]
        before = width
    return shapes


def save(path, make):
    with tf1.Graph().as_default(), tf1.Session() as session:
        make()
        saver = tf1.train.Saver(write_version=saver_pb2.SaverDef.V1)
        session.run(tf1.global_variables_initializer())
        saver.save(session, str(path), write_meta_graph=False, write_state=False)


def small():
    for name, shape in vggish([1, 2, 1, 2, 1, 2], [3, 2, 3]).items():
        tf1.get_variable(name, initializer=values(name, shape))
    tf1.get_variable("global_step", initializer=np.int64(12345), dtype=tf.int64)


def mixed():
    def part(name, shape, partitions):
        def initial(asked, dtype=None, partition_info=None, **_):
            begin = partition_info.var_offset
            whole = values(name, shape)
            return whole[tuple(slice(b, b + n) for b, n in zip(begin, asked))]
        tf1.get_variable(name, shape=shape, initializer=initial, use_resource=False,
                         partitioner=tf1.fixed_size_partitioner(partitions, axis=len(shape) - 1))

    part("cut", [3, 7], 3)
    part("rows", [5], 2)
    tf1.get_variable("scalar", initializer=np.float32(-1.5))
    tf1.get_variable("doubles", initializer=values("doubles", [2, 3], np.float64))
    tf1.get_variable("integers", initializer=np.arange(-3, 3, dtype=np.int32))
    tf1.get_variable("none", initializer=np.zeros([0, 4], np.float32))
    tf1.get_variable("large", initializer=values("large", [1000]))  # beyond one block of the table


def network():
    for name, value in oracle.weights().items():
        tf1.get_variable(name, initializer=value)


def check_oracle():
    """The NumPy network against TensorFlow's own convolutions, in float64."""
    w = {name: value.astype(np.float64) for name, value in oracle.weights().items()}
    x = np.random.RandomState(5).randn(2, 96, 64, 1)
    layer = tf.constant(x)
    for i, name in enumerate(CONVS):
        layer = tf.nn.relu(tf.nn.conv2d(layer, w[f"vggish/{name}/weights"], 1, "SAME") + w[f"vggish/{name}/biases"])
        if i in (0, 1, 3, 5):
            layer = tf.nn.max_pool2d(layer, 2, 2, "SAME")
    layer = tf.reshape(layer, [2, -1])
    for i, name in enumerate(DENSE):
        layer = tf.linalg.matmul(layer, w[f"vggish/{name}/weights"]) + w[f"vggish/{name}/biases"]
        layer = tf.nn.relu(layer) if i < 2 else layer
    error = np.abs(layer.numpy() - oracle.network(x[..., 0])).max()
    print("oracle against TensorFlow:", error)
    assert error < 1e-12


save(here / "small.ckpt", small)
save(here / "network.ckpt", network)
check_oracle()
save(here / "mixed.ckpt", mixed)
for path in sorted(here.glob("*.ckpt")):
    reader = tf1.train.NewCheckpointReader(str(path))
    print(path.name, path.stat().st_size, reader.get_variable_to_shape_map())
