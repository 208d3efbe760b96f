"""Corpora as streams of ids: what is known of each (a record in a file of its own), and how one is loaded."""

from bayesnas_tf.data.corpora.loading import Corpus, load
from bayesnas_tf.data.corpora.options import CorpusOptions, Name, cut_to, name_of
from bayesnas_tf.data.corpora.records import RECORDS, Record

__all__ = ["RECORDS", "Corpus", "CorpusOptions", "Name", "Record", "cut_to", "load", "name_of"]
