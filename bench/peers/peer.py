"""What the peers share: the cases (from `emer bench --list --json`), timing, the check against float64, the results file.

A variant is one way of computing a case:
    Variant("eager", make)   make(shape, precision, device) -> (run, check)
run() does the timed work once; check(), at a small shape, returns the largest relative error against float64 of value and
gradients. Sizes at which check() runs are made from the case's own by small(). A variant with `against`, the make() of
another one, is compared with that at the case's own size instead: compiling for a small size as well would take longer
than all measuring. Then run.leaves holds the tensors whose gradients count.
"""
import json
import statistics
import time

SMALL = {"n": 24, "d": 12, "steps": 5, "hidden": 8, "in": 3, "m": 20, "k": 20, "bytes": 4096, "count": 1000,
         "clips": 2, "samples": 33000}
# What a relative error may be at small sizes: operands' rounding through a few products.
BOUNDS = {"fp32": 1e-3, "tf32": 2e-2, "bf16": 2e-1, "fp64": 1e-9}


class Variant:
    def __init__(self, name, make, precisions=None, too_large=None, against=None, bounds=None):
        self.name, self.make, self.precisions, self.too_large, self.against = name, make, precisions, too_large, against
        self.bounds = {**BOUNDS, **(bounds or {})}


def small(shape):
    def cut(key, value):
        if key.startswith(("width", "channels", "dense")):
            return min(value, 16)
        return min(value, SMALL[key]) if key in SMALL else value

    return {key: cut(key, value) for key, value in shape.items()}


def relative_error(got, want):
    """Largest over the arrays of |got - want| / |want| in the 2-norm; both are lists of flat float64 lists or tensors
    with .norm()."""
    worst = 0.0
    for g, w in zip(got, want):
        size = float(w.norm())
        error = float((g.to(w) - w).norm()) / (size if size > 0 else 1.0)
        worst = error if error != error else max(worst, error)
    return worst


def difference(run, other):
    """Between the results of two runs on equal inputs."""
    arrays = []
    for one in (other, run):
        value = one()
        arrays.append([value.flatten().double()] + [v.grad.flatten().double() for v in one.leaves])
    return relative_error(arrays[1], arrays[0])


def summary(seconds):
    ordered = sorted(seconds)
    mean = statistics.fmean(seconds)
    return {"seconds": seconds, "median": statistics.median(seconds),
            "p10": ordered[round(0.1 * (len(ordered) - 1))], "p90": ordered[round(0.9 * (len(ordered) - 1))],
            "cv": statistics.pstdev(seconds) / mean if mean > 0 else 0.0}


class Report:
    """Collects rows and rewrites the file after each, so that a run that is cut short keeps what it measured."""

    def __init__(self, path, header, budget):
        self.path, self.header, self.rows = path, header, []
        self.end = time.monotonic() + budget if budget else None

    def spent(self):
        return self.end is not None and time.monotonic() > self.end

    def add(self, case, variant, precision, values):
        row = {"name": case["name"], "group": case["group"], "precision": precision, "variant": variant, **values}
        self.rows.append(row)
        what = f"{values['median'] * 1e3:11.4f} ms" if "median" in values else values["reason"]
        print(f"{self.header['peer']:<6} {case['name']:<32} {precision:<5} {variant:<22} {values['status']:<8} {what}",
              flush=True)
        self.write()

    def write(self):
        with open(self.path, "w", encoding="utf-8") as file:
            json.dump({"schema": "emer-peer-1", **self.header, "cases": self.rows}, file, indent=1)
            file.write("\n")


def run_all(report, cases, variants, device, measure, out_of_memory):
    """variants: {group: [Variant]}. measure(run) -> {"seconds": …}. out_of_memory: exception types that mean so."""
    for case in cases:
        for variant in variants.get(case["group"], []):
            precision = case["precision"]
            if variant.precisions and precision not in variant.precisions:
                continue
            if report.spent():
                report.add(case, variant.name, precision, {"status": "skipped", "reason": "the time given was spent"})
                continue
            if variant.too_large is not None and variant.too_large(case["shape"]):
                continue
            try:
                if variant.against is None:
                    _, check = variant.make(small(case["shape"]), precision, device)
                    error, run = check(), None
                else:
                    run, _ = variant.make(case["shape"], precision, device)
                    error = difference(run, variant.against(case["shape"], precision, device)[0])
                if not error <= variant.bounds[precision]:
                    report.add(case, variant.name, precision,
                               {"status": "wrong", "reason": f"relative error {error:.2g} against float64", "error": error})
                    continue
                if run is None:
                    run, _ = variant.make(case["shape"], precision, device)
                report.add(case, variant.name, precision, {"status": "ok", "error": error, **measure(run)})
                del run
            except out_of_memory as problem:
                report.add(case, variant.name, precision,
                           {"status": "failed", "reason": "out of memory: " + str(problem).splitlines()[0][:120]})
            except Exception as problem:  # a peer that cannot run a case must not stop the others
                report.add(case, variant.name, precision,
                           {"status": "failed", "reason": f"{type(problem).__name__}: {str(problem).splitlines()[0][:160]}"
                            if str(problem) else type(problem).__name__})
