"""Every limit, timeout and default of SocksFusion by name; docs/limits.md shows them as one table.

Names end in their unit: ``_SECONDS``, ``_BYTES``, or a plain count. An option of a program that overrides one of these
names it in its help text.
"""

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

# -- before a peer is known ---------------------------------------------------------------------------------------
HANDSHAKE_SECONDS: Final = 10.0
"""TLS handshake and hello together, on the agents' listener and in the Agent."""
NEGOTIATION_SECONDS: Final = 10.0
"""A Client's SOCKS greeting and request together."""
LINK_REQUEST_SECONDS: Final = 10.0
"""A request to the link site, its own handshake with it where it has a listener of its own."""
LINK_REQUEST_BYTES: Final = 16 * KIB
"""Its head; twice this, all that such a connection may send."""
LINK_SENDING_SECONDS: Final = 60.0
"""Within this time each piece of the link site's answer is to be taken."""
LINK_PIECE_BYTES: Final = 64 * KIB
"""A piece of it: a line on which one takes longer than that is too slow for a bundle."""
LINK_SECONDS: Final = 24 * 3600.0
"""How long a one-time link to a copy may be used, unless told otherwise."""
LINK_LARGEST_SECONDS: Final = 30 * 24 * 3600.0
"""The most that it can be told."""
LINK_KEPT_SECONDS: Final = 30 * 24 * 3600.0
"""How long a used or expired link is still listed; the next one that is made clears it away then."""
HANDSHAKE_BYTES: Final = 16 * KIB
"""What a carrier takes from the other end before TLS stands: at most twice this, and reads of this size."""
UNAUTHENTICATED_PER_ADDRESS: Final = 64
"""Connections of one address on the agents' or manhole's listener that have not identified themselves yet."""
UNAUTHENTICATED_TOTAL: Final = 1024
"""The same over all addresses."""
MANHOLE_UNAUTHENTICATED_BYTES: Final = 64 * KIB
"""What the manhole takes from somebody who has not logged in."""
AUTHORIZED_KEYS_BYTES: Final = MIB
"""What is read of the manhole's authorized_keys."""
MANHOLE_TRIES: Final = 3
"""Keys that may be refused on one connection to the manhole."""
MANHOLE_PASSPHRASE_SECONDS: Final = 60.0
"""Once a known key was named, its owner has this long to unlock it."""
INCOMPLETE_REQUESTS: Final = 1024
"""Clients whose SOCKS request is not complete; above it the oldest of them is closed, never the newcomer."""
LOGIN_DELAY_SECONDS: Final = 0.25
"""A Client's wrong login is answered after this; the time doubles with each failure of its address."""
LOGIN_DELAY_LARGEST_SECONDS: Final = 5.0
"""The time doubles up to this."""
LOGIN_FAILURES_FORGOTTEN_SECONDS: Final = 600.0
"""An address without a wrong login for this long begins anew."""
LOGIN_FAILURE_ADDRESSES: Final = 4096
"""Addresses whose wrong logins are remembered; of IPv6 networks of 64 bits."""
CLIENTS_DESCRIPTORS_PERCENT: Final = 80
"""Of the limit of open files (RLIMIT_NOFILE); a Client that comes when so many are open is closed at once."""
ADMIN_DESCRIPTORS: Final = 16
"""Below that limit: agents and dials to Targets leave so many for the manhole and the program itself."""
OWN_DESCRIPTORS: Final = 4
"""Below that limit: the manhole leaves so many for the program itself."""
LISTEN_BACKLOG: Final = 1024
"""Connections that the kernel keeps ready for a listener."""
PORT_RETRY_SECONDS: Final = 5.0
"""Between two tries to open an agent's own port that another program has."""

