"""The history of fakes, against a set that is kept beside it."""

import pytest
import torch

from lit_gen.training.image_pool import ImagePool


def numbered(first, count):
    """`count` images 1x2x2 that consist of their number."""
    return torch.arange(first, first + count).float().view(-1, 1, 1, 1).expand(-1, 1, 2, 2)


def numbers(images):
    assert torch.equal(images, images[:, :1, :1, :1].expand_as(images))
    return [int(image[0, 0, 0]) for image in images]


@pytest.mark.parametrize("batch_size", [1, 3])
def test_pool_until_it_is_full(batch_size):
    pool = ImagePool(6)
    for first in range(0, 6, batch_size):
        assert numbers(pool(numbered(first, batch_size))) == list(range(first, first + batch_size))
    assert numbers(pool.get_extra_state()) == list(range(6))


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_pool_when_it_is_full(batch_size):
    """Against a set kept beside it: an old image leaves when it is shown, the new one takes its place."""
    torch.manual_seed(0)
    pool = ImagePool(50)
    pool(numbered(0, 50))
    stored, ages, old, total = set(range(50)), [], 0, 4000
    for first in range(50, 50 + total, batch_size):
        for new, shown in zip(
            range(first, first + batch_size), numbers(pool(numbered(first, batch_size))), strict=True
        ):
            if shown != new:
                stored.remove(shown)  # fails unless it was there
                stored.add(new)
                ages.append(new - shown)
                old += 1
    assert set(numbers(pool.get_extra_state())) == stored and len(stored) == 50
    assert old / total == pytest.approx(0.5, abs=5 * 0.5 / total**0.5)
    # Any of 50 with equal chances, at every other image: an image stays for 100 images on average.
    assert sum(ages) / old == pytest.approx(100, rel=0.15)


def test_pool_decides_for_each_image():
    torch.manual_seed(0)
    pool = ImagePool(50)
    pool(numbered(0, 50))
    batches = [range(first, first + 8) for first in range(50, 850, 8)]
    new = [len(set(batch) & set(numbers(pool(numbered(batch[0], 8))))) for batch in batches]
    # Binomial, 8 tosses; a decision for the whole batch would give 0 or 8, of variance 16.
    assert torch.tensor(new).float().var().item() == pytest.approx(2, abs=1)


def test_pool_keeps_copies_without_graph():
    pool = ImagePool(2)
    image = torch.ones(1, 1, 2, 2, requires_grad=True)
    made = image * 2
    assert not pool(made).requires_grad
    with torch.no_grad():
        made.zero_()
    assert pool.get_extra_state().tolist() == [[[[2.0, 2.0], [2.0, 2.0]]]]
    assert not pool.get_extra_state().requires_grad


def test_no_pool():
    pool = ImagePool(0)
    assert numbers(pool(numbered(3, 2))) == [3, 4] and len(pool.get_extra_state()) == 0


@pytest.mark.parametrize("count", [0, 10, 50])
def test_pool_in_a_state_dict(count, tmp_path):
    """Public code loses it: a pool of 10 came back as 0."""
    pool, other = ImagePool(50), ImagePool(50)
    if count:
        pool(numbered(0, count))
    torch.save(pool.state_dict(), tmp_path / "pool.pt")
    other.load_state_dict(torch.load(tmp_path / "pool.pt", weights_only=True))
    assert numbers(other.get_extra_state()) == list(range(count)) if count else not len(other.get_extra_state())
    torch.manual_seed(1)
    first = numbers(pool(numbered(100, 60)))
    torch.manual_seed(1)
    assert numbers(other(numbered(100, 60))) == first
    assert not list(pool.buffers()), "DDP would overwrite buffers with those of the first process"


def test_pool_keeps_its_images_when_it_moves():
    pool = ImagePool(3)
    images = torch.rand(3, 1, 2, 2)
    pool(images)
    pool.to("cpu")
    pool.to(torch.float64).half()  # images are pictures, not weights: their type stays
    assert torch.equal(pool.get_extra_state(), images)
    pool.set_extra_state(images[:2])
    assert torch.equal(pool.get_extra_state(), images[:2])
