"""Text files of the user's own."""

from bayesnas_tf.data import text
from bayesnas_tf.data.corpora.record import Record

TEXT = Record(
    name="text",
    about="A text that the author of this model chose",
    terms="unknown to this program; ask the author of the model",
    licence={"license": "unknown"},
    read=lambda files, data_dir: text.source(*files, data_dir),
    language=None,
)
