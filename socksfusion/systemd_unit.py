"""The Agent's systemd unit, as `install-service` writes it and as it lies in `etc/` and in bundles."""

from typing import Final

NAME: Final = "socksfusion-agent"
"""The unit's, and that of its folders."""

COPY: Final = "/etc/socksfusion/agent.copy"
CONFIG: Final = "/etc/socksfusion/agent.toml"
POLICY: Final = "/etc/socksfusion/agent.policy"
PASSWORD: Final = "/etc/socksfusion/outbound-password"
PROGRAM: Final = "/usr/local/bin/socksfusion-agent"

_UNIT: Final = """\
# The Agent as a systemd service; docs/network-admin.md tells how to install it.
[Unit]
Description=SocksFusion Agent
# no wait for the network: the Agent tries until there is one
After=network.target
StartLimitIntervalSec=0

[Service]
Type=notify
# the single executable is two processes, and the second one speaks
NotifyAccess=all
WatchdogSec=60
# a user that exists while it runs; the copy is root's, and systemd hands it over
DynamicUser=yes
LoadCredential=copy:{copy}{password}
ExecStart={program} --copy ${{CREDENTIALS_DIRECTORY}}/copy{more}
StateDirectory={name}
RuntimeDirectory={name}
LogsDirectory={name}
Restart=always
RestartSec=5
# 2 wrong usage, 3 no usable copy, 5 replaced by a newer copy, 6 not registered: a restart would not help
RestartPreventExitStatus=2 3 5 6
# one for each connection to a target; the usual soft limit is 1024
LimitNOFILE=65536

CapabilityBoundingSet=
AmbientCapabilities=
NoNewPrivileges=yes
UMask=0077
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateMounts=yes
PrivateUsers=yes
ProtectProc=invisible
ProtectClock=yes
ProtectHostname=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RemoveIPC=yes
# netlink: the system's resolver asks it which address families the machine has
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
# MemoryDenyWriteExecute is left out: the callbacks of Python's TLS library may need such memory

[Install]
WantedBy=multi-user.target
"""


def systemd_unit(
    program: str = PROGRAM,
    *,
    copy: str = COPY,
    config: str | None = None,
    policy: str | None = None,
    password: str | None = None,
) -> str:
    """The unit's text for absolute paths without white space.

    ``config`` is the Agent's TOML file, if it has one; ``policy`` and ``password``, the outbound proxy's, take the
    place of what that file names.
    """
    more = [f" --config {config}"] if config else []
    if policy:
        more.append(f" --policy {policy}")
    if password:
        more.append(" --outbound-proxy-password-file ${CREDENTIALS_DIRECTORY}/outbound-password")
    return _UNIT.format(
        name=NAME,
        program=program,
        copy=copy,
        more="".join(more),
        password=f"\nLoadCredential=outbound-password:{password}" if password else "",
    )