# -- connecting ---------------------------------------------------------------------------------------------------
CONNECT_SECONDS: Final = 10.0
"""What the Proxy gives an Agent for one CONNECT: name resolution and every attempt together."""
CONNECT_LARGEST_SECONDS: Final = 120.0
"""The longest that an Agent takes for one CONNECT, whatever it is asked; so the option's largest value."""
ANSWER_MARGIN_SECONDS: Final = 5.0
"""What an Agent may take to answer above its own limits (a turn, the dial); then its silence is answered 0x01."""
ATTEMPT_DELAY_SECONDS: Final = 0.25
"""Between the starts of two connection attempts to one name (RFC 8305, section 5)."""
UNEXPLAINED_ATTEMPTS: Final = 5
"""An address is tried so often where the kernel hangs up and leaves no word: once in some ten thousand resets."""
ADDRESSES_PER_NAME: Final = 16
"""Of one name's addresses so many are tried: a name with thousands must not make one CONNECT a flood."""
RESOLVER_SECONDS: Final = 5.0
"""A name look-up that takes longer counts as failed."""
RESOLVER_THREADS: Final = 64
"""Threads that resolve names in the Agent."""
RESOLVER_WAITING: Final = 4096
"""Look-ups that may wait for one of those threads."""
DIALS_AT_ONCE: Final = 1000
"""Dials of one Agent under way at once; the rest wait in order."""
DIALS_WAITING: Final = 16384
"""Dials that may wait for their turn."""
DIAL_WAIT_SECONDS: Final = 30.0
"""A dial that waited this long for its turn is answered 0x01."""
DIAL_BURST_SECONDS: Final = 0.1
"""Under a limit of dials a second, those of this time may begin at once."""
DIAL_TICK_SECONDS: Final = 0.01
"""Under that limit the queue is looked at this often."""
POLICY_FILE_BYTES: Final = 64 * KIB
"""The longest policy file: every open goes through its rules."""
POLICY_POLL_SECONDS: Final = 2.0
"""Between two looks whether the policy file has changed."""
LOST_DIALS: Final = 3
"""An open whose Agent is lost during the dial is asked for again so often."""
EARLY_DATA_BYTES: Final = 64 * KIB
"""What a Client may send before its reply."""
HOLD_SECONDS: Final = 20.0
"""How long an open waits for an Agent with a running scan that is reconnecting."""
HELD_OPENS: Final = 4096
"""Opens that may wait for one Agent; above it the user who has the most of them gives up the newest."""
RIGHTS_SECONDS: Final = 1.0
"""Between two looks for live streams whose rights end by time; what a command changes is noticed at once."""
CLIENT_OPEN_SECONDS: Final = 180.0
"""What the endpoint for Twisted programs waits for a Proxy's reply: above a hold and the longest connect timeout."""

# -- datagrams (UDP ASSOCIATE) ------------------------------------------------------------------------------------
ASSOCIATION_IDLE_SECONDS: Final = 60.0
"""An association without a datagram in either direction for this long ends, and its TCP connection with it."""
ASSOCIATION_DATAGRAMS_PER_SECOND: Final = 1000
"""Datagrams of an association in one direction; more are dropped and counted."""
ASSOCIATION_QUEUE_BYTES: Final = 256 * KIB
"""Datagrams of an association that wait, for a slow carrier or for a name to be resolved; new ones are dropped then."""
DATAGRAM_ROOM_BYTES: Final = 64 * MIB
"""Datagrams of all associations of a process that wait; new ones are dropped then, whosever they are."""
DATAGRAM_RECOUNT_SECONDS: Final = 1.0
"""Between two looks at what of all these has left meanwhile, while they seem too many."""
ASSOCIATION_TARGETS: Final = 64
"""Addresses that an association talks to at once, each from a socket of its own."""
TARGET_SILENT_SECONDS: Final = 5.0
"""Where that many are in use, the one silent for longest, if for this long, makes room for another."""
TARGET_IDLE_SECONDS: Final = 60.0
"""A socket to a Target's UDP port is closed after this long without a datagram in either direction."""
DATAGRAMS_PER_TURN: Final = 64
"""Datagrams read from one socket before others have their turn."""
ASSOCIATION_TARGETS_TOLD: Final = 1024
"""Targets of an association whose refusals go into the scan's record, once each."""

