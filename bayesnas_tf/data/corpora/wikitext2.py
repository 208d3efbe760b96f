"""WikiText-2 at word level."""

from bayesnas_tf.data import sources
from bayesnas_tf.data.corpora.record import Record

FILES = sources.Published(
    "wikitext2",
    {
        "train": ("wiki.train.tokens", "34a77ebe59551b3a3b3d8c0a2797c976"),
        "valid": ("wiki.valid.tokens", "d756d22ab2310e7e60c094bea5c5a8eb"),
        "test": ("wiki.test.tokens", "781c9418ab9414bd09e4aad825aae752"),
    },
    "wikitext-2-v1.zip",
    (
        "https://wikitext.smerity.com/wikitext-2-v1.zip",
        "https://raw.githubusercontent.com/pytorch/examples/main/word_language_model/data/wikitext-2/{split}.txt",
        "https://s3.amazonaws.com/research.metamind.io/wikitext/wikitext-2-v1.zip",
    ),
)

WIKITEXT2 = Record(
    name="wikitext2",
    about="WikiText-2, verified articles of the English Wikipedia",
    terms="CC BY-SA 3.0",
    licence={"license": "cc-by-sa-3.0"},
    read=lambda files, data_dir: sources.published(FILES, data_dir),
    homepage="https://arxiv.org/abs/1609.07843",
    citation="""@inproceedings{merity2017pointer,
  title = {Pointer Sentinel Mixture Models},
  author = {Merity, Stephen and Xiong, Caiming and Bradbury, James and Socher, Richard},
  booktitle = {International Conference on Learning Representations}, year = {2017}}""",
    types=33_278,
    train_tokens=2_088_628,
)
