"""`score`: perplexity of a text file under a SavedModel, or the continuation of a prompt."""

from pathlib import Path

from bayesnas_tf import config
from bayesnas_tf.serving import generation
from bayesnas_tf.serving.scoring import describe, generate, last_line, load, readable, score_file


def run_score(run: config.Run) -> None:
    """Score a text, or print the sentence that continues a prompt."""
    options = run.options
    loaded = load(Path(options.model))  # the signatures do not keep the weights alive
    signatures = loaded.signatures
    if run.dry_run:
        print(f"{options.model} loads. --dry_run scores and generates nothing", flush=True)
        return
    if options.generate:
        prompt = options.prompt or (last_line(Path(options.text)) if options.text else "")
        origin = "the prompt" if options.prompt or not options.text else f"the last line of {options.text}"
        drawing = generation.Drawing(options.temperature, options.top_k, run.seed)
        words = generate(signatures, readable(prompt), options.generate, drawing, origin)
        print(" ".join(words), flush=True)  # here, so that a full disk is an error of this command
        return
    print(describe(score_file(signatures, Path(options.text))), flush=True)
