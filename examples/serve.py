"""Use an exported cell with TensorFlow alone: score lines, and write a text token by token.

    python -m bayesnas_tf.export --run=runs/quickstart_eval-seed0
    python examples/serve.py runs/quickstart_eval-seed0/saved_model "we must begin ." "my fellow citizens ,"

It imports nothing of bayesnas_tf. Without lines it reads standard input. The model
then goes on from the first line, one token at a time. A server with many clients does the same: all that it
keeps of a client is one row of `state`.
"""

import sys

import numpy as np
import tensorflow as tf

TOKENS, TEMPERATURE = 20, 0.8


def score(model, lines: list[str]) -> None:
    """Print the perplexity of each line, and of all as one text."""
    found = model.signatures["score"](lines=tf.constant(lines))
    nats, tokens = found["nats"].numpy(), found["tokens"].numpy()
    for line, perplexity in zip(lines, np.exp(nats / np.maximum(tokens, 1)), strict=True):
        print(f"{perplexity:10.1f}  {line}")
    print(f"{np.exp(nats.sum() / max(tokens.sum(), 1)):10.1f}  all {tokens.sum()} tokens")


def stream(model, prompt: str, count: int, seed: int = 0):
    """The words that follow the prompt, one after the other."""
    encode, decode, step = (model.signatures[name] for name in ("encode", "decode", "step"))
    _, inputs = step.structured_input_signature
    state = tf.zeros([1, inputs["state"].shape[1]], inputs["state"].dtype)  # one row: one client
    ids = encode(lines=tf.constant([prompt]))["ids"]
    for token in np.roll(ids, 1):  # the end of a line, then the words of this one
        after = step(ids=tf.constant([token]), state=state)
        state = after["state"]
    draw = np.random.default_rng(seed)
    for _ in range(count):
        scores = after["log_probabilities"][0].numpy().astype(float) / TEMPERATURE
        chances = np.exp(scores - scores.max())
        token = tf.constant([draw.choice(len(chances), p=chances / chances.sum())], tf.int32)
        yield decode(ids=token)["words"][0].numpy().decode()
        after = step(ids=token, state=state)
        state = after["state"]


def main(path: str, *lines: str) -> None:
    """Score the lines, and go on from the first one."""
    model = tf.saved_model.load(path)
    text = list(lines) or sys.stdin.read().splitlines()
    score(model, text)
    print(text[0], end="")
    for word in stream(model, text[0], TOKENS):
        print(f" {word}", end="", flush=True)
    print()


if __name__ == "__main__":
    main(*sys.argv[1:])
