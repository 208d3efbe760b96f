"""Text files of the user's own."""

from bayesnas_tf.data import text
from bayesnas_tf.data.corpora.record import Record

TEXT = Record(
    name="text",
    about="A text of whoever trained this model",
    terms="not known to this program: ask whoever trained it",
    licence={"license": "unknown"},
    read=lambda files, data_dir: text.source(*files, data_dir),
    language=None,
)
