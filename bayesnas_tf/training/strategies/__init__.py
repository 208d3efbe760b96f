"""How a search comes to its cell: BayesNAS, DARTS, random search and ENAS behind one interface."""
