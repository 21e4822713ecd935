"""A link hands out the whole bundle, and openssl's view of the port that tunnel and site share."""

import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from socksfusion.identity.copy import AgentCopy
from tests.end_to_end.programs import Installation, installation

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
needs_ssh = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
EXECUTABLE_BYTES = 5_000_000


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Installation]:
    with installation(tmp_path) as made:
        yield made


def release(made: Installation) -> Path:
    """A signed release of ``EXECUTABLE_BYTES`` that no zip makes shorter; its executable."""
    folder, key = made.folder / "release", made.folder / "release.key"
    folder.mkdir()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key)], check=True)
    random = subprocess.run(["openssl", "rand", str(EXECUTABLE_BYTES)], check=True, capture_output=True).stdout
    for name, content in (("socksfusion-agent", random), ("socksfusion-agent.cdx.json", b"{}")):
        (folder / name).write_bytes(content)
        command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", "socksfusion-release", str(folder / name)]
        subprocess.run(command, check=True, capture_output=True)
    public = Path(f"{key}.pub").read_text()
    (folder / "allowed_signers").write_text(f'socksfusion-release namespaces="socksfusion-release" {public}')
    return folder / "socksfusion-agent"


def curl(made: Installation, url: str, out: Path, *arguments: str) -> str:
    """The status; the body is in ``out``."""
    command = ["curl", "--silent", "--cacert", str(made.state / "ca.pem"), "--max-time", "60", "--output", str(out)]
    done = subprocess.run(
        [*command, "--write-out", "%{http_code}", *arguments, url], capture_output=True, text=True, timeout=90
    )
    return done.stdout


@needs_curl
@needs_ssh
def test_the_second_button_hands_out_the_bundle_once(made: Installation) -> None:
    made.add_agent("acme")
    proxy = made.start_proxy()
    executable = release(made)
    made.admin("release", "import", str(executable))
    url = made.admin("agent", "link", "acme").strip()
    page, bundle = made.folder / "page.html", made.folder / "acme.zip"
    assert curl(made, url, page) == "200"
    (button,) = re.findall(r'<button formaction="([^"]*)">Download the bundle<', page.read_text())
    assert curl(made, url + button, bundle, "--data", "", "--limit-rate", "4M") == "200"
    with zipfile.ZipFile(bundle) as archive:
        assert archive.testzip() is None
        assert archive.read("socksfusion-agent") == executable.read_bytes()
        archive.extract("acme.agent", made.folder / "unpacked")
    for way in ("", button):
        assert curl(made, url + way, page, "--data", "") == "410"
    fresh = made.folder / "unpacked" / "acme.agent"
    fresh.chmod(0o600)
    assert AgentCopy.load(fresh).agent == "acme"
    made.start_agent(fresh)
    assert "Traceback" not in "\n".join(proxy.log)


def s_client(made: Installation, *arguments: str, says: bytes = b"") -> str:
    """What `openssl s_client` tells of its connection to the agents' port, and what it heard there."""
    command = ["openssl", "s_client", "-connect", f"localhost:{made.agents_port}", "-servername", "localhost"]
    command += ["-CAfile", str(made.state / "ca.pem"), "-ign_eof", *arguments]
    done = subprocess.run(command, input=says, capture_output=True, timeout=60, check=False)
    return (done.stdout + done.stderr).decode(errors="replace")


@pytest.mark.parametrize("offered", [(), ("-alpn", "http/1.1"), ("-alpn", "h2,http/1.1")], ids=["none", "http", "h2"])
def test_openssl_without_the_tunnels_name_meets_the_site(made: Installation, offered: tuple[str, ...]) -> None:
    made.start_proxy()
    told = s_client(made, *offered, says=b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert "Verify return code: 0 (ok)" in told
    assert "ALPN protocol: socksfusion" not in told
    assert "No client certificate CA names sent" in told, "nobody is asked for a certificate"
    assert "HTTP/1.1 404" in told


def test_openssl_with_the_tunnels_name_needs_a_certificate(made: Installation) -> None:
    copy = AgentCopy.load(made.add_agent("acme"))
    made.start_proxy()
    told = s_client(made, "-alpn", "http/1.1,socksfusion/1", says=b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert "ALPN protocol: socksfusion/1" in told
    assert "HTTP/1.1" not in told.replace("http/1.1", "")
    assert "certificate required" in told
    (made.folder / "agent.pem").write_bytes(copy.certificate_pem + copy.key_pem)
    told = s_client(made, "-alpn", "socksfusion/1", "-cert", str(made.folder / "agent.pem"), says=b"GET / HTTP/1.1\r\n")
    assert "ALPN protocol: socksfusion/1" in told
    assert "HTTP/1.1 " not in told
    assert "certificate required" not in told


@needs_curl
def test_many_at_once_get_one_copy(made: Installation) -> None:
    made.add_agent("acme")
    made.start_proxy()
    url = made.admin("agent", "link", "acme").strip()
    command = ["curl", "--silent", "--cacert", str(made.state / "ca.pem"), "--max-time", "60", "--data", ""]
    command += ["--output", "/dev/null", "--write-out", "%{http_code}", url]
    racing = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    assert sorted(one.communicate(timeout=90)[0] for one in racing) == ["200"] + 5 * ["410"]
    assert made.admin("agent", "show", "acme", "--json").count('"pending"') == 2
