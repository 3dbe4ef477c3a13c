#!/usr/bin/env python3
"""Writes the first inputs of the fuzz targets into corpus/: good files and known bad ones."""
import gzip
import io
import json
import pathlib
import struct
import zipfile

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


def dataset(metadata, shape, steps=2, patches=None, half=False):
    songs = shape[0]
    at, header, data = 0, {"__metadata__": {"format": "emer-dataset-1", "name": "x", **metadata}}, b""
    def add(name, dtype, extents, payload):
        nonlocal at, data
        header[name] = tensor(dtype, extents, at, at + len(payload))
        at, data = at + len(payload), data + payload
    add("song_id", "I64", [songs], struct.pack(f"<{songs}q", *range(1, songs + 1)))
    if len(shape) > 1:
        count = 1
        for extent in shape:
            count *= extent
        add("music", "F32", shape, struct.pack(f"<{count}f", *range(count)))
        if len(shape) == 3:
            add("music_length", "I32", [songs], struct.pack(f"<{songs}i", *[shape[1]] * songs))
    add("emotion", "F32", [songs, steps, 2], struct.pack(f"<{songs * steps * 2}f", *[.5] * (songs * steps * 2)))
    add("emotion_length", "I32", [songs], struct.pack(f"<{songs}i", *[steps] * songs))
    if patches is not None:
        add("patches", "F16" if half else "F32", [patches[-1], 96, 64], bytes(patches[-1] * 6144 * (2 if half else 4)))
        add("patch_offset", "I64", [len(patches)], struct.pack(f"<{len(patches)}q", *patches))
    return safetensors(header, data)


write("dataset", "vectors", dataset({}, [5, 3]))
write("dataset", "sequences", dataset({}, [5, 2, 3]))
write("dataset", "ratings", dataset({}, [2]))
write("dataset", "names", dataset({"titles": '["a","b","c"]', "artists": '["x","x","y"]'}, [3, 1]))
write("dataset", "few_titles", dataset({"titles": '["a"]'}, [3, 1]))
write("dataset", "odd_format", dataset({"format": "two\nlines"}, [3, 1]))
write("dataset", "patches", dataset({}, [2], patches=[0, 1, 2], half=True))
write("dataset", "patchless_song", dataset({}, [2], patches=[0, 1, 1], half=True))
write("dataset", "no_steps", dataset({}, [3, 1], steps=0))

write("conv_choices", "good", b'{"schema":"emer-conv-kernels-1","choices":{"H200 | n 512":{"kernel":"mma","milliseconds":1.25},'
      b'"":{"kernel":"plain","milliseconds":0}}}')
write("conv_choices", "no_kernel", b'{"schema":"emer-conv-kernels-1","choices":{"key":{"kernel":"auto","milliseconds":-1e999}}}')
write("conv_choices", "deep", b'{"schema":"emer-conv-kernels-1","choices":' + b"[" * 500)
table = {"id": "t", "title": "T", "measured": "on these", "notes": "", "listed": True,
         "columns": [{"key": "x", "title": "X", "unit": "", "digits": 3}, {"key": "y", "title": "", "unit": "s", "digits": -1}],
         "rows": [{"x": 1.5, "y": "a|b"}, {"x": None, "y": 7}, {"x": -0.0, "y": '"\n,'}]}
figure = {"kind": "bar", "id": "f", "title": "F", "caption": "", "table": "t", "x": "x", "y": "y", "low": "", "high": "",
          "color": "", "facet": "", "tooltip": ["y"], "log_x": False}
experiment = {"name": "lambda", "preset": "quick", "remarks": ["left out"], "tables": [table], "figures": [figure]}
made = {"created_by": "emer", "date": "2026-11-23T03:10:00Z", "command": "emer reproduce lambda"}
results = {"format": "emer-results-1", **made, "environment": {"threads": 2},
           "data": [{"name": "deam", "label": "DEAM", "path": "data/deam.safetensors", "checksum": "00", "as_published": False,
                     "generated": False, "variants": {"a=b": "other.safetensors"}}],
           "experiments": [{**experiment, "made": made}]}
