import pytest
import tensorflow as tf

from bayesnas_tf.cells.derived_cell import DerivedCell, DerivedOptions
from bayesnas_tf.data.vocabulary import Vocabulary
from bayesnas_tf.errors import UserError
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.reporting import saved_model, scoring
from bayesnas_tf.reporting.graph_text import RULES
from tests.reporting import trained


def test_a_file_scores_as_evaluate_does_whatever_the_chunks(exported, signatures, monkeypatch):
    summary = trained.summary(exported)
    whole = scoring.score_file(signatures, exported / "valid.txt")
    assert whole.tokens == summary["valid_tokens"]
    assert whole.nats == pytest.approx(summary["valid_nats"] * summary["valid_tokens"], rel=1e-5)
    assert (whole.lines, whole.unknown) == (22, 1)
    assert whole.words == len((exported / "valid.txt").read_text().split())
    monkeypatch.setattr(scoring, "CHUNK", 20)
    pieces = scoring.score_file(signatures, exported / "valid.txt")
    assert pieces[:4] == whole[:4]
    assert pieces.nats == pytest.approx(whole.nats, rel=1e-6)


def test_the_command_prints_the_result(exported, capfd):
    assert trained.score(exported, f"--text={exported}/valid.txt") == 0
    out = capfd.readouterr().out.splitlines()
    assert [line.split()[0] for line in out] == ["lines", "tokens", "nats", "perplexity", "unknown"]
    assert out[3].split()[1] == f"{trained.summary(exported)['valid_ppl']:,.2f}"


@pytest.mark.parametrize(
    ("content", "part"), [(None, "no such file"), (b"", "is empty"), (b"\n", "nothing to predict")]
)
def test_a_text_without_a_score_is_one_line(exported, tmp_path, capfd, content, part):
    if content is not None:
        (tmp_path / "text").write_bytes(content)
    assert trained.score(exported, f"--text={tmp_path}/text") == 1
    err = capfd.readouterr().err
    assert part in err
    assert err.count("\n") == 1


def test_what_is_no_model_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no SavedModel in"):
        scoring.load(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="cannot load"):
        scoring.load(tmp_path)
    tf.saved_model.save(tf.Module(), str(tmp_path / "other"))
    with pytest.raises(UserError, match="no signature 'score_next'"):
        scoring.load(tmp_path / "other")


def test_a_prompt_is_the_flag_or_the_last_line_of_the_text_or_nothing(exported, tmp_path, capfd):
    (tmp_path / "text").write_text("one two\nthree four\n\n")
    starts = {
        ("--prompt=five",): "five ",
        (f"--text={tmp_path}/text",): "three four ",
        (f"--text={tmp_path}/text", "--prompt=five"): "five ",
        (): "",
    }
    for arguments, start in starts.items():
        assert trained.score(exported, "--generate=3", *arguments) == 0
        out = capfd.readouterr().out
        assert out.startswith(start)
        assert out.count("\n") == 1
        assert out.strip() != start.strip()


def test_a_word_that_the_model_cannot_read_is_named_with_its_line(tmp_path):
    words = Vocabulary(("one", "two", "<eos>"))
    model = LanguageModel(3, DerivedCell(trained.GENOTYPE, DerivedOptions(units=4)), ModelOptions())
    saved_model.export(model, words, RULES["text"], {}, tmp_path / "model")
    signatures = (loaded := scoring.load(tmp_path / "model")).signatures
    text = tmp_path / "text"
    text.write_text("one one\none\n\none zebra\none yak\n")
    refused = r"cannot score .*text, line 4: the vocabulary has no <unk>, and the text has the word 'zebra'"
    with pytest.raises(UserError, match=refused):
        scoring.score_file(signatures, text)
    drawing = scoring.generation.Drawing(0.0, 0, 0)
    with pytest.raises(UserError, match=r"cannot continue the last line of .*text: .*zebra"):
        scoring.generate(signatures, "one zebra", 3, drawing, f"the last line of {text}")
    assert loaded is not None  # the signatures do not keep the weights alive
