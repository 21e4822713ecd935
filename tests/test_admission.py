"""Bounds on strangers: for each address and in all."""

import pytest

from socksfusion import limits
from socksfusion.admission import Admission


def test_an_address_is_bounded_and_others_are_not() -> None:
    admission = Admission(per_address=2, total=10)
    assert admission.take("192.0.2.1") is None
    assert admission.take("192.0.2.1") is None
    refused = admission.take("192.0.2.1")
    assert refused is not None
    assert refused.startswith("2 connections of this address")
    assert admission.take("192.0.2.2") is None


def test_all_together_are_bounded() -> None:
    admission = Admission(per_address=2, total=3)
    for number in range(3):
        assert admission.take(f"192.0.2.{number}") is None
    refused = admission.take("192.0.2.9")
    assert refused is not None
    assert refused.startswith("3 connections have not")


def test_who_is_given_back_makes_room_and_a_refused_one_took_none() -> None:
    admission = Admission(per_address=1, total=1)
    assert admission.take("192.0.2.1") is None
    for _ in range(5):
        assert admission.take("192.0.2.1") is not None
        assert admission.take("192.0.2.2") is not None
    admission.give_back("192.0.2.1")
    assert admission.take("192.0.2.2") is None


def test_nothing_is_remembered_of_those_who_have_gone() -> None:
    admission = Admission()
    for number in range(1000):
        address = f"2001:db8::{number:x}"
        assert admission.take(address) is None
        admission.give_back(address)
    assert not admission._counts


@pytest.mark.parametrize("bound", [limits.UNAUTHENTICATED_PER_ADDRESS])
def test_the_defaults_are_the_limits(bound: int) -> None:
    admission = Admission()
    assert [admission.take("192.0.2.1") for _ in range(bound)] == [None] * bound
    assert admission.take("192.0.2.1") is not None
