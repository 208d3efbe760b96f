"""`export`: a trained run becomes a SavedModel that loads with TensorFlow alone."""

from pathlib import Path

import gin

from bayesnas_tf import config
from bayesnas_tf.errors import UserError
from bayesnas_tf.run_files import RunFiles
from bayesnas_tf.serving import model_card
from bayesnas_tf.serving.saved_model import ABOUT, about, export, facts_of
from bayesnas_tf.serving.tokenisation import RULES
from bayesnas_tf.training import trained_files
from bayesnas_tf.training.checkpoints import restore_best
from bayesnas_tf.training.evaluate_settings import EvaluateSettings, build_model


def run_export(run: config.Run) -> None:
    """Write the best weights of a run of `evaluate` as a SavedModel."""
    directory, out = Path(run.options.run), Path(run.options.out)
    if config.stored_command(directory) != "evaluate":
        raise UserError(f"{directory} holds no trained cell. Give the directory of a run of `evaluate`")
    if (out / "saved_model.pb").is_file() and not run.overwrite:
        raise UserError(
            f"{out} already holds a SavedModel. Choose another --out, or replace it with --overwrite"
        )
    settings: EvaluateSettings = gin.get_configurable("evaluate")()
    genotype = trained_files.read_genotype(directory) if settings.baseline is None else None
    vocabulary = trained_files.read_vocabulary(directory)
    trained_files.check_trained(directory, genotype, vocabulary)
    model = build_model(settings, len(vocabulary), genotype)
    restore_best(RunFiles(directory).checkpoints, model)
    facts = facts_of(directory, settings, model, genotype)
    if run.dry_run:
        print(f"would write {facts.name} with {facts.parameters:,} parameters to {out}")
        return
    texts = {ABOUT: about(facts), Path(model_card.FILE): model_card.card(facts)}
    export(model, vocabulary, RULES[settings.corpus.name], texts, out)
    print(f"wrote {out}: {facts.name}, {facts.parameters:,} parameters; it computes the same as the run")
