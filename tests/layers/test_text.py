"""The text encoder against the paper's sizes and against padding; the joint embedding objective by hand."""

import pytest
import torch
from torch import nn

from lit_gen.data.alphabet import ALPHABET, encode
from lit_gen.layers import text
from lit_gen.layers.text import (
    ImageEncoder,
    TextEncoder,
    joint_embedding_loss,
    one_hot,
)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return TextEncoder((8, 8, 8), 5)


def test_parameter_counts_of_the_paper():
    """70 characters, kernels of 4; a GRU has three gates with two biases each."""
    paper = TextEncoder((384, 512, 512), 1024)
    convolutions = 70 * 4 * 384 + 384 + 384 * 4 * 512 + 512 + 512 * 4 * 512 + 512
    recurrent = 3 * (2 * 512 * 512 + 2 * 512)
    assert sum(p.numel() for p in paper.parameters()) == convolutions + recurrent + 512 * 1024 + 1024
    assert [layer.kernel_size for layer in paper.convolutions if isinstance(layer, nn.MaxPool1d)] == [3, 3]


def test_201_characters_without_padding_make_the_papers_18_steps():
    assert TextEncoder((4, 4, 4), 2).convolutions(torch.zeros(1, 70, 201)).shape == (1, 4, 18)


def test_padding_and_unknown_characters_are_rows_of_zeros():
    caption = torch.tensor([[1, 0, 70, 71, -1, 0]])
    rows = one_hot(caption)[0].T  # (L, 70)
    assert rows.shape == (6, 70)
    assert rows[0].tolist() == [1.0] + [0.0] * 69 and rows[2].tolist() == [0.0] * 69 + [1.0]
    assert not rows[[1, 3, 4, 5]].any()
    known = one_hot(encode("a\N{SNOWMAN}b", 5)[None])[0].sum(0)
    assert known.tolist() == [1, 0, 1, 0, 0]


def test_characters_are_where_the_alphabet_has_them():
    numbers = encode("bald, 60", 8)
    places = one_hot(numbers[None])[0].argmax(0)
    assert "".join(ALPHABET[place] for place in places) == "bald, 60"


@pytest.mark.parametrize("length", [1, 8, 9, 10, 47, 48, 49, 96])
def test_the_vector_does_not_depend_on_the_padding(encoder, length):
    torch.manual_seed(length)
    sentence = torch.randint(1, 71, (3, length))
    vectors = [encoder(nn.functional.pad(sentence, (0, padding))) for padding in (0, 1, 5, 9, 60)]
    for other in vectors[1:]:
        torch.testing.assert_close(other, vectors[0])


def test_a_step_for_each_ninth_character(encoder):
    """The mean over steps by hand, of a sentence of 19 characters: steps begin at 0, 9 and 18."""
    sentence = torch.randint(1, 71, (1, 19))
    windows = nn.functional.pad(one_hot(sentence), (0, 47))
    steps = [encoder.convolutions(windows[:, :, start : start + 48])[:, :, 0] for start in (0, 9, 18)]
    state, states = torch.zeros(1, 8), []
    cell = nn.GRUCell(8, 8)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in encoder.recurrent.state_dict().items()})
    for step in steps:
        state = cell(step, state)
        states.append(state)
    torch.testing.assert_close(encoder(sentence), encoder.project(sum(states) / 3))


def test_every_character_counts(encoder):
    """Also the last ones, which a convolution without padding would leave over."""
    sentence = torch.randint(1, 70, (1, 53))
    for place in range(53):
        changed = sentence.clone()
        changed[0, place] += 1
        assert not torch.equal(encoder(changed), encoder(sentence)), place


def test_rows_are_independent_and_blank_ones_finite(encoder):
    captions = torch.stack([encode("a smiling woman", 60), torch.zeros(60, dtype=torch.int64), encode("a man", 60)])
    together = encoder(captions)
    assert torch.isfinite(together).all()
    for row in range(3):
        torch.testing.assert_close(together[row : row + 1], encoder(captions[row : row + 1]))


def test_image_encoder():
    torch.manual_seed(0)
    encoder = ImageEncoder([8, 4, 2], 3, 5)
    convolutions = 16 * (3 * 2 + 2 * 4 + 4 * 8) + 2 * (2 + 4 + 8)
    assert sum(p.numel() for p in encoder.parameters()) == convolutions + 8 * 16 * 5 + 5
    assert encoder(torch.randn(2, 3, 32, 32)).shape == (2, 5)


def test_scores_are_inner_products_in_float32_also_under_autocast():
    images, texts = torch.tensor([[1.0, 2.0], [0.0, 3.001]]), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    with torch.autocast("cpu", torch.bfloat16):
        scores = text.embedding_scores(images, texts.bfloat16())
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, torch.tensor([[1.0, 0.0], [3.0, 3.001]]))


def test_hinges_by_hand():
    """Three sentences (rows) and images (columns); sentence 2 fits image 0, so that this pair does not compete."""
    scores = torch.tensor([[3.0, 1.0, 2.5], [0.0, 2.0, 0.5], [9.0, 1.5, 2.0]])
    mismatch = torch.tensor([[False, True, True], [True, False, True], [False, True, False]])
    # pair      own of text   own of image
    # (0, 1)    1 + 1 - 3 < 0      1 + 1 - 2 = 0
    # (0, 2)    1 + 2.5 - 3 = 0.5  1 + 2.5 - 2 = 1.5
    # (1, 0)    1 + 0 - 2 < 0      1 + 0 - 3 < 0
    # (1, 2)    1 + 0.5 - 2 < 0    1 + 0.5 - 2 < 0
    # (2, 1)    1 + 1.5 - 2 = 0.5  1 + 1.5 - 2 = 0.5
    assert joint_embedding_loss(scores, mismatch).item() == pytest.approx((0.5 + 1.5 + 0.5 + 0.5) / 5)


def test_no_pairs_no_loss():
    scores = torch.randn(4, 4, requires_grad=True)
    loss = joint_embedding_loss(scores, torch.zeros(4, 4, dtype=torch.bool))
    loss.backward()
    assert loss == 0 and (scores.grad == 0).all()


def test_mean_where():
    values, chosen = torch.tensor([1.0, 5.0, 100.0]), torch.tensor([True, True, False])
    assert text.mean_where(values, chosen) == 3
    assert text.mean_where(values, torch.zeros(3, dtype=torch.bool)) == 0