# -- sessions and streams -----------------------------------------------------------------------------------------
INITIAL_WINDOW_BYTES: Final = 256 * KIB
"""A stream's receive window at its start (yamux specification)."""
STREAM_WINDOW_BYTES: Final = 16 * MIB
"""How far one stream's receive window may grow."""
SHORTEST_ROUND_TRIP_SECONDS: Final = 0.002
"""Round trips below this count as this when windows grow: the turns of the two programs take as long."""
SESSION_GROWTH_BYTES: Final = 64 * MIB
"""Growth above the initial windows, over all streams of a session."""
PROCESS_GROWTH_BYTES: Final = 256 * MIB
"""The same over all sessions of a process."""
PROCESS_UNREAD_BYTES: Final = 256 * MIB
"""Received and not yet consumed, over a process; above it the stream with the most unread is reset."""
FRAME_BODY_BYTES: Final = 128 * KIB
"""The largest data frame that we send."""
STREAMS_PER_SESSION: Final = 16384
"""Open streams of one session."""
STREAMS_SHARE: Final = 3
"""A user of a session may have so many times the streams that are free: alone three quarters of all; more wait."""
UNACKNOWLEDGED_STREAMS: Final = 256
"""Streams opened and not yet acknowledged: the opener waits at it, the acceptor resets above it."""
TOMBSTONES: Final = 16384
"""Closed streams whose late frames are still skipped."""
TOMBSTONE_SECONDS: Final = 60.0
"""How long such a stream is remembered."""
PENDING_PING_REPLIES: Final = 64
"""Ping replies that wait to be sent; more pings are counted and not answered."""
UNANSWERED_PINGS: Final = 64
"""Our own pings without an answer that are remembered; above it the oldest is forgotten."""
PINGS_PER_SPAN: Final = 10_000
"""Pings of a peer in one span of RATE_SPAN_SECONDS."""
EMPTY_FRAMES_PER_SPAN: Final = 10_000
"""Empty data frames of a peer in one span."""
ADMIN_WORDS_AT_ONCE: Final = 60
"""Messages of an Agent's admin (paused, resumed, stop-scan, uninstalled) at once; more end the session."""
ADMIN_WORDS_PER_SECOND: Final = 2.0
"""So many more a second, over all sessions of the agent."""
FAULTS_PER_SPAN: Final = 1000
"""Streams that we had to reset for a fault of the peer's in one span."""
RATE_SPAN_SECONDS: Final = 10.0
"""The span of the three counts above."""
FOREIGN_OPENS: Final = 3
"""Streams that the Agent tries to open (it may open none): each is reset, this many end the session."""
STREAM_SEND_BYTES: Final = 64 * KIB
"""Queued on one stream; above it the stream's producer is paused."""
STREAM_SEND_LOW_BYTES: Final = 32 * KIB
"""Queued on one stream; at it a paused producer goes on."""
CARRIER_READ_BYTES: Final = 256 * KIB
"""One read of the carrier's socket."""
CARRIER_UNSENT_BYTES: Final = 128 * KIB
"""Bytes of a carrier that the kernel holds unsent before it takes more (TCP_NOTSENT_LOWAT)."""
CARRIER_FLUSH_BYTES: Final = 128 * KIB
"""Frames that go into one flush of the carrier."""
PLAIN_READ_BYTES: Final = 128 * KIB
"""One read of a Client's or Target's socket."""
BANDWIDTH_BURST_SECONDS: Final = 0.1
"""Under a limit of bytes a second, those of this time may pass at once."""
BANDWIDTH_TICK_SECONDS: Final = 0.01
"""Under that limit those who wait are looked at this often at most."""
BANDWIDTH_READ_SECONDS: Final = 0.02
"""Under that limit one read of a Target's socket takes at most the bytes of this time."""
BANDWIDTH_READ_BYTES: Final = 4 * KIB
"""But never less than this."""
BANDWIDTH_DATAGRAM_SECONDS: Final = 0.5
"""Under that limit the datagrams of an association that pass in this time may wait for their turn; more are dropped."""
RECORD_BYTES: Final = 16 * KIB
"""The largest control message."""
NARROWING_NETWORKS: Final = 256
"""Networks to which a client's account or a scan may narrow what an Agent allows."""
NARROWINGS_REMEMBERED: Final = 32
"""Lists of such networks that are kept as they were read: of the largest, 256 KiB each."""
RECORD_DEPTH: Final = 8
"""How deep maps and lists of a control message may lie in one another."""
HOST_NAME_BYTES: Final = 253
"""The longest host name (RFC 1035, section 3.1, without the root's dot), counted before anything else looks at it."""
SOCKS4_USER_BYTES: Final = 255
"""The longest user id of a SOCKS4 request, which is not looked at."""
HTTP_HEAD_BYTES: Final = 16 * KIB
"""The longest head of a Client's HTTP request; a longer one is answered 431."""
HTTP_REPLY_HEAD_BYTES: Final = 64 * KIB
"""The longest head of a Target's reply to a plain HTTP request, and the longest line of its chunks."""
SESSION_CLOSE_SECONDS: Final = 5.0
"""A session that is closing ends after this long at the latest."""
REFUSAL_LINGER_SECONDS: Final = 1.0
"""How long the Proxy reads on after a refusal or a failed handshake, so that the Agent gets the reason."""
HALF_CLOSED_SECONDS: Final = 120.0
"""A connection with one direction ended and no byte in the other for this long is reset."""
PAUSED_PROBE_SECONDS: Final = 15.0
"""How often paused sockets are asked for a reset that they could not notice. One that was reset may then be silent for
HALF_CLOSED_SECONDS: what it had received is still on its way to a slow reader."""
RESET_DRAIN_SECONDS: Final = 10.0
"""A reader that takes nothing for this long of what came before a reset gets the reset without the rest."""
TCP_KEEPALIVE_IDLE_SECONDS: Final = 60
"""Silence of a Client's or Target's connection before TCP asks whether the other end is there."""
TCP_KEEPALIVE_INTERVAL_SECONDS: Final = 10
"""Between two such questions."""
TCP_KEEPALIVE_PROBES: Final = 3
"""So many without an answer end the connection."""

