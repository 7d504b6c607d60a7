"""Which of WordNet's nouns become a vocabulary."""

import gzip

import pytest

from guidegen.errors import DataError
from guidegen.training.data.nouns import build_nouns

DATA = """\
  1 the licence | of WordNet
0001 05 n 02 owl 0 bird_of_night 1 000 | a bird
0002 06 n 01 grand_piano 0 000 | an instrument
0003 18 n 01 insult 0 000 | a person
0004 18 n 01 woman 0 000 | a person
0005 15 n 01 Paris 0 000 | a place
0006 07 n 01 freedom 0 000 | nothing to be seen
"""
# lemma, part, senses, pointers, senses again, tagged senses, offsets
INDEX = """\
  1 the licence of WordNet
bird_of_night n 1 1 @ 1 0 0001
freedom n 1 1 @ 1 1 0006
grand_piano n 1 0 1 0 0002
insult n 1 1 @ 1 1 0003
owl n 2 1 @ 2 1 0001 0003
paris n 1 1 @ 1 1 0005
woman n 1 1 @ 1 1 0004
"""


def test_things_that_can_be_seen_are_taken_the_usual_ones_first(tmp_path):
    (tmp_path / "data.noun").write_text(DATA)
    (tmp_path / "index.noun").write_text(INDEX)
    for name in ("a.gz", "b.gz"):
        build_nouns(tmp_path, tmp_path / name)
    text = gzip.decompress((tmp_path / "a.gz").read_bytes()).decode()
    assert text.split("\n") == ["owl", "woman", "", "bird of night", "grand piano"]
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_no_database_is_one_line(tmp_path):
    with pytest.raises(DataError, match="apt install wordnet-base"):
        build_nouns(tmp_path, tmp_path / "x.gz")
