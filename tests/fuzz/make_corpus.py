#!/usr/bin/env python3
"""Writes the first inputs of the safetensors, csv and npy fuzz targets into corpus/: good files and known bad ones."""
import json
import pathlib
import struct

here = pathlib.Path(__file__).resolve().parent / "corpus"


def write(target, name, data):
    (here / target).mkdir(parents=True, exist_ok=True)
    (here / target / name).write_bytes(data)


def safetensors(header, data=b""):
    text = header.encode() if isinstance(header, str) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


sizes = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2,
         "U8": 1, "BOOL": 1}
every, at = {"__metadata__": {"format": "emer-dataset-1", "name": "x"}}, 0
for dtype, size in sizes.items():
    every[dtype] = tensor(dtype, [1, 2], at, at + 2 * size)
    at += 2 * size
write("safetensors", "every_dtype", safetensors(every, bytes(range(at))))
write("safetensors", "empty_object", safetensors("{}"))
write("safetensors", "empty_extent", safetensors({"a": tensor("F32", [0, 3], 0, 0)}))
write("safetensors", "padded", safetensors('{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}   ', b"\x01"))
write("safetensors", "duplicate", safetensors('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},'
                                              '"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"\x01"))
write("safetensors", "overlap", safetensors({"a": tensor("U8", [2], 0, 2), "b": tensor("U8", [2], 1, 3)}, b"123"))
write("safetensors", "gap", safetensors({"a": tensor("U8", [1], 0, 1), "b": tensor("U8", [1], 2, 3)}, b"123"))
write("safetensors", "overflow", safetensors({"a": tensor("F32", [2**62, 2**62], 0, 4)}, b"1234"))
write("safetensors", "negative", safetensors({"a": tensor("F32", [-1], 0, 4)}, b"1234"))
write("safetensors", "long_header", struct.pack("<Q", 99_999_999) + b"{}")
write("safetensors", "huge_header", struct.pack("<Q", 2**63) + b"{}")
write("safetensors", "deep", safetensors('{"a":' + "[" * 200))

write("csv", "plain", b"song_id, valence_mean, arousal_mean\n2,3.1,-0.5\n3,nan,1e-3\n1001,,12.0\n")
write("csv", "quoted", b'id,title\r\n1,"a, ""b""\r\nc"\r\n2,"\tpadded\t"\r\n')
write("csv", "ragged", b"id,genre,,\r1,Rock,,,,Pop\r\r2\r")
write("csv", "bom", b"\xef\xbb\xbfid,name\n1,\xc3\xa9\n")
write("csv", "bad_utf8", b"id,name\n1,\xe9t\xe9\n")
write("csv", "open_quote", b'id,name\n1,"never closed\n2,x\n')
write("csv", "binary", b"id\x00\x01\x02,\xff\xfe\n")
write("csv", "numbers", b"a\n1e999\n-1e-999\n+5\n0x10\n9223372036854775808\n1,5\ninf\n--1\n.5\n5.\n")


def object_array(pickle):
    text = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    head = (b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0tU\1btR(K\1K\1\x85cnumpy\ndtype\nU\2O8\x85R"
            b"(K\3U\1|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb\x89](")
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + head + pickle + b"etb."


huge = b"{'descr': '<f4', 'fortran_order': True, 'shape': (4294967296, 65536), }"
write("npy", "huge_shape", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(huge)) + huge)
write("npy", "cycle", object_array(b"]q\1h\1a"))
write("npy", "shared", object_array(b"](K\1K\2eq\1](h\1h\1eq\2](h\2h\2h\2e"))
