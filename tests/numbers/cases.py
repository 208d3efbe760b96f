"""Tiny runs that between them take every form of cell, norm, estimator, strategy and baseline."""

SEARCH = ["search"]
QUICK = {"CellOptions.nodes": 3, "search.epochs": 1}
TRAIN = {
    "DerivedOptions.units": 4,
    "DerivedOptions.hidden_dropout": 0.2,
    "DerivedOptions.input_dropout": 0.1,
    "evaluate.epochs": 2,
    "AveragingOptions.after_epoch": 1,
}
LSTM = {
    "LstmOptions.widths": (4, 3, 4),
    "LstmOptions.embedding": 4,
    "LstmOptions.state_dropout": 0.1,
    "evaluate.epochs": 1,
}
NORMED = {"CellOptions.hidden_dropout": 0.0, **QUICK}


def _search(*files, **params):
    return ("search", list(files), {**QUICK, **{name.replace("__", "."): p for name, p in params.items()}})


def _train(genotype, *files, **params):
    flags = [f"--genotype={genotype}"] if genotype else []
    base = {} if not genotype else TRAIN
    return ("evaluate", [*files], {**base, **{n.replace("__", "."): p for n, p in params.items()}}, flags)


def _baseline(name, **params):
    own = {n.replace("__", "."): p for n, p in params.items()}
    return ("evaluate", [f"baselines/{name}.gin"], {"evaluate.epochs": 1, **own}, [])


CASES = {
    "search": _search(search__epochs=2),
    "norm batch": _search(CellOptions__norm="batch"),
    "norm batch learnt": _search(CellOptions__norm="batch", CellOptions__norm_learnable=True),
    "norm layer": _search(CellOptions__norm="layer", CellOptions__norm_learnable=True),
    "norm none": _search(CellOptions__norm="none"),
    "sharing edge": _search(CellOptions__weight_sharing="edge"),
    "sharing edge_op": _search(CellOptions__weight_sharing="edge_op"),
    "switches": _search(CellOptions__zero_edge_switch=True, CellOptions__norm="layer"),
    "stages": _search(search__compile="stages"),
    "stages, edge, layer": _search(
        search__compile="stages", CellOptions__weight_sharing="edge", CellOptions__norm="layer"
    ),
    "groups of rows": _search(search__compile="stages", search__row_groups=2),
    "xla": _search(search__compile="xla"),
    "recursive, chunks": _search(CurvatureOptions__estimator="recursive", CurvatureOptions__tau=2),
    "recursive, slots, D": _search(
        CurvatureOptions__estimator="recursive",
        CurvatureOptions__tau=3,
        CurvatureOptions__truncation="slots",
        CurvatureOptions__d_term=True,
        CellOptions__norm="batch",
    ),
    "thesis, D": _search(CurvatureOptions__estimator="thesis", CurvatureOptions__d_term=True),
    "exact": _search(CurvatureOptions__estimator="exact", CellOptions__nodes=2),
    "darts1": _search("strategies/darts1.gin"),
    "darts2": _search("strategies/darts2.gin"),
    "enas": _search("strategies/enas.gin", EnasOptions__cells=4, EnasOptions__valid_windows=1),
    "random": _search("strategies/random.gin", RandomOptions__cells=2),
    "random_ws": _search(
        "strategies/random_ws.gin", RandomSharingOptions__cells=4, RandomSharingOptions__valid_windows=1
    ),
    "DARTS_V2": _train("DARTS_V2"),
    "DARTS_V2, stages": _train("DARTS_V2", evaluate__compile="stages"),
    "ENAS, stages": _train("ENAS", evaluate__compile="stages", evaluate__epochs=1),
    "random-3": _train("random-3", evaluate__epochs=1),
    "random-4-nodes6-depth11": _train("random-4-nodes6-depth11", evaluate__epochs=1),
    "rhn": _baseline("rhn", RhnOptions__units=4, RhnOptions__depth=3),
    "nas": _baseline("nas", NasOptions__units=4),
    "awd_lstm": _baseline("awd_lstm", **LSTM),
    "lstm_skip": _baseline("lstm_skip", **{**LSTM, "LstmOptions.widths": (4, 4, 4)}),
    "mos": _baseline("mos", **{**LSTM, "MixtureOptions.experts": 3}),
}
