from torch import nn

from lit_gen.training.modes import evaluating


def test_each_part_comes_back_in_its_own_mode():
    network = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout()).eval())
    with evaluating(network):
        assert not any(part.training for part in network.modules())
    assert [part.training for part in network.modules()] == [True, True, False, False]
    network.eval()
    try:
        with evaluating(network):
            raise KeyError
    except KeyError:
        assert not any(part.training for part in network.modules())