write("results", "whole", json.dumps(results).encode())
write("results", "experiment", json.dumps(experiment).encode())
write("results", "huge_number", json.dumps(results).replace("1.5", "18446744073709551615").encode())
write("results", "not_utf8", json.dumps(results).replace("on these", "\\ud800").encode())
write("results", "deep", b'{"format":"emer-results-1","environment":' + b"[" * 500)

# Measures: the first character chooses the experiment (measures_fuzz.cpp).
def ranks(*values):
    return {"m2e": {"ranks": list(values)}, "e2m": {"ranks": list(values)}}


rows = {"mrr": [[0.1, 0.2], [0.3, 0.4]], "ar": [[1, 2], [3, 4]]}
sweep = {"lambdas": [0, 1], "thresholds": [0, 0.4], "m2e": rows, "e2m": rows}
baselines = {"ridge": ranks(1, 2.5, 2.5), "cca": ranks(3, 3, 3), "svr": ranks(1, 1, 1)}
outcome = {"target": "valence", "method": "svr", "train_songs": 90, "test_songs": 10, "features": 4, "selection": "nested",
           "points": [{"c": 0.5, "gamma": 0, "epsilon": 0.1, "penalty": 0, "inner_error": 0.1, "rmse": 0.2, "r": 0.5, "r2": 0.25}]}
sets = {name: [outcome, {**outcome, "target": "arousal"}] for name in ("embedding", "mean_log_variance", "all")}
score = {"rmse": 0.2, "r": None, "r2": -0.5}
scores = {"valence": score, "arousal": score}
measures = {
    "0": {"evaluations": {"corrected": ranks(1, 2, 3), "released": ranks(2, 2, 2)}, "baselines": baselines},
    "1": {"evaluations": {k: ranks(1, 2, 3) for k in ("corrected", "corrected_kl", "released", "released_kl")},
          "sweep": {"corrected": sweep, "released": sweep}, "baselines": baselines},
    "2": {"protocols": {"textbook": sets, "released": sets}},
    "3": {"evaluations": {"textbook": ranks(1, 2, 3), "released": ranks(2, 2, 2)},
          "probes": {"textbook": scores, "released": scores},
          "turned": {**{f"eval.{k}": ranks(1, 1, 1) for k in ("kl_orientation", "tie_rule", "standardise_terms")},
                     **{f"probe.{k}": scores for k in ("columns", "log_variance", "selection", "correlation", "scale_inputs",
                                                       "select_epsilon", "target")}}},
}
for choice, values in measures.items():
    write("measures", f"good_{choice}", (choice + json.dumps(values)).encode())
write("measures", "no_values", b"0[]")
write("measures", "rank_of_none", b'0' + json.dumps(measures["0"]).replace("2.5", "null").encode())

FOLD = (
    b'{"target":"valence","method":"svr","train_songs":90,"test_songs":10,"features":4,"selection":"test_folds","points":['
    b'{"c":0.5,"gamma":0,"epsilon":0.1,"penalty":0,"inner_error":null,"rmse":0.2,"r":0.5,"r2":-3},'
    b'{"c":1,"gamma":0.5,"epsilon":0.1,"penalty":0,"inner_error":0.01,"rmse":0.1,"r":null,"r2":null}]}'
)
write("fold_outcome", "good", FOLD)
write("fold_outcome", "huge", FOLD.replace(b"90", b"18446744073709551615").replace(b"0.2", b"1e999"))
write("fold_outcome", "no_points", FOLD[: FOLD.index(b"[")] + b"[]}")
write("fold_outcome", "list", b"[" + FOLD + b"]")
write("split", "good", b'{"method":"sklearn","seed":9999,"train":[3,1],"validation":[2],"test":[5]}')
write("split", "shared", b'{"train":[1,2],"test":[2]}')
write("split", "plain_list", b"1\n2\n3\n")
write("split", "huge", b'{"train":[18446744073709551615,-9223372036854775808,1e999]}')
write("split", "deep", b'{"train":' + b"[" * 500)