# -- liveness and reconnection ------------------------------------------------------------------------------------
PING_SECONDS: Final = 15.0
"""Between liveness pings."""
PINGS_MISSED: Final = 2
"""Unanswered pings after which a carrier is dead."""
SUSPEND_JUMP_SECONDS: Final = 5.0
"""CLOCK_BOOTTIME ahead of CLOCK_MONOTONIC by more than this: the machine slept, ping at once."""
URGENT_PING_SECONDS: Final = 3.0
"""The limit of a ping that was sent because something looks wrong (suspend, a second Agent with the same key)."""
HEARTBEAT_SECONDS: Final = 60.0
"""Between two `Running` messages."""
TIMER_BUCKET_SECONDS: Final = 1.0
"""The bucket of the batched timers for heartbeats and pings."""
BUNDLE_BYTES: Final = 64 * MIB
"""A bundle of an Agent, packed and unpacked: the executable is some 16 MB, and other systems' may be longer."""
BUNDLE_FILES: Final = 100
"""Files in a bundle."""
FAREWELL_SECONDS: Final = 15.0
"""An Agent that is removed tells its Proxy within this time, or not at all."""
RECONNECT_FIRST_SECONDS: Final = 1.0
"""Reconnection: a random wait below a bound; this is the first one."""
RECONNECT_LARGEST_SECONDS: Final = 30.0
"""The bound doubles up to this."""
NETWORK_SETTLE_SECONDS: Final = 0.5
"""After a change of its machine's network (Linux) the Agent dials within this; half of it is random."""
NETWORK_CHANGE_SECONDS: Final = 2.0
"""Between two such dials, however often the network changes."""
NETWORK_MESSAGES_PER_TURN: Final = 256
"""Messages of the kernel about its network that the Agent reads in one turn."""
NETWORK_CHECK_SECONDS: Final = 10.0
"""A carrier must answer within this after such a change, if its address is still the machine's."""
DUPLICATE_RETRY_SECONDS: Final = 5.0
"""After `Another agent already connected`: exactly this."""
UNREGISTERED_RETRY_SECONDS: Final = 300.0
"""After `This agent is not registered` with the reason *unknown*, with a jitter of a tenth."""
OUTBOUND_LOGIN_RETRY_SECONDS: Final = 300.0
"""Wait after a refused login at the network's own proxy, with a random tenth: each try counts against the account."""
OUTBOUND_REQUESTS: Final = 6
"""Requests to the network's own HTTP proxy for one connection, all steps of a login together."""
OUTBOUND_HEAD_BYTES: Final = 16 * KIB
"""The longest head of such a proxy's answer."""
OUTBOUND_BODY_BYTES: Final = 256 * KIB
"""Of the page beside a wanted login so much is read to go on with the connection; beyond it a new one is made."""

# -- scans and registry -------------------------------------------------------------------------------------------
SCAN_IDLE_SECONDS: Final = 900.0
"""A scan that a Client's connection began ends after this long without streams."""
SCAN_PORT_FIRST: Final = 20000
"""`scan start` without a port takes the first free one from here on."""
SCAN_PORT_LAST: Final = 29999
"""The last of those ports; they lie below what Linux takes for outgoing connections."""
SCAN_PORT_RESERVED_DAYS: Final = 30
"""A port of an ended scan, or one taken from an agent, is kept so long from what would use it for another agent."""
SCAN_LOOK_SECONDS: Final = 1.0
"""Between two looks at which scans are active and which are over."""
SCAN_TOUCHED_SECONDS: Final = 5.0
"""That a scan is active is noted at most this often."""
UNTESTED_PER_SCAN: Final = 50_000
"""Opens that were cut or not tested, listed of one scan; those beyond are only counted."""
GAPS_PER_SCAN: Final = 10_000
"""Spans without a carrier, listed of one scan; those beyond are left out."""
SOURCES_PER_SCAN: Final = 64
"""Addresses from which an Agent dialled, listed of one scan; those beyond are left out."""
SPAN_LARGEST_SECONDS: Final = 36500 * 86400.0
"""The longest span of time that a command takes: a hundred years."""
HOLD_LARGEST_SECONDS: Final = 300.0
"""The longest hold that a scan may ask for."""
SCANS_REMEMBERED: Final = 1024
"""Scans that an Agent knows to be told already; above it the oldest is forgotten."""
REGISTRY_POLL_SECONDS: Final = 0.5
"""Between two looks at the registry for changes of the admin commands."""
HEARD_SECONDS: Final = 3.0
"""A command that changes the registry waits so long for a running Proxy to go by the change."""
REGISTRY_WRITE_SECONDS: Final = 1.0
"""What the Proxy notes of its agents is written in batches, this often."""
CHANGES_UNWRITTEN: Final = 10_000
"""Changes that wait while the registry fails; above it a scan's gaps become one and an admin's last word stays."""
REGISTRY_BUSY_SECONDS: Final = 5.0
"""How long an access to the registry waits for another process that is writing."""

