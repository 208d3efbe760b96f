"""ENAS: a controller writes cells and learns by REINFORCE (Pham et al. 2018)."""
