"""Cells with a memory state and products with gates: LSTM, GRU and DARTS' cells are points of the space."""
