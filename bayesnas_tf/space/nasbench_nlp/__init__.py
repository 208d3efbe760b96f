"""The cells of NAS-Bench-NLP, which others drew and trained: read as programs, trained, not searched."""
