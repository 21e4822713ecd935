"""Options of ``twistd socksfusion-agent``."""

from collections.abc import Sequence
from typing import ClassVar

from twisted.python import usage

from socksfusion import endpoints, limits
from socksfusion.agent.outbound.settings import parse_option
from socksfusion.agent.source import parse_source
from socksfusion.audit import audit_value
from socksfusion.identity.names import parse_proxies
from socksfusion.networks import parse_network
from socksfusion.options import Parameter, ProgramOptions, count, parameter, path, seconds, size, text


class Options(ProgramOptions):
    """The Agent's options, each by its name: ``options["pings-missed"]``. Paths are absolute.

    ``proxy`` is a tuple of ``(host, port)``, or ``None``; ``outbound-proxy`` an ``OutboundProxy``, ``"none"`` or
    ``None``; ``allow`` is a list of ``ipaddress`` networks and ``source`` of addresses; ``manhole`` is ``None`` where
    it is off, and names its interface otherwise.
    """

    program = "socksfusion-agent"
    extra = "manhole"
    synopsis = "--copy NAME.agent [options]"
    longdesc = (
        "Connects to the Proxy that its copy file names and opens what the Proxy's clients ask for. Messages go to "
        "standard output, the log to standard error. Sizes may end in KiB or MiB."
    )
    paths = (
        *("copy", "control", "audit", "policy"),
        *("outbound-proxy-password-file", "authorized-keys", "manhole-host-key"),
    )
    repeatable = ("allow", "source")

    optFlags: ClassVar[Sequence[Sequence[str | None]]] = [
        ["exit-if-unregistered", None, "end with exit code 6 where this agent is not registered, instead of retrying"],
    ]
    optParameters: ClassVar[Sequence[Parameter]] = [
        path("copy", "this agent's copy file, made by 'socksfusion agent add'"),
        parameter(
            "proxy",
            None,
            "HOST:PORT of the SocksFusion Proxy, instead of the copy file's; several between commas are tried in turn; "
            "port 443 by default",
            parse_proxies,
        ),
        parameter(
            "outbound-proxy",
            None,
            "your network's own proxy, where only that leads out: http://[USER@]HOST[:PORT], "
            "socks5://[USER@]HOST[:PORT] or none; by default what HTTPS_PROXY, ALL_PROXY and NO_PROXY say",
            parse_option,
        ),
        path("outbound-proxy-password-file", "file of mode 0600 with the password of the user in its URL"),
        path("control", "socket for pause, resume, stop-scan and status; by default FILE.control beside the copy FILE"),
        parameter(
            "audit",
            None,
            "file for a JSON line about each connection that was asked for, or syslog: for the system's log; off by "
            "default",
            audit_value(),
        ),
        path(
            "policy",
            "file with the rules of what clients may reach, instead of --allow; a change counts within 2 seconds",
        ),
        text("manhole", None, "endpoint of the SSH manhole; off by default, on loopback unless it names an interface"),
        path("authorized-keys", "public keys that may use the manhole"),
        path("manhole-host-key", "private key of the manhole's SSH server; made where it is missing"),
        seconds("handshake", limits.HANDSHAKE_SECONDS, "limit of connecting to the Proxy, TLS handshake and hello"),
        seconds("reconnect-first", limits.RECONNECT_FIRST_SECONDS, "bound of the first wait before reconnecting"),
        seconds("reconnect-largest", limits.RECONNECT_LARGEST_SECONDS, "bound that it doubles up to; waits are random"),
        seconds(
            "unregistered-retry",
            limits.UNREGISTERED_RETRY_SECONDS,
            "wait after 'This agent is not registered', with a random tenth",
        ),
        seconds("ping", limits.PING_SECONDS, "between two liveness pings"),
        count("pings-missed", limits.PINGS_MISSED, "unanswered pings after which the connection is dead"),
        seconds("half-closed", limits.HALF_CLOSED_SECONDS, "a half-closed, silent connection is reset after this long"),
        count("dials", limits.DIALS_AT_ONCE, "connection attempts to targets under way at once; more wait in order"),
        count("dials-per-second", None, "connection attempts that begin a second; more wait; off by default"),
        count(
            "streams", limits.STREAMS_PER_SESSION, "connections and UDP associations open at once; more wait in order"
        ),
        size("bandwidth", None, "what passes a second in each direction, over everything; off by default"),
        size("stream-window", limits.STREAM_WINDOW_BYTES, "how far the receive window of one stream may grow"),
        size("process-growth", limits.PROCESS_GROWTH_BYTES, "growth of receive windows over all streams"),
        size("process-unread", limits.PROCESS_UNREAD_BYTES, "received and not yet taken, over all streams"),
    ]

    def opt_allow(self, network: str) -> None:
        """An address range in CIDR notation that clients may reach; repeatable, and once given it is the whole list.
        Loopback, link-local, multicast and broadcast addresses need a range that lies wholly inside theirs
        [default: everything but those]
        """
        try:
            self["allow"].append(parse_network(network))
        except ValueError as error:
            raise usage.UsageError(f"--allow {error}") from None

    def opt_source(self, address: str) -> None:
        """An address of this machine from which targets are dialled, so that they can tell where a scan comes from;
        repeatable, for one IPv4 and one IPv6 address [default: the system's choice]
        """
        try:
            self["source"].append(parse_source(address))
        except ValueError as error:
            raise usage.UsageError(f"--source {error}") from None

    def postOptions(self) -> None:
        """Check what depends on more than one option; see ``ProgramOptions`` for what happens on errors."""
        if self["copy"] is None:
            raise usage.UsageError("--copy FILE is missing: the file that 'socksfusion agent add' made")
        self.check_rules()
        if self["manhole"] is None:
            return
        for name in ("authorized-keys", "manhole-host-key"):
            if self[name] is None:
                raise usage.UsageError(f"--manhole needs --{name} FILE")
        try:
            self["manhole"] = endpoints.loopback_by_default(endpoints.checked(self["manhole"]))
        except endpoints.EndpointError as error:
            raise usage.UsageError(f"--manhole: {error}") from None

    def check_rules(self) -> None:
        """``usage.UsageError`` where the rules of what may be reached come from two places."""
        if self["policy"] is not None and self["allow"]:
            raise usage.UsageError("--allow and --policy exclude each other: write the networks into the policy file")
