"""A small run, and results with every kind of figure, for tests of emer report."""
import importlib.util
import json
import os
import subprocess
import sys
import tempfile

SKIPPED = 77  # to ctest: skipped
PROGRAM = os.environ.get("EMER_PROGRAM", "")


def needs_vega():
    """Ends the test program as skipped where the renderer, or the emer program, is missing."""
    if not os.path.exists(PROGRAM):
        print("skipped: EMER_PROGRAM does not name the emer program; ctest sets it")
        sys.exit(SKIPPED)
    if importlib.util.find_spec("vl_convert") is None:
        print(f"skipped: {sys.executable} has no vl-convert-python; ./run test makes build/python, which has")
        sys.exit(SKIPPED)


def emer(*arguments, code=0, **variables):
    """Standard output and standard error."""
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, check=False,
                          env={**os.environ, "EMER_THREADS": "1", "EMER_PYTHON": sys.executable, **variables})
    if done.returncode != code:
        raise AssertionError(f"emer {' '.join(map(str, arguments))}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout, done.stderr


HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"


def make_run(folder):
    """folder/run on folder/songs.safetensors: trained with validation, evaluated; titles are hostile."""
    data, run = os.path.join(folder, "songs.safetensors"), os.path.join(folder, "run")
    emer("synth", "--songs", 80, "--width", 6, "--seed", 3, "--out", data)
    retitle(data)
    config = os.path.join(folder, "config.yaml")
    with open(config, "w", encoding="utf-8") as file:
        file.write("model:\n  music: {kind: mlp, widths: [16, 16]}\n  emotion: {kind: bigru, widths: [16, 16]}\n"
                   "  gru: {hidden: 6}\n  embedding_dim: 6\n  dropout: 0\n")
    choices = ["data.path=" + data, "data.split.validation=0.1", "train.epochs=6", "train.batch_size=20",
               "train.learning_rate=0.003", "train.early_stopping.metric=loss"]
    emer("train", config, "--run", run, *[part for choice in choices for part in ("--set", choice)])
    emer("evaluate", run, "--baselines")
    return run


def retitle(path):
    """Gives every song a title, in the header's metadata."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header, body = json.loads(file.read(size)), file.read()
    songs = header["song_id"]["shape"][0]
    header["__metadata__"]["titles"] = json.dumps([f"Song {i} {HOSTILE}" for i in range(songs)])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + body)


def make_results(folder):
    """folder/results.json with a figure of every kind."""
    def column(key, unit=""):
        return {"key": key, "title": key.capitalize(), "unit": unit, "digits": 3}

    rows = [{"name": f"switch {i % 4}", "part": "first" if i % 8 < 4 else HOSTILE, "color": "model" if i % 2 else "loss",
             "value": -0.4 + 0.05 * i, "low": -0.5 + 0.05 * i, "high": -0.3 + 0.05 * i, "place": i} for i in range(24)]
    rows[5]["value"] = rows[5]["low"] = None
    columns = [column(key) for key in ("name", "part", "color", "value", "low", "high", "place")]
    table = {"id": "points", "title": "Points " + HOSTILE, "measured": "24 rows made by hand", "notes": "", "listed": True,
             "columns": columns, "rows": rows}
    empty = {"table": "points", "caption": "", "x": "", "y": "", "low": "", "high": "", "color": "", "facet": "",
             "tooltip": [], "log_x": False}
    interval = {"low": "low", "high": "high"}
    figures = [{**empty, "kind": kind, "id": "figure_" + kind, "title": "A figure: " + kind, **fields} for kind, fields in [
        ("interval", {"x": "value", "y": "name", "color": "color", "facet": "part", "tooltip": ["place"], **interval}),
        ("bar", {"x": "place", "y": "name", "color": "color"}),
        ("line", {"x": "place", "y": "value", "color": "part", **interval}),
        ("box", {"x": "name", "y": "value", "color": "color"}),
        ("histogram", {"x": "value", "color": "part"}),
        ("cdf", {"x": "value", "color": "part"}),
        ("scatter", {"x": "place", "y": "value", "color": "color", "tooltip": ["name", "part"]})]]
    experiments = [{"name": "defects", "preset": "quick", "remarks": ["A remark. " + HOSTILE], "tables": [table],
                    "figures": figures, "made": {"created_by": "emer", "date": "2026-11-23T03:10:00Z",
                                                 "command": "emer reproduce defects"}}]
    data = [{"name": "deam", "label": "24 rows", "path": "deam.safetensors", "checksum": "abc", "as_published": False,
             "generated": True, "variants": {}}]
    results = {"format": "emer-results-1", "created_by": "emer", "date": "2026-11-23T03:10:00Z",
               "command": "emer reproduce defects", "environment": {"cpu": "one"}, "data": data, "experiments": experiments}
    path = os.path.join(folder, "results.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(results, file)
    return path


class Folder:
    """A folder that is gone when the program ends."""

    def __init__(self):
        self.held = tempfile.TemporaryDirectory()
        self.path = self.held.name
