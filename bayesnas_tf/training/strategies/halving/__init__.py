"""Random search with successive halving (Jamieson & Talwalkar 2016)."""
