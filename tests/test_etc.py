"""The commented example configurations load, name every option and tell the true defaults."""

import re
from pathlib import Path

import pytest

from socksfusion.agent.options import Options as AgentOptions
from socksfusion.options import ProgramOptions
from socksfusion.proxy.options import Options as ProxyOptions

ETC = Path(__file__).parent.parent / "etc"
EXAMPLES = {"proxy.toml": ProxyOptions, "agent.toml": AgentOptions}
WITHOUT_DEFAULT = {"state", "copy", "manhole", "authorized-keys", "manhole-host-key", "proxy", "allow"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_loads_as_it_is(name: str) -> None:
    options = EXAMPLES[name]()
    options.parseOptions([f"--config={ETC / name}"])
    assert options["state" if name == "proxy.toml" else "copy"].startswith("/")


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_tells_every_option_and_its_default(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text(re.sub(r"^#(?=[a-z-]+ = )", "", (ETC / name).read_text(), flags=re.MULTILINE))
    options: ProgramOptions = EXAMPLES[name]()
    defaults = dict(options)
    options.parseOptions([f"--config={file}"])
    keys = set(re.findall(r"^([a-z-]+) = ", file.read_text(), re.MULTILINE))
    assert keys == defaults.keys() - {"config"}
    for key in keys - WITHOUT_DEFAULT:
        assert options[key] == defaults[key], key


@pytest.mark.parametrize("part", ["proxy", "agent"])
def test_f2_no_option_is_silently_unread(part: str) -> None:
    sources = "".join(file.read_text() for file in (ETC.parent / "socksfusion" / part).glob("*.py"))
    options = EXAMPLES[f"{part}.toml"]()
    unread = [name for name in options if name != "config" and f'options["{name}"]' not in sources]
    assert unread == []
