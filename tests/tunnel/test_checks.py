"""Checks: whether the other end answers a ping in time."""

from tests.tunnel.pair import Pair


class TestCheck:
    def test_a_living_peer_answers(self) -> None:
        pair = Pair()
        answers: list[bool] = []
        pair.proxy.check(3).addCallback(answers.append)
        assert answers == []
        pair.pump()
        assert answers == [True]
        assert not pair.clock.getDelayedCalls()

    def test_a_late_answer_is_none(self) -> None:
        pair = Pair()
        pair.stall()
        answers: list[bool] = []
        pair.proxy.check(3).addCallback(answers.append)
        pair.pass_time(2.75)
        assert answers == []
        pair.pass_time(0.25)
        assert answers == [False]
        pair.flow()
        pair.pump()
        assert answers == [False]
        assert not pair.proxy.closing

    def test_a_loss_is_an_answer(self) -> None:
        pair = Pair()
        pair.stall()
        answers: list[bool] = []
        pair.proxy.check(3).addCallback(answers.append)
        pair.proxy.abort("test")
        pair.pump()
        assert answers == [False]
        assert not pair.clock.getDelayedCalls()

    def test_one_that_is_ending_is_not_alive(self) -> None:
        pair = Pair()
        pair.stall()
        pair.proxy.end("test")
        answers: list[bool] = []
        pair.proxy.check(3).addCallback(answers.append)
        assert answers == [False]
        pair.proxy.ping()
