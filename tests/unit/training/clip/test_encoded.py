"""Batches whose captions are encoded beforehand."""

import pytest
import torch

from guidegen.training.clip import model as clip
from guidegen.training.clip.batches import SceneBatches
from guidegen.training.clip.encoded import EncodedBatches, PreparedBatches


def first_token(tokens):
    """Stands in for the text tower: a caption's first three tokens."""
    return tokens[:, 1:4].float() / 50_000


@pytest.fixture
def source(train_set):
    return SceneBatches(*train_set, seed=0, pairs=0.25)


def test_a_batch_follows_from_seed_and_step_alone(source, train_set):
    ours = PreparedBatches(source, first_token, texts=60, together=3)
    third = ours(5, 8, 32)
    again = PreparedBatches(SceneBatches(*train_set, seed=0, pairs=0.25), first_token, texts=60,
                            together=3)  # fmt: skip
    again(4, 8, 32)
    for name in ("images", "text", "concepts"):
        assert torch.equal(getattr(third, name), getattr(again(5, 8, 32), name)), name
    assert not torch.equal(third.images, ours(4, 8, 32).images)
    assert ours(5, 8, 48).images.shape == (8, 3, 48, 48)


def test_texts_are_those_of_the_pictures_that_stand_beside_them(source):
    ours = PreparedBatches(source, first_token, texts=400, together=2)
    told: dict = {}
    for step in range(12):
        batch = ours(step, 8, 16)
        for text, concepts in zip(batch.text, batch.concepts.tolist(), strict=True):
            told.setdefault(tuple(text.half().tolist()), set()).add(concepts[0])
    # of one thing without a colour of its own, the caption begins with its colour and shape
    known = {}
    tokens = clip.tokenize(clip.new_tokenizer(), source.bank)
    for number, text in enumerate(first_token(tokens).half().tolist()):
        known[tuple(text)] = number
    both = [(told[text], number) for text, number in known.items() if text in told]
    assert both
    assert all(number in seen for seen, number in both)


def test_each_batch_has_its_share_of_pairs(source):
    ours = PreparedBatches(source, first_token, texts=60, together=4)
    for step in range(4):
        concepts = ours(step, 8, 16).concepts
        assert int(concepts[:, 1].ge(0).sum()) == 2


def test_captions_of_every_batch_are_encoded_where_none_are_prepared(source):
    batch = EncodedBatches(source, first_token)(3, 8, 16)
    plain = source.batch(3, 8, 16, torch.device("cpu"))
    assert torch.equal(batch.images, plain.images)
    tokens = clip.tokenize(clip.new_tokenizer(), plain.texts)
    assert torch.equal(batch.text, first_token(tokens))
