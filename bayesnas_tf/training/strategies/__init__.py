"""How a search comes to its cell: BayesNAS and its rivals, behind one interface."""
