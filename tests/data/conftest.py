"""Stand-ins for the servers that datasets come from."""

from collections.abc import Iterator

import pytest

from lit_gen.data import download, server
from tests.data.stand_in import StandIn


@pytest.fixture
def mirrors(monkeypatch) -> Iterator[tuple[StandIn, StandIn]]:
    """Two servers, and a program that waits for them no longer than a test may take."""
    monkeypatch.setattr(server, "PATIENCE", 0.3)
    monkeypatch.setattr(download, "PAUSE", 0.01)
    monkeypatch.setattr("urllib.request._opener", None)  # it would remember a proxy
    for proxy in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        for name in (proxy, proxy.upper()):
            monkeypatch.delenv(name, raising=False)
    both = StandIn(), StandIn()
    yield both
    for one in both:
        one.stop()
