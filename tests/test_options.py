"""Options of both programs: command line, configuration file, environment (attacks F2)."""

import ipaddress
from pathlib import Path

import pytest
from twisted.python import usage

from socksfusion import limits
from socksfusion.agent.options import Options as AgentOptions
from socksfusion.options import ProgramOptions, Size, visible
from socksfusion.proxy.options import Options as ProxyOptions


def agent(*arguments: str) -> AgentOptions:
    options = AgentOptions()
    options.parseOptions(["--copy", "a.agent", *arguments])
    return options


def proxy(*arguments: str) -> ProxyOptions:
    options = ProxyOptions()
    options.parseOptions(["--state", "state", *arguments])
    return options


def config(folder: Path, text: str) -> str:
    file = folder / "program.toml"
    file.write_text(text)
    return f"--config={file}"


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOCKSFUSION_STATE", raising=False)


def test_defaults_are_the_limits() -> None:
    options = proxy()
    assert options["agents"] == "tcp:443"
    assert options["clients"] == "tcp:1080:interface=127.0.0.1"
    assert options["manhole"] is None
    assert options["handshake"] == limits.HANDSHAKE_SECONDS
    assert options["scan-idle"] == limits.SCAN_IDLE_SECONDS
    assert agent()["unregistered-retry"] == limits.UNREGISTERED_RETRY_SECONDS
    assert agent()["allow"] == []
    assert not agent()["exit-if-unregistered"]


