"""Float64 twins of M6 to M12, one edge-op at a time, transcribed from the equations as printed.

Arrays are indexed by (source, target, op) through dictionaries: no flat index, so that they also check it.
"""

import math


def keyed(array, nodes):
    """{(i, j, o): value} of an [E, O] array in destination-major order."""
    rows = iter(array)
    return {
        (i, j, o): value for j in range(1, nodes + 1) for i in range(j) for o, value in enumerate(next(rows))
    }


def posterior_variance(gamma, h):
    """3.16 as printed."""
    return 1.0 / (1.0 / gamma + h)


def omega(gamma, c):
    """3.17 as printed."""
    return math.sqrt(gamma - c) / gamma


def switch(w, omega):
    """3.18 as printed."""
    return abs(w / omega)


def conjunction(a, b):
    """(1/a + 1/b)^-1."""
    return 1.0 / (1.0 / a + 1.0 / b)


def prior_variance(s):
    """3.19 as printed; gamma = s for edges out of node 0."""
    gamma = {}
    for j, k, o in s:
        if j == 0:
            gamma[j, k, o] = s[j, k, o]
        else:
            parents = sum(value for (i, target, _), value in s.items() if target == j)
            gamma[j, k, o] = 1.0 / (1.0 / parents + 1.0 / s[j, k, o])
    return gamma


def prior_variance_zero_edge(s, s_zero):
    """3.9 with the AND (1/s_ii' + 1/s_i'j)^-1; `s_zero` is {(i, j): value}."""
    gamma = {}
    for j, k, o in s:
        if j == 0:
            gamma[j, k, o] = s[j, k, o]
        else:
            parents = 0.0
            for (i, target, _), value in s.items():
                if target == j:
                    parents += conjunction(s_zero[i, j], value)
            gamma[j, k, o] = 1.0 / (1.0 / parents + 1.0 / s[j, k, o])
    return gamma


def entropy(gamma):
    """(1/2) ln(2 pi e gamma)."""
    return 0.5 * math.log(2.0 * math.pi * math.e * gamma)


def pruned(gamma):
    """The edge-ops of non-positive entropy, then those out of dead nodes, repeated until nothing changes."""
    gone = {key for key, value in gamma.items() if value == 0.0 or entropy(value) <= 0.0}
    while True:
        live = {0} | {j for (_, j, _) in gamma.keys() - gone}
        more = {key for key in gamma if key[0] not in live}
        if more <= gone:
            return gone
        gone |= more


def cell(scores, gone, nodes):
    """M12: [(source, op)] per live node, renumbered; the first of equal scores in (source, op) order."""
    best, number = [], {0: 0}
    for j in range(1, nodes + 1):
        left = sorted(key for key in scores if key[1] == j and key not in gone)
        if not left:
            continue
        top = max(scores[key] for key in left)
        source, _, op = next(key for key in left if scores[key] == top)
        best.append((number[source], op))
        number[j] = len(best)
    return best
