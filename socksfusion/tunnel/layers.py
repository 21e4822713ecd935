"""What may lie between a Client's socket and its protocol: TLS, and a PROXY header before all else.

Twisted's ``ssl:`` and ``haproxy:`` endpoints put wrappers there, which pass unknown attributes on to the transport
below them; so a call that they don't know goes past them, with a FIN in the middle of TLS for one.
"""

from typing import Any

from twisted.internet.interfaces import IAddress, IProtocol
from twisted.protocols.policies import ProtocolWrapper
from twisted.protocols.tls import TLSMemoryBIOProtocol


def is_tls(transport: Any) -> bool:
    """Whether ``transport`` is Twisted's TLS, as it hands it to the protocols above."""
    return isinstance(transport, TLSMemoryBIOProtocol)


def reads_proxy_header(transport: Any) -> bool:
    """Whether ``transport`` is the wrapper of a ``haproxy:`` endpoint."""
    return isinstance(transport, ProtocolWrapper) and not is_tls(transport)


def socket_of(transport: Any) -> Any:
    """The transport that has the socket itself."""
    while isinstance(transport, ProtocolWrapper):
        transport = transport.transport
    return transport


def hand_over(transport: Any, protocol: IProtocol) -> None:
    """Have ``protocol`` hear what ``transport`` tells from now on."""
    if isinstance(transport, ProtocolWrapper):
        transport.wrappedProtocol = protocol
    else:
        transport.protocol = protocol


def below_proxy_header(wrapper: Any, protocol: IProtocol) -> tuple[Any, IAddress]:
    """The transport below a PROXY header that was read, now with ``protocol``, and the address that the header told.

    ``wrapper`` (see :func:`reads_proxy_header`) has done its work and knows no half-close. To be called once
    ``protocol`` has got its first bytes.
    """
    told: IAddress = wrapper.getPeer()
    wrapper.factory.unregisterProtocol(wrapper)
    hand_over(wrapper.transport, protocol)
    return wrapper.transport, told


def refused_proxy_header(transport: Any) -> bool:
    """Whether ``transport``, which has delivered nothing, ended its connection for want of a PROXY header."""
    return reads_proxy_header(transport) and bool(transport.disconnecting)


def end_writing(transport: Any) -> None:
    """Say that this was our last byte; reading goes on."""
    if is_tls(transport):
        # sends close_notify, and reads on until the peer's
        transport.loseConnection()
    else:
        transport.loseWriteConnection()


def close(transport: Any) -> None:
    """Close after what is queued, without waiting for a word of the other end's."""
    transport.loseConnection()
    if is_tls(transport):
        # which would wait for the peer's close_notify
        transport.transport.loseConnection()
