"""Everything between the command line and the code: flags, gin files, run directory, metrics.

An entry module ends in `config.launch(main, "search")`; `main` gets a `Run`.
"""

from bayesnas_tf.config.bindings import MODULES, checked
from bayesnas_tf.config.extension import extend
from bayesnas_tf.config.launch import launch, open_run, parse, run_command
from bayesnas_tf.config.locks import taken
from bayesnas_tf.config.metrics import Metrics, write_json, write_text
from bayesnas_tf.config.provenance import made_by
from bayesnas_tf.config.resolve import deciding
from bayesnas_tf.config.run import Run
from bayesnas_tf.config.run_directory import pin, record_operative, stored_command
from bayesnas_tf.config.stored import json_object, pins, result, summary

__all__ = [
    "MODULES",
    "Metrics",
    "Run",
    "checked",
    "deciding",
    "extend",
    "json_object",
    "launch",
    "made_by",
    "open_run",
    "parse",
    "pin",
    "pins",
    "record_operative",
    "result",
    "run_command",
    "stored_command",
    "summary",
    "taken",
    "write_json",
    "write_text",
]
