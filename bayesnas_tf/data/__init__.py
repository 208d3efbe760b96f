"""From text to windows: corpora, their vocabularies, and batches of token ids. Nothing here knows Keras."""
