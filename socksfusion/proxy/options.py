"""Options of ``twistd socksfusion-proxy``."""

import ipaddress
import os
from collections.abc import Sequence
from typing import ClassVar

from twisted.python import usage

from socksfusion import endpoints, limits
from socksfusion.audit import audit_value
from socksfusion.options import STATE_VARIABLE, Parameter, ProgramOptions, count, parameter, path, seconds, size, text


def _authentication(value: str) -> str:
    if value not in ("optional", "required"):
        raise ValueError(f"{value!r} is neither optional nor required")
    return value


def _interface(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError(f"{value!r} is no address such as 127.0.0.1") from None


class Options(ProgramOptions):
    """The Proxy's options, each by its name: ``options["scan-idle"]``. Endpoint strings are checked, paths absolute.

    ``manhole`` is ``None`` where it is off, and names its interface otherwise.
    """

    program = "socksfusion-proxy"
    synopsis = "[options]"
    longdesc = (
        "Takes in agents over TLS and serves SOCKS5 clients, whose connections the agents make. Endpoint strings are "
        "Twisted's, such as tcp:1080:interface=127.0.0.1 or unix:/run/socks. Sizes may end in KiB or MiB."
    )
    paths = ("audit", "state", "authorized-keys", "links-certificate", "links-key")

    optParameters: ClassVar[Sequence[Parameter]] = [
        text("agents", "tcp:443", "endpoint that agents connect to; TLS is always laid over it", endpoints.checked),
        text("clients", "tcp:1080:interface=127.0.0.1", "endpoint that all clients share", str),
        text(
            "authentication",
            "optional",
            "'required': clients open nothing without a login, on every port; ports that other hosts reach need it",
            _authentication,
        ),
        text("ports-interface", "127.0.0.1", "address on which agents' and scans' own ports listen", _interface),
        parameter(
            "audit",
            None,
            "file for a JSON line about each connection that was asked for, or syslog: for the system's log; off by "
            "default",
            audit_value(),
        ),
        text("manhole", None, "endpoint of the SSH manhole; off by default, on loopback unless it names an interface"),
        path("state", f"folder that 'socksfusion init' made, by default the variable {STATE_VARIABLE}"),
        path("authorized-keys", "public keys that may use the manhole, by default authorized_keys in the state folder"),
        text("links", None, "endpoint of the link site alone, over TLS; --agents has the site too", endpoints.checked),
        path("links-certificate", "the link site's certificate and chain, PEM, by default the installation's"),
        path("links-key", "its private key, PEM; both are read anew once an hour"),
        seconds("handshake", limits.HANDSHAKE_SECONDS, "limit of an agent's TLS handshake and hello together"),
        seconds("negotiation", limits.NEGOTIATION_SECONDS, "limit of a client's SOCKS greeting and request together"),
        seconds(
            "connect-timeout",
            limits.CONNECT_SECONDS,
            "how long an agent may try to reach a target",
            largest=limits.CONNECT_LARGEST_SECONDS,
        ),
        seconds("hold", limits.HOLD_SECONDS, "how long opens wait for an agent that is reconnecting during a scan"),
        seconds("scan-idle", limits.SCAN_IDLE_SECONDS, "a scan begun by a client ends after this long without streams"),
        seconds("heartbeat", limits.HEARTBEAT_SECONDS, "between two 'Running' messages to an agent"),
        seconds("ping", limits.PING_SECONDS, "between two liveness pings"),
        count("pings-missed", limits.PINGS_MISSED, "unanswered pings after which the connection is dead"),
        seconds("half-closed", limits.HALF_CLOSED_SECONDS, "a half-closed, silent connection is reset after this long"),
        count("streams", limits.STREAMS_PER_SESSION, "open streams of one agent"),
        count(
            "unauthenticated-per-address",
            limits.UNAUTHENTICATED_PER_ADDRESS,
            "connections of one address to the agents' listener that are not yet identified",
        ),
        count("unauthenticated-total", limits.UNAUTHENTICATED_TOTAL, "the same over all addresses"),
        size("stream-window", limits.STREAM_WINDOW_BYTES, "how far the receive window of one stream may grow"),
        size("process-growth", limits.PROCESS_GROWTH_BYTES, "growth of receive windows over all agents"),
        size("process-unread", limits.PROCESS_UNREAD_BYTES, "received and not yet taken, over all agents"),
    ]

    def postOptions(self) -> None:
        """Check what depends on more than one option; see ``ProgramOptions`` for what happens on errors."""
        if self["state"] is None:
            variable = os.environ.get(STATE_VARIABLE)
            if not variable:
                raise usage.UsageError(f"--state DIR is missing ('socksfusion init' makes it; or set {STATE_VARIABLE})")
            self["state"] = os.path.abspath(variable)
        if self["authorized-keys"] is None:
            self["authorized-keys"] = os.path.join(self["state"], "authorized_keys")
        if (self["links-certificate"] is None) != (self["links-key"] is None):
            raise usage.UsageError("--links-certificate and --links-key belong together")
        refuse_open_ports(self["clients"], self["ports-interface"], self["authentication"])
        if self["manhole"] is not None:
            self["manhole"] = manhole_endpoint(self["manhole"])


def refuse_open_ports(clients: str, ports_interface: str, authentication: str) -> None:
    """Raise ``usage.UsageError`` where others than this host could open connections without a login."""
    try:
        endpoints.checked(clients)
        if authentication == "required":
            return
        clients_local = endpoints.reaches_this_host_only(clients)
    except endpoints.EndpointError as error:
        raise usage.UsageError(f"--clients: {error}") from None
    for option, value, local in (
        ("clients", clients, clients_local),
        ("ports-interface", ports_interface, ipaddress.ip_address(ports_interface).is_loopback),
    ):
        if not local:
            raise usage.UsageError(
                f"--{option}: {value!r} can be reached from other hosts, who need no login; "
                "add --authentication required, or use 127.0.0.1 and a tunnel such as ssh -L to this host"
            )


def manhole_endpoint(endpoint: str) -> str:
    """The manhole's endpoint, on loopback unless it names an interface; ``usage.UsageError`` for a bad one."""
    try:
        return endpoints.loopback_by_default(endpoints.checked(endpoint))
    except endpoints.EndpointError as error:
        raise usage.UsageError(f"--manhole: {error}") from None
