"""The admin's policy file: read, refused where others could write it, and taken up while the Agent runs."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from socksfusion import limits
from socksfusion.agent.policy import Policy
from socksfusion.agent.policy_file import PolicyError, PolicyFile, load_policy
from socksfusion.exit_codes import ExitCode

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "agent.policy"


def write(file: Path, text: str) -> None:
    """As an editor does it: another file takes the name."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.chmod(0o644)
    new.rename(file)


def test_rules_comments_and_lines(file: Path) -> None:
    write(
        file, "# mine\n\n  deny 10.1.0.0/16#no comment\n".replace("#no comment", " # why") + "allow\tany   port 80 #\n"
    )
    rules = load_policy(file)
    assert [(rule.label, rule.text) for rule in rules.rules] == [
        ("policy line 3", "deny 10.1.0.0/16"),
        ("policy line 4", "allow any port 80"),
    ]
    assert rules.unlisted == "no rule of the policy"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"agent\.policy has no rule; 'deny any'"),
        ("# nothing\n\n", r"has no rule; 'deny any'"),
        ("allow any\nallow 10.0.0.0/1", "line 2: the line has no end, so the file may be cut off"),
        ("allow any\npermit 10.0.0.0/8\n", r"line 2: 'permit 10\.0\.0\.0/8' is no rule; write it like: allow 10"),
        ("allow\n", "line 1: 'allow' is no rule"),
        ("allow 10.0.0.0/8 22\n", "line 1: .* is no rule; write it like"),
        ("Allow any\n", "line 1: 'Allow any' is no rule"),
        ("allow 10.0.0.1/8\n", r"line 1: .*did you mean 10\.0\.0\.0/8\?$"),
        ("allow 10.20.*\n", r"line 1: 10\.20\.\*: not a network .* nor a name such as db\.example .* nor 'any'"),
        ("allow *\n", "line 1: .* nor 'any'"),
        ("allow b\u00fccher.example\n", "line 1: .* a name goes in its xn-- form"),
        ("allow any in 10.0.0.0/8\n", "line 1: 'in' follows a name, and any is none"),
        ("allow db.example in inside\n", "line 1: inside: not a network"),
        ("allow any port http\n", "line 1: 'http' is no port; write ports like"),
        ("allow any port 1-70000\n", "line 1: '1-70000' is no port"),
        ("allow any port 90-80\n", "line 1: '90-80' is no port"),
        ("allow any port 22,\n", "line 1: '' is no port"),
        ("allow \x1b[2J\n", r"line 1: \\x1b\[2J: not a network"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(file: Path, text: str, said: str) -> None:
    write(file, text)
    with pytest.raises(PolicyError, match=said) as raised:
        load_policy(file)
    assert raised.value.exit_code is ExitCode.USAGE
    assert str(file) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_bytes_that_are_no_text_and_a_file_that_is_too_long(file: Path) -> None:
    file.write_bytes(b"allow any\n\xff\n")
    with pytest.raises(PolicyError, match=r"line 2: it is no text in UTF-8"):
        load_policy(file)
    write(file, "allow any\n" * (limits.POLICY_FILE_BYTES // 10 + 1))
    with pytest.raises(PolicyError, match="longer than 65536 bytes"):
        load_policy(file)


def test_a_file_that_is_not_there_or_none(file: Path) -> None:
    with pytest.raises(PolicyError, match=r"can't read the policy file .*: No such file"):
        load_policy(file)
    file.mkdir()
    with pytest.raises(PolicyError, match="is not a regular file"):
        load_policy(file)
    file.rmdir()
    os.mkfifo(file)
    with pytest.raises(PolicyError, match="is not a regular file"):
        load_policy(file)


@pytest.mark.parametrize("mode", [0o602, 0o620, 0o666, 0o1666])
def test_a_file_that_others_can_write_is_refused(file: Path, mode: int) -> None:
    write(file, "allow any\n")
    file.chmod(mode)
    with pytest.raises(PolicyError, match=r"others can change .*agent[.]policy .*type: chmod go-w"):
        load_policy(file)


def test_a_folder_in_which_others_can_put_another_file_is_refused(file: Path) -> None:
    write(file, "allow any\n")
    file.parent.chmod(0o777)
    with pytest.raises(PolicyError, match=r"others can change .*type: chmod go-w"):
        load_policy(file)
    # the sticky bit keeps what is not theirs from them
    file.parent.chmod(0o1777)
    assert load_policy(file)


def test_a_link_is_followed_to_a_folder_of_ours_only(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    target = folder / "real.policy"
    write(target, "allow any\n")
    (tmp_path / "agent.policy").symlink_to(target)
    assert load_policy(tmp_path / "agent.policy")
    folder.chmod(0o777)
    with pytest.raises(PolicyError, match=r"others can change .*open"):
        load_policy(tmp_path / "agent.policy")


def test_h5_no_link_on_the_way_lies_where_others_can_turn_it(tmp_path: Path) -> None:
    write(tmp_path / "real.policy", "allow any\n")
    folder = tmp_path / "open"
    folder.mkdir()
    (folder / "between").symlink_to(tmp_path / "real.policy")
    (tmp_path / "agent.policy").symlink_to(folder / "between")
    assert load_policy(tmp_path / "agent.policy")
    folder.chmod(0o777)
    with pytest.raises(PolicyError, match=r"others can change .*open"):
        load_policy(tmp_path / "agent.policy")


@as_root
def test_a_file_of_somebody_elses_is_refused(file: Path) -> None:
    write(file, "allow any\n")
    os.chown(file, 54321, 54321)
    with pytest.raises(PolicyError, match="belongs to somebody else"):
        load_policy(file)


class Watched:
    """A policy that follows a file, under a clock of the test's."""

    def __init__(self, file: Path) -> None:
        self.clock = Clock()
        self.policy = Policy(owns=lambda _: False)
        self.file = PolicyFile(self.clock, file, self.policy)
        self.file.startService()

    def look(self) -> None:
        self.clock.advance(limits.POLICY_POLL_SECONDS)

    def allows(self, address: str) -> bool:
        return self.policy.check(address, 80).allowed


def test_a_change_counts_at_the_next_look(file: Path) -> None:
    write(file, "allow 10.0.0.0/8\n")
    watched = Watched(file)
    assert watched.allows("10.0.0.1")
    write(file, "allow 11.0.0.0/8\n")
    assert watched.allows("10.0.0.1")
    watched.look()
    assert not watched.allows("10.0.0.1")
    assert watched.allows("11.0.0.1")


def test_nothing_is_read_where_nothing_changed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(file, "allow 10.0.0.0/8\n")
    watched = Watched(file)
    rules = watched.policy.rules
    watched.look()
    assert watched.policy.rules is rules


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda file: write(file, "allow 11.0.0.0/8\nalow any\n"), "line 2: 'alow any' is no rule"),
        (lambda file: file.write_text(""), "has no rule"),
        (lambda file: file.unlink(), "No such file"),
        (lambda file: file.chmod(0o666), "others can change"),
    ],
    ids=["line", "emptied", "gone", "rights"],
)
def test_a_file_that_breaks_leaves_the_rules_as_they_were(
    file: Path, break_it: Callable[[Path], object], said: str
) -> None:
    write(file, "allow 10.0.0.0/8\n")
    watched = Watched(file)
    break_it(file)
    watched.look()
    assert said in watched.policy.problem
    assert str(file) in watched.policy.problem
    assert watched.allows("10.0.0.1")
    assert not watched.allows("11.0.0.1")
    write(file, "allow 12.0.0.0/8\n")
    watched.look()
    assert watched.policy.problem == ""
    assert watched.allows("12.0.0.1")


def test_what_is_wrong_beside_the_file_is_told_once_and_looked_at_again(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    file = folder / "agent.policy"
    write(file, "allow 10.0.0.0/8\n")
    watched = Watched(file)
    folder.chmod(0o777)
    write(file, "allow 11.0.0.0/8\n")
    with capturedLogs() as told:
        watched.look()
        watched.look()
    assert f"others can change {folder}" in watched.policy.problem
    assert [event["problem"] for event in told] == [watched.policy.problem]
    folder.chmod(0o755)
    watched.look()
    assert watched.policy.problem == ""
    assert watched.allows("11.0.0.1")


def test_a_folder_that_goes_while_its_file_is_read_is_told_too(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(file, "allow 10.0.0.0/8\n")
    watched = Watched(file)
    write(file, "allow 11.0.0.0/8\n")
    stat = os.stat

    def gone(path: Path) -> os.stat_result:
        if path == file.parent:
            raise FileNotFoundError(errno.ENOENT, "gone")
        return stat(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", gone)
        watched.look()
    assert "gone" in watched.policy.problem
    watched.look()
    assert watched.allows("11.0.0.1")


def test_a_broken_file_at_start_is_no_start(file: Path) -> None:
    write(file, "alow any\n")
    with pytest.raises(PolicyError, match="line 1"):
        PolicyFile(Clock(), file, Policy())
