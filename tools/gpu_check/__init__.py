"""Whether a GPU gives the numbers of the CPU, and how fast it is."""