wide = b"song_id, sample_1, sample_2, sample_3\n1, .1, .2, .3\n2, .4, NaN, .5\n1001, -.1, -.2,\n"
features = b"song_id,f,g\n1,2,3\n2,4,5\n1001,6,7\n"
long_form = b"musicId,frameTime,Arousal(mean),Valence(mean)\n1,15.5,.1,.2\n1,16,.3,.4\n2,15.5,.5,\n"
songs = b"musicId,title,artist,duration\n1,a,b,30\n2,c,d,40\n3,e,f,5\n"
names = b"song_id,title,artist,album\n1,\"\ta\t\",b,c\n2,Go,No, Really,n/a\nx,y\n"
statics = b"song_id, valence_mean, arousal_mean\n1,3,4\n1001,5,6\n"
write("importers", "deam", b"d" + b"--\n".join([wide, wide, features, names, statics]))
write("importers", "deam_plain", b"d" + b"--\n".join([wide, wide, features]))
write("importers", "raters", b"rWorkerId, sample_15000ms, sample_15500ms\nA1,.1,.2\nB2,NaN,.4\n")
write("importers", "pmemo", b"p" + b"--\n".join([long_form, songs]))
write("importers", "pmemo_features", b"p" + b"--\n".join([long_form, songs, features]))
write("importers", "pmemo_frames", b"p" + b"--\n".join([long_form, songs, b"musicId,frameTime,f\n1,0,1\n1,1,2\n"]))
write("importers", "emomusic", b"e" + b"--\n".join([wide, wide, names]))
write("importers", "ids", b"i1\n2\n3\n")
header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2, 2), }"
write("importers", "array", b"a\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n" +
      struct.pack("<8f", 1, 2, 3, 4, 5, 6, 1e-5, 1e-5))


def chunk(name, payload):
    return name + struct.pack("<I", len(payload)) + payload + b"\0" * (len(payload) % 2)


def wav(kind, channels, rate, bits, payload):
    frame = channels * bits // 8
    body = b"WAVE" + chunk(b"fmt ", struct.pack("<HHIIHH", kind, channels, rate, rate * frame, frame, bits))
    return chunk(b"RIFF", body + chunk(b"data", payload))


