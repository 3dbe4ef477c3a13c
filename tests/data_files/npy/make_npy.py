#!/usr/bin/env python3
"""Writes the .npy fixtures beside this script (NumPy 1.26, Python 3.11). The numbers are exact in binary.

dense_*.npy       plain arrays of shape (2, 3): element [i][j] is 1.5 * (3 i + j) - 2, or 3 i + j for integers and bool
ragged_pN.npy     object array of float32 arrays of shapes (2, 2), (3, 2), (1, 2), under pickle protocol N
ragged64_pN.npy   the same in float64, second item in Fortran order
stacked_pN.npy    object array of shape (2, 3) of Python floats
lists_pN.npy      object array of nested lists [[1, 2.5], [3, 4]], [[5, 6]] and of NumPy numbers
Item k, element [i][j] of the ragged arrays is 10 k + 2 i + j + 0.25.
python2.npy       what Python 2 with NumPy 1.x wrote: text opcodes for bytes; assembled by hand
evil.npy          a pickle that calls os.system
"""
import io
import pathlib
import pickle
import struct

import numpy as np

here = pathlib.Path(__file__).resolve().parent


def write_objects(name, array, protocol):
    out = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": array.shape}
    np.lib.format.write_array_header_1_0(out, header)
    pickle.dump(array, out, protocol=protocol)
    (here / name).write_bytes(out.getvalue())


def objects(items):
    array = np.empty(len(items), dtype=object)
    for k, item in enumerate(items):
        array[k] = item
    return array


def item(k, rows, dtype):
    i, j = np.meshgrid(np.arange(rows), np.arange(2), indexing="ij")
    return (10 * k + 2 * i + j + 0.25).astype(dtype)


base = np.arange(6).reshape(2, 3)
for dtype in ["<f2", "<f4", "<f8", ">f4", ">f8"]:
    np.save(here / f"dense_{dtype[1:]}{'_big' if dtype[0] == '>' else ''}.npy", (1.5 * base - 2).astype(dtype))
for dtype in ["|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", ">i4", "|b1"]:
    np.save(here / f"dense_{dtype[1:]}{'_big' if dtype[0] == '>' else ''}.npy", base.astype(dtype))
np.save(here / "dense_fortran.npy", np.asfortranarray((1.5 * base - 2).astype("<f4")))
np.save(here / "dense_scalar.npy", np.array(2.5))
np.save(here / "dense_empty.npy", np.zeros((0, 4), dtype="<f4"))
for version in [(2, 0), (3, 0)]:
    with open(here / f"dense_version{version[0]}.npy", "wb") as out:
        np.lib.format.write_array(out, (1.5 * base - 2).astype("<f4"), version=version)

for protocol in range(2, 6):
    write_objects(f"ragged_p{protocol}.npy", objects([item(k, rows, "<f4") for k, rows in enumerate([2, 3, 1])]), protocol)
    doubles = [item(k, rows, "<f8") for k, rows in enumerate([2, 3, 1])]
    doubles[1] = np.asfortranarray(doubles[1])
    write_objects(f"ragged64_p{protocol}.npy", objects(doubles), protocol)
    write_objects(f"stacked_p{protocol}.npy", (1.5 * base - 2).astype(object), protocol)
    write_objects(f"lists_p{protocol}.npy",
                  objects([[[1, 2.5], [3, 4]], [[5, 6]], [np.float32(7.5), np.int64(-300), True]]), protocol)


def python2():
    """One item, float32 [1.5, -2.0], as cPickle protocol 2 of Python 2.7 wrote it."""
    def text(value):
        return b"U" + bytes([len(value)]) + value

    reconstruct = b"cnumpy.core.multiarray\n_reconstruct\nq\x01"
    array = b"cnumpy\nndarray\nq\x02K\x00\x85" + text(b"b") + b"\x87R"
    dtype_o = b"cnumpy\ndtype\nq\x03" + text(b"O8") + b"K\x00K\x01\x87R(K\x03" + text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb"
    dtype_f = b"h\x03" + text(b"f4") + b"K\x00K\x01\x87R(K\x03" + text(b"<") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    data = struct.pack("<2f", 1.5, -2.0)
    inner = b"h\x01h\x02K\x00\x85" + text(b"b") + b"\x87R(K\x01\x8a\x01\x02\x85" + dtype_f + b"\x89" + text(data) + b"tb"
    body = b"\x80\x02" + reconstruct + array + b"(K\x01K\x01\x85" + dtype_o + b"\x89]" + inner + b"atb."
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1L,), }"
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    (here / "python2.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body)


def evil():
    class Evil:
        def __reduce__(self):
            import os
            return os.system, ("echo executed",)

    write_objects("evil.npy", objects([Evil()]), 4)


python2()
evil()
