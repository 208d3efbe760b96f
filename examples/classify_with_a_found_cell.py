"""A found cell as a layer of your own Keras model: a text classifier.

    python -m examples.classify_with_a_found_cell                               # the published cell DARTS_V2
    python -m examples.classify_with_a_found_cell LSTM                          # another cell, by its name
    python -m examples.classify_with_a_found_cell runs/ptb-seed0/genotype.json  # the cell that a search found

The sentences are made here: "the plot was not bad and the end was great" is a good review. "not" turns the
word behind it, so a count of words is not enough.
"""

import random
import sys

import keras
import numpy as np

from bayesnas_tf.cells.derived_cell import DerivedCell, DerivedOptions
from bayesnas_tf.space import known

PRAISE, BLAME = ("good", "great", "funny", "clever"), ("bad", "poor", "dull", "silly")
THINGS = ("plot", "cast", "end", "music")


def reviews(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """So many sentences and their labels, 1 for a good review."""
    draw, sentences, labels = random.Random(seed), [], []
    for _ in range(count):
        label, parts = draw.randint(0, 1), []
        for thing in draw.sample(THINGS, draw.randint(1, 2)):
            turned = draw.randint(0, 1)
            word = draw.choice(PRAISE if label != turned else BLAME)
            parts.append(f"the {thing} was {'not ' if turned else ''}{word}")
        sentences.append(" and ".join(parts))
        labels.append(label)
    return np.array(sentences), np.array(labels)


def main(name: str = "DARTS_V2") -> None:
    """Train a classifier around the cell, and print how many new sentences it gets right."""
    keras.utils.set_random_seed(0)
    sentences, labels = reviews(2000, seed=1)
    new_sentences, new_labels = reviews(500, seed=2)
    words = keras.layers.TextVectorization(output_sequence_length=12)
    words.adapt(sentences)

    # the default init_range is that of DARTS for 850 units; so few units need larger weights
    cell = DerivedCell(known.find_genotype(name, seed=0), DerivedOptions(units=32, init_range=0.2))
    model = keras.Sequential(
        [
            keras.layers.Embedding(words.vocabulary_size(), 32, mask_zero=True),
            keras.layers.RNN(cell),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    model.fit(words(sentences), labels, batch_size=50, epochs=5, verbose=2)
    _, accuracy = model.evaluate(words(new_sentences), new_labels, verbose=0)
    print(f"{name}: {accuracy:.1%} of {len(new_labels)} new sentences are right, chance is 50 %")


if __name__ == "__main__":
    main(*sys.argv[1:2])
