"""Speed and memory: of each part, as a search grows, and of two workers side by side."""
