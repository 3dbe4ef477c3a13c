#!/usr/bin/env python3
"""Writes svr.safetensors: one fold of a small regression problem and what scikit-learn's SVR makes of it.

Needs numpy, scikit-learn and safetensors; the tests only read the file. Shares no code with the engine.
"""

import pathlib

import numpy as np
import sklearn
from safetensors.numpy import save_file
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

TRAIN, TEST, WIDTH = 160, 40, 24
POINTS = [
    (c, gamma, epsilon)
    for c, gamma, epsilon in [
        (0.5, 0.0, 0.1), (1.0, 0.0, 0.1), (32.0, 0.0, 0.1), (512.0, 0.0, 0.1), (0.5, 0.5, 0.1), (2.0, 0.5, 0.05),
        (128.0, 0.5, 0.1), (1.0, 2.0, 0.01), (256.0, 32.0, 0.1), (32.0, 0.02, 0.2), (1.0, 0.0, 0.0),
    ]
]
GRID = [(c, gamma, epsilon) for c in (0.5, 2.0, 32.0, 512.0) for gamma in (0.0, 0.5, 2.0) for epsilon in (0.05, 0.1, 0.2)]
PENALTIES = (1.0, 10.0, 100.0, 1000.0)
INNER, SEED = 3, 20


def data():
    """Rounded values, so that every reader has the same ones; features offset from 0, one of them constant."""
    draw = np.random.RandomState(7)
    hidden = draw.normal(size=(TRAIN + TEST, 5))
    x = hidden @ draw.normal(size=(5, WIDTH)) * 0.2 + 0.15 * draw.normal(size=(TRAIN + TEST, WIDTH)) + 0.7
    x[:, 3] = 0.25
    valence = 0.3 * np.tanh(hidden[:, 0] + 0.5 * hidden[:, 1] ** 2) + 0.1 * draw.normal(size=len(x))
    arousal = 0.25 * hidden[:, 2] - 0.1 * hidden[:, 0] * hidden[:, 3] + 0.05 * draw.normal(size=len(x))
    return np.round(x, 6), np.round(np.stack([valence, arousal], axis=1), 6)


def machine(point, tol):
    c, gamma, epsilon = point
    return SVR(kernel="rbf", C=c, gamma=gamma or "scale", epsilon=epsilon, tol=tol, max_iter=-1)


def scores(truth, predicted):
    rmse = np.sqrt(np.mean((truth - predicted) ** 2))
    return [rmse, np.corrcoef(truth, predicted)[0, 1], r2_score(truth, predicted)]


def inner_parts(count):
    """Contiguous blocks of a seeded permutation, as (training rows, held-out rows)."""
    blocks = np.array_split(np.random.RandomState(SEED).permutation(count), INNER)
    return [(np.concatenate([b for j, b in enumerate(blocks) if j != i]), held) for i, held in enumerate(blocks)]


def nested(x, y, x_test, y_test, candidates, make):
    """Mean squared error over all held-out rows for each candidate, the best one, its scores on the test rows."""
    errors = []
    for candidate in candidates:
        total = 0.0
        for rows, held in inner_parts(len(x)):
            scaler = StandardScaler().fit(x[rows])
            fitted = make(candidate).fit(scaler.transform(x[rows]), y[rows])
            total += np.sum((fitted.predict(scaler.transform(x[held])) - y[held]) ** 2)
        errors.append(total / len(x))
    best = int(np.argmin(errors))
    scaler = StandardScaler().fit(x)
    fitted = make(candidates[best]).fit(scaler.transform(x), y)
    return errors, best, scores(y_test, fitted.predict(scaler.transform(x_test)))


def main():
    x, y = data()
    train, test, y_train, y_test = x[:TRAIN], x[TRAIN:], y[:TRAIN], y[TRAIN:]
    out = {"train": train, "test": test, "train_targets": y_train, "test_targets": y_test,
           "points": np.array(POINTS), "grid": np.array(GRID), "penalties": np.array(PENALTIES)}
    for name, tol in (("default", 1e-3), ("tight", 1e-10)):
        predicted = np.array([[machine(p, tol).fit(train, y_train[:, t]).predict(test) for t in range(2)] for p in POINTS])
        out[f"{name}.predictions"] = predicted
        out[f"{name}.scores"] = np.array([[scores(y_test[:, t], p[t]) for t in range(2)] for p in predicted])
    # Released: no scaling, every point of the grid at epsilon .1 scored on the test rows.
    plain = [p for p in GRID if p[2] == 0.1]
    out["released.points"] = np.array(plain)
    out["released.scores"] = np.array(
        [[scores(y_test[:, t], machine(p, 1e-10).fit(train, y_train[:, t]).predict(test)) for t in range(2)] for p in plain])
    for name, candidates, make in (("nested", GRID, lambda p: machine(p, 1e-10)),
                                   ("ridge", PENALTIES, lambda p: Ridge(alpha=p, solver="cholesky"))):
        results = [nested(train, y_train[:, t], test, y_test[:, t], candidates, make) for t in range(2)]
        out[f"{name}.errors"] = np.array([r[0] for r in results])
        out[f"{name}.best"] = np.array([r[1] for r in results], dtype=np.int64)
        out[f"{name}.scores"] = np.array([r[2] for r in results])
        print(name, out[f"{name}.best"], out[f"{name}.scores"])
        print(np.sort(out[f"{name}.errors"], axis=1)[:, :4])
    out = {key: np.ascontiguousarray(value) for key, value in out.items()}
    save_file(out, pathlib.Path(__file__).with_name("svr.safetensors"),
              metadata={"made_by": f"svr.py, scikit-learn {sklearn.__version__}, NumPy {np.__version__}"})


if __name__ == "__main__":
    main()
