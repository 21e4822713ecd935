"""How many files may be open before something is refused (attacks.md, row J1)."""

import errno
import os
import resource
from pathlib import Path

import pytest

from socksfusion import descriptors, limits
from socksfusion.descriptors import Headroom, lowest_free


def limit_is(monkeypatch: pytest.MonkeyPatch, soft: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (soft, soft))


def opening_fails(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fails(path: str, flags: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", fails)


def test_the_lowest_free_number_is_what_the_next_file_gets(tmp_path: Path) -> None:
    free = lowest_free()
    with open(tmp_path / "file", "w") as file:
        assert file.fileno() == free
        assert lowest_free() != free
    assert lowest_free() == free


def test_there_is_room_below_the_bound_only() -> None:
    free = lowest_free()
    assert free is not None
    assert Headroom(free + 1).refusal() is None
    refused = Headroom(free).refusal()
    assert refused is not None
    assert refused.startswith(f"{free} files are open")


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_there_is_none_where_the_system_has_none(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    opening_fails(monkeypatch, number)
    assert Headroom(1000).refusal() is not None


def test_another_error_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    opening_fails(monkeypatch, errno.EACCES)
    with pytest.raises(PermissionError):
        Headroom(1000).refusal()


def test_clients_leave_room_for_agents_and_agents_for_admins(monkeypatch: pytest.MonkeyPatch) -> None:
    limit_is(monkeypatch, 1000)
    assert descriptors.for_clients().bound == 800
    assert descriptors.for_work().bound == 1000 - limits.ADMIN_DESCRIPTORS
    assert descriptors.for_admins().bound == 1000 - limits.OWN_DESCRIPTORS


def test_no_limit_is_no_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    limit_is(monkeypatch, resource.RLIM_INFINITY)
    for headroom in (descriptors.for_clients(), descriptors.for_work(), descriptors.for_admins()):
        assert headroom.refusal() is None
