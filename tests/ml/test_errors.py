import pickle
from pathlib import Path

import pytest

from ml.errors import (
    BadCorpus,
    CannotWrite,
    CorpusUnavailable,
    InvalidMessage,
    MlError,
    ModelCorrupt,
    ModelNotTrained,
)

FOLDER = Path("/models/sms")


@pytest.mark.parametrize(
    "error",
    [
        BadCorpus(FOLDER, 3, "no tab"),
        CannotWrite(FOLDER, "no space"),
        CorpusUnavailable("no network"),
        InvalidMessage(7),
        ModelCorrupt(FOLDER, "altered"),
        ModelNotTrained(FOLDER),
    ],
)
def test_errors_survive_pickling(error: MlError):
    copy = pickle.loads(pickle.dumps(error))

    assert (str(copy), vars(copy)) == (str(error), vars(error))


def test_a_missing_model_says_how_to_train_one():
    assert str(ModelNotTrained(FOLDER)) == (
        "There is no spam model in /models/sms: "
        "run `python -m ml.train_spam_detector --out /models/sms`."
    )


def test_a_missing_email_model_says_how_to_train_one():
    assert str(ModelNotTrained(Path("/models/email"))) == (
        "There is no spam model in /models/email: "
        "run `python -m ml.train_spam_detector --channel email --out /models/email`."
    )


def test_a_refused_model_says_why_and_what_to_do():
    assert str(ModelCorrupt(Path("/models/email"), "altered")) == (
        "The spam model in /models/email cannot be used: altered. "
        "Train it again: `python -m ml.train_spam_detector --channel email --out /models/email`."
    )


def test_an_unavailable_corpus_names_the_data_option():
    assert "--data FILE" in str(CorpusUnavailable("no network"))


def test_a_bad_line_is_reported_with_its_number():
    assert str(BadCorpus(Path("sms.tsv"), 3, "no tab")) == "sms.tsv, line 3: no tab."


def test_a_bad_file_is_reported_without_a_line_number():
    assert str(BadCorpus(Path("mail"), None, "no label")) == "mail: no label."


def test_a_file_that_cannot_be_written_is_reported_with_the_reason():
    assert str(CannotWrite(FOLDER, "no space")) == "Cannot write /models/sms: no space."


def test_invalid_message_is_a_value_error():
    assert isinstance(InvalidMessage(7), ValueError)
