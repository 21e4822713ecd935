"""OpenSSH by ``ProxyCommand nc -X 5``, and git over it and over HTTP."""

import subprocess
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from tests.tools.pages import web_server
from tests.tools.site import HOST, WEB, Site
from tests.tools.sshd import ssh_server

# without it git looks its own machine's name up, to make one from it
WHO = ("-c", "user.name=tester", "-c", "user.email=tester@example.org")


@pytest.fixture(scope="module")
def configuration(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of the client; a real sshd serves inside."""
    with ssh_server(site, tmp_path_factory.mktemp("ssh")) as client:
        yield client


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare repository with one file, ready for plain HTTP too."""
    work, bare = tmp_path_factory.mktemp("git") / "work", tmp_path_factory.mktemp("served") / "small.git"
    subprocess.run(["git", "init", "-q", str(work)], check=True)
    (work / "file").write_text("cloned\n")
    for command in (["add", "file"], ["commit", "-q", "-m", "one file"]):
        subprocess.run(["git", *WHO, "-C", str(work), *command], check=True)
    subprocess.run(["git", "clone", "-q", "--bare", str(work), str(bare)], check=True)
    subprocess.run(["git", "-C", str(bare), "update-server-info"], check=True)
    return bare


@pytest.mark.uses("ssh", "sshd", "nc")
@pytest.mark.parametrize("host", [HOST, WEB])
def test_ssh(sealed: Site, configuration: Path, host: str) -> None:
    """Text both ways, and the command's own exit code."""
    told = sealed.run("ssh", "-F", configuration, host, "cat; exit 7", said="there and back\n", code=7)
    assert told == "there and back\n"


@pytest.mark.uses("git", "ssh", "sshd", "nc")
def test_git_over_ssh(sealed: Site, configuration: Path, repository: Path, tmp_path: Path) -> None:
    environment = {"GIT_SSH_COMMAND": f"ssh -F {configuration}"}
    clone = ("clone", "-q", f"ssh://{WEB}{repository}", tmp_path / "clone")
    sealed.run("git", *WHO, *clone, environment=environment)
    assert (tmp_path / "clone" / "file").read_text() == "cloned\n"


@pytest.mark.uses("git")
def test_git_over_http(sealed: Site, repository: Path, tmp_path: Path) -> None:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with web_server(sealed.inside, partial(Quiet, directory=str(repository.parent))) as port:
        proxy = f"http.proxy=socks5h://{sealed.proxy}"
        clone = ("clone", "-q", f"http://{WEB}:{port}/small.git", tmp_path / "clone")
        sealed.run("git", *WHO, "-c", proxy, *clone)
    assert (tmp_path / "clone" / "file").read_text() == "cloned\n"
