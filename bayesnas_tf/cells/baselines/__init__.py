"""Layers of other systems, which results are compared with."""
