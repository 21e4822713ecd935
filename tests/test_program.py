"""What both programs share around twistd, in real processes: log, exit codes, clock (attacks K1)."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from twisted.internet.base import ReactorBase

from socksfusion import limits

PROBE = """
import os, resource, signal, socket, sys, time, wall
from twisted.internet.protocol import Factory
from socksfusion import errors
from socksfusion.endpoints import Listener
from socksfusion.exit_codes import ExitCode
from socksfusion.options import ProgramOptions, text
from socksfusion.program import make_program
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

class Options(ProgramOptions):
    program = "probe"
    optParameters = [text("do", None, "what to do"), text("step", "0", "of the wall clock")]

class Slow(Service):
    def __init__(self, what, fails=False):
        self.what, self.fails = what, fails

    def stopService(self):
        print(self.what, "ends", file=sys.__stdout__, flush=True)
        done = Deferred()
        done.addCallback(lambda _: print(self.what, "ended", file=sys.__stdout__, flush=True))
        from twisted.internet import reactor
        reactor.callLater(0.01, *((done.errback, ValueError(self.what)) if self.fails else (done.callback, None)))
        return done

class Impatient(Slow):
    def __init__(self):
        super().__init__("it")

    def stopService(self):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        return super().stopService()

class Probe(Service):
    def __init__(self, program):
        self.program = program

    def startService(self):
        getattr(self, self.program.options["do"])()

    def replace(self):
        print("captured by twistd")
        print("a message", file=sys.__stdout__)
        self.program.reactor.callLater(0, self.program.end, ExitCode.REPLACED, "replaced by\\na newer copy")
        self.program.reactor.callLater(0, self.program.end, ExitCode.LISTEN, "never seen")

    def before_running(self):
        self.program.end(ExitCode.NOT_REGISTERED)

    def normal(self):
        self.program.end(ExitCode.NORMAL)

    def in_order(self):
        self.program.addService(Slow("second"))
        self.program.addService(Slow("third", fails=True))
        self.program.addService(Slow("fourth"))
        self.program.end(ExitCode.NORMAL)

    def signals(self):
        self.program.addService(Impatient())
        def twice():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
        self.program.reactor.callLater(0, twice)

    def escape(self):
        Logger().info("from outside: {it}", it="\\x1b[31m\\x00\\u202e")
        try:
            1 / 0
        except ZeroDivisionError:
            Logger().failure("odd")
        self.program.end(ExitCode.NORMAL)

    def limits(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.program.end(ExitCode.NORMAL if soft == hard else ExitCode.STATE)

    def clock(self):
        reactor = self.program.reactor
        started = time.monotonic()
        def stepped():
            late = time.monotonic() - started
            self.program.end(ExitCode.NORMAL if 0.09 < late < 2 else ExitCode.STATE, f"after {late}")
        reactor.callLater(0.1, stepped)
        reactor.callLater(0.01, setattr, wall, "offset", float(self.program.options["step"]))

def makeService(options):
    def build(program):
        do = options["do"]
        if do == "bad_state":
            raise errors.StateError("the state folder \\x1b is of version 9")
        if do == "needs_package":
            import no_such_package
        if do == "port_in_use":
            taken = socket.create_server(("127.0.0.1", 0))
            program.taken = taken
            where = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
            program.addService(Listener(program.reactor, where, Factory()))
        else:
            program.addService(Probe(program))
    return make_program(options, build)
"""
PLUGIN = """
from twisted.application.service import ServiceMaker
probe = ServiceMaker("Probe", "probe", "a test's program", "probe")
"""
# the wall clock that Twisted sees must be ours before Twisted is imported
WALL = """
import time
real = time.time
offset = 0.0
time.time = lambda: real() + offset
"""
RUN = "import wall; from twisted.scripts.twistd import run; run()"


@pytest.fixture
def probe_folder(tmp_path: Path) -> Path:
    (tmp_path / "twisted" / "plugins").mkdir(parents=True)
    (tmp_path / "probe.py").write_text(PROBE)
    (tmp_path / "wall.py").write_text(WALL)
    (tmp_path / "twisted" / "plugins" / "probe_plugin.py").write_text(PLUGIN)
    return tmp_path


def run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    root = Path(__file__).parent.parent
    return subprocess.run(
        [sys.executable, "-c", RUN, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{root}"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def twistd(folder: Path, do: str, *more: str) -> "subprocess.CompletedProcess[str]":
    return run(folder, "-n", "--pidfile=", *more, "probe", "--do", do)


def test_end_gives_the_exit_code_and_one_line(probe_folder: Path) -> None:
    done = twistd(probe_folder, "replace")
    assert done.returncode == 5
    assert done.stdout == "a message\n"
    assert "probe: replaced by\\na newer copy\n" in done.stderr
    assert "captured by twistd" in done.stderr
    assert "never seen" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("do", "code"), [("before_running", 6), ("normal", 0), ("limits", 0)])
def test_exit_codes(probe_folder: Path, do: str, code: int) -> None:
    done = twistd(probe_folder, do)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr


def test_further_signals_change_nothing_about_the_end(probe_folder: Path) -> None:
    done = twistd(probe_folder, "signals")
    assert done.stdout.splitlines() == ["it ends", "it ended"]
    assert done.returncode == -signal.SIGINT, "twistd ends by the last signal"
    assert "Traceback" not in done.stderr


def test_services_stop_one_after_the_other_whatever_becomes_of_one(probe_folder: Path) -> None:
    done = twistd(probe_folder, "in_order")
    assert done.returncode == 0
    assert done.stdout.splitlines() == ["fourth ends", "fourth ended", "third ends", "second ends", "second ended"]
    assert "a service could not be stopped" in done.stderr
    assert "ValueError: third" in done.stderr


def test_an_error_of_make_service_is_one_line(probe_folder: Path) -> None:
    done = twistd(probe_folder, "bad_state")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "probe: the state folder \\x1b is of version 9\n"


def test_a_package_that_is_missing_is_named(probe_folder: Path) -> None:
    done = twistd(probe_folder, "needs_package")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "probe: No module named 'no_such_package'; install SocksFusion with its extra proxy; in a clone: "
        "pip install '.[proxy]'\n"
    )


def test_a_port_in_use_is_one_line_and_exit_code_4(probe_folder: Path) -> None:
    done = twistd(probe_folder, "port_in_use")
    assert done.returncode == 4
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("probe: "))
    assert "can't listen on tcp:" in line
    assert "Address already in use" in line
    assert "Traceback" not in done.stderr


def test_a_daemon_tells_the_shell_that_it_could_not_start(probe_folder: Path) -> None:
    done = run(probe_folder, "--pidfile=", "--logfile=log", "probe", "--do", "port_in_use")
    assert done.returncode == 1
    assert "can't listen on" in done.stderr
    assert "Address already in use; end the program that has it" in (probe_folder / "log").read_text()


def test_the_log_has_no_control_character(probe_folder: Path) -> None:
    done = twistd(probe_folder, "escape")
    assert "from outside: \\x1b[31m\\x00\\u202e\n" in done.stderr
    assert "ZeroDivisionError" in done.stderr
    assert not [character for character in done.stderr if not character.isprintable() and character not in "\n\t"]


def test_logfile_is_twistds_business(probe_folder: Path) -> None:
    done = twistd(probe_folder, "replace", "--logfile=log")
    assert done.stderr == "probe: replaced by\\na newer copy\n"
    assert done.stdout == "a message\n"
    assert "replaced by" in (probe_folder / "log").read_text()


@pytest.mark.parametrize("reactor", ["epoll", "poll", "select", "asyncio"])
@pytest.mark.parametrize("step", [-3600, 3600])
def test_k1_a_step_of_the_wall_clock_moves_no_timer(probe_folder: Path, reactor: str, step: int) -> None:
    done = run(probe_folder, "-n", "--pidfile=", f"--reactor={reactor}", "probe", "--do", "clock", f"--step={step}")
    assert done.returncode == 0, done.stderr


def test_k1_this_twisted_counts_by_the_wall_clock() -> None:
    """The premise: where this fails one day, ``use_monotonic_time`` has become needless."""
    import time

    assert ReactorBase.seconds is time.time


def test_garbage_is_collected_rarely() -> None:
    """A process of its own: the collector's settings are the whole process's."""
    script = (
        "import gc; from twisted.internet import reactor; from socksfusion.program import collect_garbage_rarely;"
        "collect_garbage_rarely(reactor); reactor.callLater(0, reactor.stop); reactor.run();"
        "print(gc.get_threshold()[0], gc.get_freeze_count() > 1000)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [str(limits.GARBAGE_THRESHOLD), "True"]