def test_every_option_may_stand_in_the_file(tmp_path: Path) -> None:
    options = agent(
        config(
            tmp_path,
            'proxy = "proxy.example:8443"\nallow = ["127.0.0.0/8", "::1"]\nping = 3\nstreams = 9\n'
            'stream-window = "1MiB"\nexit-if-unregistered = true\n',
        )
    )
    assert options["proxy"] == (("proxy.example", 8443),)
    assert options["allow"] == [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")]
    assert options["ping"] == 3.0
    assert options["streams"] == 9
    assert options["stream-window"] == 2**20
    assert options["exit-if-unregistered"]


def test_the_command_line_wins_wherever_config_stands(tmp_path: Path) -> None:
    file = config(tmp_path, 'ping = 3\nallow = ["10.0.0.0/8"]\ncopy = "other.agent"\n')
    for arguments in (["--ping=7", "--allow=192.0.2.0/24", file], [file, "--allow=192.0.2.0/24", "--ping=7"]):
        options = agent(*arguments)
        assert options["ping"] == 7
        assert options["allow"] == [ipaddress.ip_network("192.0.2.0/24")]
        assert options["copy"] == str(Path("a.agent").absolute())


def test_an_abbreviated_option_on_the_command_line_wins_too(tmp_path: Path) -> None:
    assert agent(config(tmp_path, "ping = 3\nallow = ['10.0.0.0/8']"), "--al", "192.0.2.1")["allow"] == [
        ipaddress.ip_network("192.0.2.1")
    ]


def test_paths_in_the_file_are_relative_to_its_folder(tmp_path: Path) -> None:
    options = AgentOptions()
    options.parseOptions([config(tmp_path, 'copy = "here.agent"\n')])
    assert options["copy"] == str(tmp_path / "here.agent")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("pnig = 3", "unknown key 'pnig'"),
        ("'ping=' = 3", "unknown key 'ping='"),
        ("config = 'x'", "unknown key 'config'"),
        ("help = true", "unknown key 'help'"),
        ("version = true", "unknown key 'version'"),
        ("[agent]\nping = 3", "unknown key 'agent'"),
        ("Ping = 3", "unknown key 'Ping'"),
        ("ping = true", "must be a text or a number"),
        ("ping = [3]", "must be a text or a number"),
        ("ping = 0", "not a number of seconds above 0"),
        ("ping = nan", "not a number of seconds above 0"),
        ("ping = 'soon'", "not a number of seconds above 0"),
        ("streams = 1.5", "not a whole number above 0"),
        ("stream-window = '3 pages'", "not a size"),
        ("allow = '10.0.0.0/8'", "must be a list"),
        ("allow = []", "must be a list"),
        ("allow = [1]", "must be a list"),
        ("allow = ['10.0.0.1/8']", "did you mean 10.0.0.0/8"),
        ("exit-if-unregistered = 'yes'", "must be true or false"),
        ("exit-if-unregistered = 1", "must be true or false"),
        ("ping = ", "not a TOML file"),
        ("ping = 1\nping = 2", "not a TOML file"),
        ("ping = " + "[" * 20_000, "not a TOML file"),
    ],
)
def test_a_bad_file_is_refused_and_named(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(usage.UsageError, match=complaint) as raised:
        agent(config(tmp_path, text))
    assert "\n" not in str(raised.value)


def test_a_connect_timeout_that_no_agent_would_keep_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert proxy("--state=s", f"--connect-timeout={limits.CONNECT_LARGEST_SECONDS}")["connect-timeout"] == 120
    with pytest.raises(
        usage.UsageError, match="--connect-timeout: '121' is not a number of seconds above 0, at most 120"
    ):
        proxy("--state=s", "--connect-timeout=121")


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(usage.UsageError, match="can't read the configuration file"):
        agent(f"--config={tmp_path}/none.toml")
    with pytest.raises(usage.UsageError, match="can't read the configuration file"):
        agent(f"--config={tmp_path}")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(usage.UsageError, match="not a TOML file"):
        agent(f"--config={tmp_path}/binary")


def test_f2_unknown_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOCKSFUSION_AUTH", "user:password")
    with pytest.raises(usage.UsageError, match="SOCKSFUSION_AUTH"):
        agent()


def test_f2_the_variable_that_is_known_has_an_effect(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    options = ProxyOptions()
    with pytest.raises(usage.UsageError, match="--state"):
        options.parseOptions([])
    monkeypatch.setenv("SOCKSFUSION_STATE", str(tmp_path))
    options = ProxyOptions()
    options.parseOptions([])
    assert options["state"] == str(tmp_path)
    assert options["authorized-keys"] == str(tmp_path / "authorized_keys")
    assert proxy()["state"] == str(Path("state").absolute())


@pytest.mark.parametrize(
    "endpoint",
    [
        "tcp:1080",
        "tcp:1080:interface=0.0.0.0",
        "tcp:1080:interface=",
        "tcp:1080:interface=localhost",
        "tcp:1080:127.0.0.1",
        "tcp6:1080",
        "tcp6:1080:interface=\\:\\:",
        "ssl:1080:interface=127.0.0.1",
        "haproxy:tcp:1080",
        "nonsense",
        "",
        "systemd:domain=INET:index=0",
    ],
)
def test_f2_clients_off_loopback_are_refused(endpoint: str) -> None:
    with pytest.raises(usage.UsageError, match="--clients"):
        proxy(f"--clients={endpoint}")


@pytest.mark.parametrize(
    "endpoint", ["tcp:0:interface=127.0.0.1", "tcp6:1080:interface=\\:\\:1", "unix:/run/socks:mode=600"]
)
def test_clients_on_this_host(endpoint: str) -> None:
    assert proxy(f"--clients={endpoint}")["clients"] == endpoint


@pytest.mark.parametrize("endpoint", ["tcp:1080", "tcp6:1080:interface=\\:\\:", "haproxy:tcp:1080"])
def test_f2_clients_off_loopback_need_a_login(endpoint: str) -> None:
    assert proxy(f"--clients={endpoint}", "--authentication=required")["clients"] == endpoint


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1"])
def test_f2_ports_off_loopback_need_a_login(address: str) -> None:
    with pytest.raises(usage.UsageError, match=r"--ports-interface: .* can be reached from other hosts"):
        proxy(f"--ports-interface={address}")
    assert proxy(f"--ports-interface={address}", "--authentication=required")["ports-interface"] == address


@pytest.mark.parametrize("arguments", [["--authentication=no"], ["--ports-interface=localhost"]])
def test_f2_a_value_that_means_nothing_is_refused(arguments: list[str]) -> None:
    with pytest.raises(usage.UsageError):
        proxy(*arguments)


def test_manhole_is_on_loopback_unless_it_names_an_interface() -> None:
    assert proxy("--manhole=tcp:2222")["manhole"] == "tcp:2222:interface=127.0.0.1"
    assert proxy("--manhole=tcp:2222:interface=0.0.0.0")["manhole"] == "tcp:2222:interface=0.0.0.0"
    with pytest.raises(usage.UsageError, match="--manhole"):
        proxy("--manhole=tcp:2222:interface=")
    with pytest.raises(usage.UsageError, match="--manhole needs --authorized-keys"):
        agent("--manhole=tcp:2222")
    assert agent("--manhole=tcp:2222", "--authorized-keys=k", "--manhole-host-key=h")["manhole"]


@pytest.mark.parametrize("options", [AgentOptions(), ProxyOptions()])
def test_help_tells_every_option_with_unit_and_default(options: ProgramOptions) -> None:
    shown = " ".join(options.getUsage(width=200).split())
    for entry in type(options).optParameters:
        name, _, default, what, _ = entry
        assert f"--{name}=" in shown
        assert what
        if isinstance(default, float):
            assert "(seconds)" in what
        if isinstance(default, Size):
            assert "(bytes)" in what
        if default is not None:
            assert f"[default: {default}]" in shown


def test_what_belongs_to_no_option_is_named() -> None:
    with pytest.raises(usage.UsageError, match=r"'acme\.agent' belongs to no option"):
        agent("acme.agent")


def test_under_twistd_wrong_usage_is_one_line_and_exit_code_2(capfd: pytest.CaptureFixture[str]) -> None:
    options = AgentOptions()
    options.parent = usage.Options()  # type: ignore[no-untyped-call]
    with pytest.raises(SystemExit) as raised:
        options.parseOptions(["--no-such"])
    assert raised.value.code == 2
    shown = capfd.readouterr()
    assert shown.out == ""
    assert shown.err == "socksfusion-agent: option --no-such not recognized (--help tells the options)\n"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        agent("--version")
    assert raised.value.code == 0
    assert capsys.readouterr().out.startswith("socksfusion-agent 0.")


def test_sizes_show_their_unit() -> None:
    assert [str(Size(number)) for number in (5, 1024, 3 * 2**20, 2**20 + 1024)] == ["5", "1KiB", "3MiB", "1025KiB"]


def test_visible_leaves_no_control_character() -> None:
    assert visible("é \x1b[31m\n\u202e") == "é \\x1b[31m\\n\\u202e"
