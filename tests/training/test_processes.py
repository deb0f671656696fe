"""What one process is told, all know at the same batch, without an exchange in each."""

import time
from types import SimpleNamespace

import torch
from lightning.pytorch.strategies import DDPStrategy
from torch import distributed

from lit_gen.training.processes import Agreement
from tests.metrics.pictures import in_two_processes

BATCHES = 400


def batches_that_agree(rank: int, world: int, told_at: int | None) -> dict:
    """The first batch at which this process knows, and how many exchanges there were; the second process is told."""
    exchanges = []

    def reduce(tensor, reduce_op):
        exchanges.append(1)
        return DDPStrategy.reduce(None, tensor, reduce_op=reduce_op)

    strategy = SimpleNamespace(root_device=torch.device("cpu"), reduce=reduce)
    agreement, known = Agreement(), None
    for batch in range(BATCHES):
        time.sleep(0.002 * rank)  # the second is slower
        told = told_at is not None and rank == 1 and batch >= told_at
        stop, other = agreement.ask(strategy, [told, False], now=batch == BATCHES - 1)
        assert not other
        if stop:
            known = batch
            break
    return {"known": known, "exchanges": len(exchanges)}


def test_all_know_at_the_same_batch():
    first, second = in_two_processes(batches_that_agree, 2, 103)
    assert first == second
    assert 103 <= first["known"] <= 103 + Agreement.most_batches


def test_the_exchanges_are_few():
    """At 50 batches from one to the next, and one at the end."""
    first, second = in_two_processes(batches_that_agree, 2, None)
    assert first == second == {"known": None, "exchanges": first["exchanges"]}
    assert BATCHES / Agreement.most_batches <= first["exchanges"] <= BATCHES / Agreement.most_batches + 4


def test_at_the_end_of_an_epoch_it_is_asked_at_once():
    first, second = in_two_processes(batches_that_agree, 2, BATCHES - 1)
    assert first == second and first["known"] == BATCHES - 1


def test_slow_batches_exchange_each():
    """Batches that take longer than the time between two exchanges."""
    assert in_two_processes(slow, 2, 0.001) == [20, 20]


def slow(rank: int, world: int, seconds: float) -> int:
    count = []
    strategy = SimpleNamespace(
        root_device=torch.device("cpu"),
        reduce=lambda tensor, reduce_op: (count.append(1), DDPStrategy.reduce(None, tensor, reduce_op=reduce_op))[1],
    )
    agreement = Agreement()
    agreement.seconds = seconds
    for _ in range(20):
        time.sleep(0.003)
        agreement.ask(strategy, [False])
    return len(count)


def test_one_process_asks_nobody():
    assert not distributed.is_initialized()
    assert Agreement().ask(None, [True, False]) == [True, False]
