"""Recurrent cells: the mixed search cell and the cell of one genotype."""
