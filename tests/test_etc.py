"""The commented example configurations load, name every option and tell the true defaults."""

import re
from pathlib import Path

import pytest

from socksfusion.agent.options import Options as AgentOptions
from socksfusion.agent.policy import Policy
from socksfusion.agent.policy_file import parse_policy
from socksfusion.options import ProgramOptions
from socksfusion.proxy.options import Options as ProxyOptions

ETC = Path(__file__).parent.parent / "etc"
EXAMPLES = {"proxy.toml": ProxyOptions, "agent.toml": AgentOptions}
WITHOUT_DEFAULT = {
    "audit",
    "control",
    "links",
    "links-certificate",
    "links-key",
    "state",
    "copy",
    "manhole",
    "authorized-keys",
    "manhole-host-key",
    "proxy",
    "outbound-proxy",
    "outbound-proxy-password-file",
    "allow",
    "policy",
    "source",
    "dials-per-second",
    "bandwidth",
}
INSTEAD_OF_ANOTHER = {"policy"}
"""Options that the program does not take beside another one of the example."""


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_loads_as_it_is(name: str) -> None:
    options = EXAMPLES[name]()
    options.parseOptions([f"--config={ETC / name}"])
    assert options["state" if name == "proxy.toml" else "copy"].startswith("/")


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_tells_every_option_and_its_default(name: str, tmp_path: Path) -> None:
    text = re.sub(r"^#(?=[a-z-]+ = )", "", (ETC / name).read_text(), flags=re.MULTILINE)
    keys = set(re.findall(r"^([a-z-]+) = ", text, re.MULTILINE))
    file = tmp_path / name
    file.write_text(re.sub(rf"^({'|'.join(INSTEAD_OF_ANOTHER)}) = .*$", "", text, flags=re.MULTILINE))
    options: ProgramOptions = EXAMPLES[name]()
    defaults = dict(options)
    options.parseOptions([f"--config={file}"])
    assert keys == defaults.keys() - {"config"}
    for key in keys - WITHOUT_DEFAULT:
        assert options[key] == defaults[key], key


@pytest.mark.parametrize("part", ["proxy", "agent"])
def test_f2_no_option_is_silently_unread(part: str) -> None:
    package = ETC.parent / "socksfusion"
    sources = "".join(file.read_text() for folder in (package, package / part) for file in folder.glob("*.py"))
    options = EXAMPLES[f"{part}.toml"]()
    unread = [name for name in options if name != "config" and f'options["{name}"]' not in sources]
    assert unread == []


def test_the_example_policy_says_what_its_comments_say() -> None:
    path = ETC / "agent.policy"
    policy = Policy(parse_policy(path.read_text(), path), owns=lambda _: False)
    assert not policy.check("10.20.99.7", 443).allowed
    assert policy.check("10.20.1.7", 8100).allowed
    assert not policy.check("10.20.1.7", 25).allowed
    assert policy.check("2001:db8:20::1", 443).allowed
    assert policy.check("10.30.0.1", 5432, name="db.shop.example").allowed
    assert not policy.check("10.31.0.1", 5432, name="db.shop.example").allowed
    assert not policy.check("10.30.0.1", 5432).allowed