# The encoded files beside these (mp3, flac, ogg, m4a) are 0.1 s of a tone through encode_sound of bench/sound_files.h.
ramp = list(range(-500, 500))
write("decode_audio", "pcm16.wav", wav(1, 2, 22050, 16, struct.pack("<1000h", *ramp)))
write("decode_audio", "pcm8.wav", wav(1, 1, 8000, 8, bytes(i % 256 for i in range(900))))
write("decode_audio", "pcm24.wav", wav(1, 6, 48000, 24, b"\1\2\3" * 300))
write("decode_audio", "float.wav", wav(3, 1, 44100, 32, struct.pack("<1000f", *[i / 400 for i in ramp])))
write("decode_audio", "adpcm.wav", wav(2, 1, 22050, 4, bytes(range(256)) * 4))
write("decode_audio", "empty.wav", wav(1, 1, 16000, 16, b""))
write("decode_audio", "text.mp3", b"What a song this is.\n" * 50)
write("decode_audio", "playlist", b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n/etc/hostname\n")


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def pcm(samples, **facts):
    payload = struct.pack(f"<{len(samples)}h", *samples)
    header = {"channels": 2, "crc32c": crc32c(payload), "decoder": "@DECODER@", "frames": len(samples) // 2,
              "rate": 44100, "source": "abc", "warning": "", **facts}
    text = json.dumps(header).encode()
    return b"EMERPCM1" + struct.pack("<Q", len(text)) + text + payload


write("pcm_cache", "good", pcm(ramp))
write("pcm_cache", "warned", pcm([1, 2], warning="the sound ends early"))
write("pcm_cache", "foreign", pcm(ramp, source="other"))
write("pcm_cache", "more_frames", pcm(ramp, frames=2**62))
write("pcm_cache", "no_channels", pcm(ramp, channels=0))
write("pcm_cache", "texts", pcm(ramp, rate="fast"))
write("pcm_cache", "long_header", b"EMERPCM1" + struct.pack("<Q", 2**63) + b"{}")


def midi(form, division, *tracks):
    chunks = b"".join(b"MTrk" + struct.pack(">I", len(track)) + track for track in tracks)
    return b"MThd" + struct.pack(">IHHH", 6, form, len(tracks), division) + chunks


end = b"\x00\xff\x2f\x00"
tempos = b"\x00\xff\x51\x03\x07\xa1\x20\x83\x00\xff\x51\x03\x03\xd0\x90\x00\xff\x58\x04\x03\x02\x18\x08" + end
notes = b"\x00\xc0\x05\x00\x90\x3c\x64\x60\x3c\x00\x00\x3e\x64\x83\x60\x80\x3e\x40\x00\xf0\x02\x01\xf7" + end
write("midi", "two_tracks", midi(1, 96, tempos, notes))
write("midi", "one_track", midi(0, 480, notes))
write("midi", "smpte", midi(0, 0xE728, notes))
write("midi", "format_2", midi(2, 96, notes))
write("midi", "odd_measures", midi(0, 1, b"\x00\xff\x58\x04\x01\x07\x18\x08\x8f\xff\x7f\xff\x58\x04\x07\x03\x18\x08" + end))
write("midi", "long", midi(0, 32767, b"\xff\xff\xff\x7f\x90\x3c\x64" + end))
write("midi", "no_end", midi(1, 96, notes[:-4], notes))

raw = {"annotations": {"piece0_1": {"valence": [.5, None, -1, 1], "arousal": [0, 1, 0, .25]},
                       "piece0_2": {"valence": [.25, 0], "arousal": [0, .5, 1, 0, 1]},
                       "piece1_1": {"valence": [0], "arousal": [1]}, "piece2_1": {"valence": [0], "arousal": [1]}},
       "pieces": {"piece0": {"midi": "S_P_G_a.mid", "measures": 4}, "piece1": {"midi": "b.mid", "measures": 1}}}
write("vgmidi", "raw", json.dumps(raw).encode())
write("vgmidi", "packed", gzip.compress(json.dumps(raw).encode(), mtime=0))
write("vgmidi", "many_measures", json.dumps(raw).replace('"measures": 4', '"measures": 100000').encode())
write("vgmidi", "not_packed", b"\x1f\x8b\x08\x00")


def archive(members, method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as out:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            info.compress_type = method
            out.writestr(info, data)
    return buffer.getvalue()


good = archive({"a/": b"", "a/1.csv": b"id,x\n1,2\n" * 40, "a/b/2.mp3": bytes(range(256))})
write("archive", "packed", good)
write("archive", "stored", archive({"1.csv": b"id,x\n1,2\n", "2.csv": b""}, zipfile.ZIP_STORED))
write("archive", "bzip2", archive({"1.csv": b"id,x\n1,2\n" * 40}, zipfile.ZIP_BZIP2))
write("archive", "lzma", archive({"1.csv": b"id,x\n1,2\n" * 40}, zipfile.ZIP_LZMA))
write("archive", "zeros", archive({"zeros": bytes(1 << 16)}))
write("archive", "upwards", archive({"../x.mp3": b"x"}))
write("archive", "absolute", archive({"/x.mp3": b"x"}))
write("archive", "cut", good[: len(good) // 2])
write("archive", "in_front", b"#!/bin/sh\n" + good)
write("archive", "empty", archive({}))


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:
            return value, at


# The first data block of TensorFlow's own files; the fuzz target puts a block into a table with fitting checksums.
for path in sorted((here.parents[1] / "data_files" / "tf_checkpoint").glob("*.ckpt")):
    data = path.read_bytes()
    at = len(data) - 48
    for _ in range(2):
        _, at = varint(data, at)
    index, _ = varint(data, at)
    _, at = varint(data, index + 1)  # key length of the first entry
    size = varint(data, at)[1]
    start = size + varint(data, index + 1)[0]
    _, at = varint(data, start)
    write("tf_checkpoint", path.stem + "_block", data[:varint(data, at)[0]])

for name, text in {"one": "login", "two": "a,b", "range": "gpu[003-005,9],x", "rack": "rack[2-3]node[10-12]-ib", "open": "gpu[1"}.items():
    write("node_list", name, text.encode())
write("node_list", "number", b"4")


def number(value):
    return value.to_bytes(8, "little", signed=True)


def text(value):
    return number(len(value)) + value


def frame(kind, body):
    return (len(body) + 1).to_bytes(4, "little") + bytes([kind]) + body


write("rank_messages", "store", frame(0, number(1)) + frame(1, text(b"key") + text(b"value")) + frame(2, text(b"key")) + frame(3, text(b"n") + number(-1)))
write("rank_messages", "huge", b"\xff\xff\xff\x7f\x01")
write("rank_messages", "http", b"GET / HTTP/1.1\r\n\r\n")
write("rank_messages", "place", number(4711) + number(-1) + number(2) + text(b"10.0.0.1") + text(b"fd00::1"))
write("rank_messages", "many", number(1) + number(1) + number(1 << 40))


def optimizer_shard(ranges, step=5, **changed):
    """Of a.weight [2, 3] and b [4], as tests/fuzz/optimizer_shard_fuzz.cpp expects them."""
    shapes = {"a.weight": [2, 3], "b": [4]}
    header, data = {"__metadata__": {"format": changed.get("format", "emer-optimizer-shard-1")}}, b""

    def add(name, kind, shape, values):
        nonlocal data
        packed = struct.pack("<%d%s" % (len(values), kind), *values)
        header[name] = tensor({"q": "I64", "f": "F32"}[kind], shape, len(data), len(data) + len(packed))
        data += packed

    add("step", "q", [1], [step])
    for name, pairs in ranges.items():
        add("ranges." + name, "q", [len(pairs), 2], [x for pair in pairs for x in pair])
        add("shape." + name, "q", [len(shapes[name])], shapes[name])
    for name, pairs in ranges.items():
        count = sum(pair[1] for pair in pairs)
        for moment in "mv":
            add(f"{moment}.{name}", "f", [count], [float(i) for i in range(count)])
    return safetensors(header, data)


write("optimizer_shard", "whole", optimizer_shard({"a.weight": [(0, 6)], "b": [(0, 4)]}))
write("optimizer_shard", "pieces", optimizer_shard({"a.weight": [(4, 2), (0, 4)], "b": [(3, 1), (0, 2), (2, 1)]}))
write("optimizer_shard", "gap", optimizer_shard({"a.weight": [(0, 4)], "b": [(0, 4)]}))
write("optimizer_shard", "twice", optimizer_shard({"a.weight": [(0, 4), (2, 4)], "b": [(0, 4)]}))
write("optimizer_shard", "beyond", optimizer_shard({"a.weight": [(5, 2)], "b": [(-1, 4)]}))
write("optimizer_shard", "none", optimizer_shard({}, format="emer-optimizer-1"))

write("plan", "alone", b"runs: [{model: a, alone: {model.dropout: 0.5}}]\npresets: {p: {seeds: [1], folds: 2}}\n")
write("plan", "each", b"runs:\n  - {model: a, name: b c, each: {loss.lambda: [0, .5]}}\npresets: {p: {seeds: [1, 2]}}\n")
write("plan", "alias", b"runs: [&r {model: a, set: &s {model: {gru: {hidden: 3}}}}, *r]\npresets: {p: {seeds: [1], set: *s}}\n")
write("plan", "settings", b"runs: [{model: a}]\npresets: {p: {seeds: [1], settings: {svr_gamma: [0]}}}\nsettings: {resamples: 9}\n")
write("plan", "unknown", b"runs: [{model: a, alone: {modle.dropout: 1}}]\npresets: {p: {seeds: [1]}}\n")
write("plan", "models", b"models: {a: {deam: ../a.yaml, set: {compat: textbook}, vectors_only: true}}\n"
                        b"presets: {p: {../a.yaml: {train.epochs: 3}}}\n")
