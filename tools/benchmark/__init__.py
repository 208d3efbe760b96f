"""Speed and memory of this package: of its parts, against the sizes of a search, and of workers side by side."""
