"""Sizes of language models, by formula."""


def parameter_count(vocabulary: int, units: int, nodes: int) -> int:
    """Of a cell of the space `highway`: V U + V + (2U)^2 + n 2U^2 (tables 5.2 and 5.3 of the thesis)."""
    return vocabulary * units + vocabulary + (2 * units) ** 2 + nodes * 2 * units**2