# -- tokens -------------------------------------------------------------------------------------------------------
TOKEN_BYTES: Final = 24
"""Random bytes of an agent's, client's or scan's token."""

# -- certificates -------------------------------------------------------------------------------------------------
CA_DAYS: Final = 20 * 365
"""Life of the CA's certificate, and of each agent's: it ends with the CA's."""
PROXY_CERTIFICATE_DAYS: Final = 365
"""Life of the Proxy's own certificate."""
PROXY_CERTIFICATE_RENEW_DAYS: Final = 30
"""The Proxy's own certificate is issued anew when fewer days than this are left."""
CERTIFICATE_BACKDATE_SECONDS: Final = 3600
"""notBefore lies this far back, for clocks that go slow."""
PRIVATE_FILE_BYTES: Final = 64 * KIB
"""The longest key, certificate or Agent copy that is read."""

# -- logs ---------------------------------------------------------------------------------------------------------
REFUSAL_LOG_SECONDS: Final = 1.0
"""A rule logs one line a peer in this time; what came meanwhile is told as a count."""
REFUSAL_PENDING_SECONDS: Final = 2.0
"""Such a count is told after this long where no further refusal tells it."""
REFUSAL_LOG_PEERS: Final = 4096
"""Peers and rules that are remembered for that."""
LOGGED_TEXT_CHARACTERS: Final = 256
"""The longest text from outside in one log line."""
UNREACHABLE_LINES: Final = 10
"""`Target is unreachable` of one host in the time below; what comes above is told as a count at its end."""
UNREACHABLE_SECONDS: Final = 60.0
"""That time."""
UNREACHABLE_HOSTS: Final = 1024
"""Hosts for which that is counted; above it the oldest is told and forgotten."""
WORDS_OF_PROXY_AT_ONCE: Final = 60
"""Messages that a Proxy may make an Agent print at once: `Running`, `Scan is started`; above it those below."""
WORDS_OF_PROXY_PER_SECOND: Final = 2.0
"""So many of them a second, and the log has a count of what was left out."""
STATUS_SECONDS: Final = 1.0
"""Between two looks at what passes, and between two changes of the Agent's live line."""
AUDIT_FILE_BYTES: Final = 16 * MIB
"""An audit file of this size is renamed and a new one begun."""
AUDIT_FILES_KEPT: Final = 8
"""Such older files are kept; the oldest goes."""
AUDIT_FLUSH_SECONDS: Final = 1.0
"""Audit lines are written in batches, this often."""
AUDIT_LINES_WAITING: Final = 256
"""So many lines are written at once, without waiting for that."""

# -- the admin's switch -------------------------------------------------------------------------------------------
CONTROL_CONNECTIONS: Final = 8
"""Connections to the Agent's control socket at once; one more is closed."""
CONTROL_LINE_BYTES: Final = 4 * KIB
"""The longest command on it."""
CONTROL_SECONDS: Final = 10.0
"""A connection to it ends when no command comes for this long; an answer is awaited as long."""
PAUSE_LARGEST_SECONDS: Final = 366 * 86400.0
"""The longest pause that ends by itself."""
PAUSE_LOOK_SECONDS: Final = 1.0
"""Between two looks whether such a pause is over: clocks are set, machines sleep."""

# -- process ------------------------------------------------------------------------------------------------------
GARBAGE_THRESHOLD: Final = 50_000
"""New objects between two looks for unreachable cycles (the first number of ``gc.set_threshold``)."""
