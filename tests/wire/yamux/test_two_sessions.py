"""Two sessions back to back under any order of commands, pieces and delays."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from socksfusion.wire.yamux import ProcessBudget, ResetReason, Session, Stream, StreamReset
from socksfusion.wire.yamux.states import Sending
from tests.wire.yamux.sides import Side


class TwoSessions(RuleBasedStateMachine):
    """Two sessions that do nothing wrong never fail, lose nothing and never hold more than the windows allow."""

    @initialize()
    def begin(self) -> None:
        self.now = 0.0
        self.budgets = ProcessBudget(), ProcessBudget()
        self.sides = [
            Side(
                Session(client=client, now=0.0, budget=budget, frame_bytes=20_000, max_unacknowledged=4, max_streams=8)
            )
            for client, budget in zip((True, False), self.budgets, strict=True)
        ]
        self.wires: list[list[bytes]] = [[], []]
        self.written: list[dict[int, bytearray]] = [{}, {}]
        # streams that somebody reset or would not receive: a part of their bytes may be missing
        self.spoiled: set[int] = set()
        self.ends: list[dict[int, Stream]] = [{}, {}]
        for side in self.sides:
            side.reads = False

    def stream(self, which: int, number: int) -> Stream | None:
        live = list(self.ends[which].values())
        return live[number % len(live)] if live else None

    @rule(which=st.integers(0, 1))
    def open(self, which: int) -> None:
        session = self.sides[which].session
        if session.can_open:
            stream = session.open_stream(self.now)
            self.ends[which][stream.id] = stream

    @rule(which=st.integers(0, 1), number=st.integers(0, 7), size=st.integers(1, 400_000))
    def send(self, which: int, number: int, size: int) -> None:
        stream = self.stream(which, number)
        if stream is not None and stream.sending is Sending.OPEN:
            body = bytes([stream.id % 251]) * size
            stream.send(body)
            self.written[which].setdefault(stream.id, bytearray()).extend(body)

    @rule(which=st.integers(0, 1), number=st.integers(0, 7))
    def end(self, which: int, number: int) -> None:
        stream = self.stream(which, number)
        if stream is not None:
            stream.end()

    @rule(which=st.integers(0, 1), number=st.integers(0, 7), after_data=st.booleans())
    def reset(self, which: int, number: int, after_data: bool) -> None:
        stream = self.stream(which, number)
        if stream is not None:
            stream.reset(after_data=after_data)
            self.spoiled.add(stream.id)

    @rule(which=st.integers(0, 1), number=st.integers(0, 7))
    def stop_receiving(self, which: int, number: int) -> None:
        stream = self.stream(which, number)
        if stream is not None:
            stream.stop_receiving()
            self.spoiled.add(stream.id)

    @rule(which=st.integers(0, 1), number=st.integers(0, 7))
    def read(self, which: int, number: int) -> None:
        stream = self.stream(which, number)
        if stream is not None:
            stream.consumed(stream.unread, self.now)

    @rule(which=st.integers(0, 1), limit=st.integers(1, 300_000))
    def write(self, which: int, limit: int) -> None:
        session = self.sides[which].session
        wanted = session.wants_to_send
        carried = b"".join(session.data_to_send(limit))
        assert bool(carried) == wanted
        if carried:
            self.wires[which].append(carried)

    @precondition(lambda self: any(self.wires))
    @rule(which=st.integers(0, 1), size=st.integers(1, 300_000), passed=st.floats(0.0, 0.1))
    def deliver(self, which: int, size: int, passed: float) -> None:
        wire = self.wires[which]
        self.now += passed
        if wire:
            carried, wire[0] = wire[0][:size], wire[0][size:]
            if not wire[0]:
                del wire[0]
            side = self.sides[1 - which]
            side.take(carried, self.now)
            for stream in side.session.streams.values():
                self.ends[1 - which].setdefault(stream.id, stream)

    @invariant()
    def nothing_fails_and_windows_hold(self) -> None:
        for side, budget in zip(self.sides, self.budgets, strict=True):
            session = side.session
            assert not session.closed
            for event in side.events:
                assert not (isinstance(event, StreamReset) and event.reason is ResetReason.FAULT), event
            for stream in session.streams.values():
                window = stream.window
                assert window.credit >= 0
                assert window.credit + window.pending + stream.unread <= window.size
            assert budget.unread == sum(holder.unread for holder in budget.holders)
            assert 0 <= session.unacknowledged <= 4
            assert session.unacknowledged == sum(
                not stream.acknowledged for stream in session.streams.values() if stream.id % 2 == session.client
            )

    def teardown(self) -> None:
        if not hasattr(self, "sides"):
            return
        while any(self.wires) or any(side.session.wants_to_send for side in self.sides):
            for which in (0, 1):
                self.write(which, 300_000)
                while self.wires[which]:
                    self.deliver(which, 300_000, 0.0)
                for stream in self.ends[1 - which].values():
                    stream.consumed(stream.unread, self.now)
        self.nothing_fails_and_windows_hold()
        assert set(self.sides[0].session.streams) == set(self.sides[1].session.streams)
        for which in (0, 1):
            self.spoiled.update(event.stream.id for event in self.sides[which].events if isinstance(event, StreamReset))
        for which in (0, 1):
            received = self.sides[1 - which].received
            for stream_id, body in self.written[which].items():
                if stream_id in self.spoiled:
                    assert body.startswith(received.get(stream_id, b""))
                else:
                    assert body == received[stream_id]


TwoSessions.TestCase.settings = settings(max_examples=60, stateful_step_count=60)
TestTwoSessions = TwoSessions.TestCase
