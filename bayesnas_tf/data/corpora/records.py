"""All corpora by their names."""

from bayesnas_tf.data.corpora.ptb import PTB
from bayesnas_tf.data.corpora.record import Record
from bayesnas_tf.data.corpora.sotu import SOTU
from bayesnas_tf.data.corpora.text import TEXT
from bayesnas_tf.data.corpora.wikitext2 import WIKITEXT2

RECORDS: dict[str, Record] = {record.name: record for record in (PTB, WIKITEXT2, SOTU, TEXT)}
