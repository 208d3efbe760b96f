"""Run directories as the commands write them, without training: what the tests of the report read."""

import json

import numpy as np

from bayesnas_tf import config
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.space.highway import published, topology
from bayesnas_tf.space.highway.operations import OP_NAMES
from tests.support.sizes import parameter_count

VOCABULARY = 10_000
MADE_BY = {"bayesnas_tf": "0.1.0", "commit": "8b982ab", "machine": "AMD EPYC", "cores": 2}


def found_cell(seed=0, lambda_w=0.17, nodes=8, strategy=None, **provenance):
    """A cell as a search leaves it."""
    drawn = published.random_cell(1000 + seed + round(1000 * lambda_w), nodes)
    told = {
        "config": "ptb",
        "seed": seed,
        "corpus": "ptb",
        "lambda_w": lambda_w,
        "estimator": "ggn",
        **provenance,
    }
    if strategy:
        told["strategy"] = strategy
    return Genotype(drawn.nodes, drawn.output, f"ptb-seed{seed}", told)


def _write(folder, command, seed, settings):
    """config.gin and operative_config.gin."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{name} = {value!r}" for name, value in settings.items()]
    header = f'# bayesnas_tf run: {{"command": "{command}", "seed": {seed}}}'
    (folder / "config.gin").write_text("\n".join([header, *lines, ""]))
    (folder / "operative_config.gin").write_text("\n".join([*lines, ""]))
    (folder / "pins.json").write_text(json.dumps({"corpus": "9d2d31d229f0aa7e"}))


def _metrics(folder, train, valid):
    """metrics.jsonl of perplexities per step and per epoch."""
    rows = [
        {"step": 10 * k, "epoch": 1, "split": "train", "nats": np.log(p), "ppl": p}
        for k, p in enumerate(train, 1)
    ]
    rows += [
        {"step": 100 * k, "epoch": k, "split": "valid", "nats": np.log(p), "ppl": p}
        for k, p in enumerate(valid, 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def search(folder, seed=0, lambda_w=0.17, genotype=None, corpus="ptb", limit=0, norm="mean", learnable=False):
    """The directory of an ended search; returns its cell."""
    genotype = genotype or found_cell(seed, lambda_w)
    settings = {
        "CorpusOptions.name": corpus,
        "CorpusOptions.limit_tokens": limit,
        "CellOptions.units": 64,
        "CellOptions.norm": norm,
        "CellOptions.norm_learnable": learnable,
        "ScalarOptions.lambda_w": lambda_w,
        "search.epochs": 1,
    }
    _write(folder, "search", seed, settings)
    generator = np.random.default_rng(seed + round(1000 * lambda_w))
    train = 180 + 500 * np.exp(-np.arange(1, 25) / 6) + 60 * lambda_w + generator.normal(0, 6, 24)
    _metrics(folder, train.tolist(), [float(train[-1] + 8)])
    edges = topology.edges(8)
    gamma = np.exp(generator.normal(-1.5, 1.5, (1, len(edges), len(OP_NAMES))))
    for number, node in enumerate(genotype.nodes, start=1):
        gamma[0, topology.edge_index(node.source, number), OP_NAMES.index(node.op)] = 5.0
    arrays = {name: gamma for name in ("w", "h", "c", "omega", "s", "gamma")}
    np.savez(
        folder / "posterior.npz", **arrays, pruned=gamma < 0.0585, edges=edges, ops=OP_NAMES, kappa=6588.0
    )
    genotype.save(folder / "genotype.json")
    warnings = ["62% of the nodes apply the identity."] if seed % 2 else []
    health = {"gain": 0.17, "pull_ratio": 1.3, "travel": 0.9, "h_reliability": 0.99, "stability": 0.92,
              "star_share": 0.25, "mean_depth": 2.5, "identity_share": 0.3, "warnings": warnings}  # fmt: skip
    ppl = float(train[-1] + 8)
    summary = {"kind": "search", "genotype": genotype.to_dict(), "live_nodes": len(genotype.nodes),
               "pruned_fraction": float((gamma < 0.0585).mean()), "travel": 0.9, "valid_ppl": ppl,
               "seconds": {"train": 600.0 + seed, "hessian": 40.0}, "tokens_per_second": 1500.0,
               "epochs": 1, "seed": seed, "health": health, "made_by": MADE_BY}  # fmt: skip
    config.write_json(folder / "summary.json", summary)
    return genotype


def evaluate(
    folder,
    genotype,
    seed=0,
    valid=(300.0, 180.0, 125.0),
    test=119.0,
    units=200,
    corpus="ptb",
    limit=0,
    **more,
):
    """The directory of an ended training of a cell (or, where `genotype` is a text, of a baseline)."""
    epochs = len(valid)
    settings = {
        "CorpusOptions.name": corpus,
        "CorpusOptions.limit_tokens": limit,
        "DerivedOptions.units": units,
        "evaluate.epochs": epochs,
        **more,
    }
    _write(folder, "evaluate", seed, settings)
    _metrics(folder, [], valid)
    nodes = 8 if isinstance(genotype, str) else len(genotype.nodes)
    cell = {"baseline": genotype} if isinstance(genotype, str) else {"genotype": genotype.to_dict()}
    summary = {"kind": "evaluate", **cell, "parameters": parameter_count(VOCABULARY, units, nodes),
               "units": units, "valid_ppl": valid[-1], "test_ppl": test, "epochs": epochs, "seed": seed,
               "seconds": {"train": 900.0}, "tokens_per_second": 3000.0, "made_by": MADE_BY}  # fmt: skip
    config.write_json(folder / "summary.json", summary)


def curve(end, epochs=5):
    """Validation perplexities that fall to `end`."""
    return [
        float(end * (1 + 1.4 * np.exp(-1.1 * k)) - end * 1.4 * np.exp(-1.1 * (epochs - 1)))
        for k in range(epochs)
    ]


def selection(folder, lambdas=(0.1, 0.13, 0.15, 0.17, 0.2), seeds=4, trainings=3, controls=3, better=2.0):
    """A sweep as in 5.3 at a small size: searches, trainings of their cells and of random ones.

    Searched cells are `better` perplexity better than random ones; seeds of one cell scatter by about .4.
    """
    generator = np.random.default_rng(7)
    runs, cells = [], []
    for lambda_w in lambdas:
        for seed in range(seeds):
            name = f"search-l{lambda_w:g}-s{seed}"
            nodes = 6 if lambda_w == 0.2 else 8
            cell = search(folder / name, seed, lambda_w, found_cell(seed, lambda_w, nodes))
            cells.append((f"l{lambda_w:g}-s{seed}", cell, 124.0 + generator.normal(0, 0.8)))
            runs.append(
                {"run": name, "stage": "search", "candidate": cells[-1][0], "seed": seed, "state": "done"}
            )
    cells += [
        (f"random-{k}", published.random_cell(k), 124.0 + better + generator.normal(0, 0.8))
        for k in range(controls)
    ]
    for candidate, cell, level in cells:
        for seed in range(trainings):
            name, end = f"rank-{candidate}-s{seed}", level + 0.3 * seed + float(generator.normal(0, 0.15))
            evaluate(folder / name, cell, seed, curve(end), end - 6.0)
            runs.append({"run": name, "stage": "rank", "candidate": candidate, "seed": seed, "state": "done"})
    runs.append({"run": "rank-lost-s0", "stage": "rank", "candidate": "lost", "seed": 0, "state": "failed",
                 "error": "error: the loss is not finite. Lower the rate", "attempts": 3})  # fmt: skip
    ranked = sorted(cells[: len(lambdas) * seeds], key=lambda one: one[2])[:2]
    selected = [{"candidate": name, "genotype": cell.to_dict(), "control": False, "stage": "rank"}
                for name, cell, _ in ranked]  # fmt: skip
    config.write_json(
        folder / "sweep.json", {"kind": "sweep", "name": folder.name, "runs": runs, "selected": selected}
    )
    return ranked
