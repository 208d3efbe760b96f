"""Random search with weight sharing (Li & Talwalkar 2019)."""
