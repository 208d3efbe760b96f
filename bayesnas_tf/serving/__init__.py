"""A trained model as a SavedModel: what it is served with, and how it scores and writes text."""
