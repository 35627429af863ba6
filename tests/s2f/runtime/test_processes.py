"""Which process does what."""

import pytest

from s2f.runtime.processes import Processes, processes


def test_alone_without_a_launcher(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert processes() == Processes(0, 1, 0)
    assert processes().is_main
    processes().wait()


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_everything_is_somebodys_and_nothing_two_peoples(count):
    items = list("abcdefgh")
    shares = [Processes(index, count).share(items) for index in range(count)]
    assert sorted(item for share in shares for item in share) == items
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert all(share == sorted(share) for share in shares)


def test_only_the_first_is_main():
    assert [Processes(index, 3).is_main for index in range(3)] == [True, False, False]
