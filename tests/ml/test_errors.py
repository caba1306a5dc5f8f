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
def test_an_error_survives_the_way_between_processes(error: MlError):
    copy = pickle.loads(pickle.dumps(error))

    assert (str(copy), vars(copy)) == (str(error), vars(error))


def test_a_missing_model_says_how_to_train_one():
    assert str(ModelNotTrained(FOLDER)) == (
        "There is no spam model in /models/sms: run `python -m ml.train_spam_detector`."
    )


def test_a_missing_corpus_names_the_option_that_does_without():
    assert "--data FILE" in str(CorpusUnavailable("no network"))


def test_a_bad_line_is_named_by_its_number():
    assert str(BadCorpus(Path("sms.tsv"), 3, "no tab")) == "sms.tsv, line 3: no tab."
