"""Child processes that cannot outlive their test: bounded in time and tied to this process."""

import ctypes
import os
import signal
import subprocess

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


def die_with_parent():
    """Runs in the child between fork and exec: a killed test leaves nothing behind."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Failed(AssertionError):
    """A client program ended with an error or ran out of time."""


def run(command, *, timeout_s=60, stdin=None, stdout=subprocess.PIPE, check=True, env=None,
        cwd=None):
    """Runs `command` to its end. `stdin` is bytes or an open file; `stdout` may be an open file.

    Raises Failed, with what the program said, on a bad exit code (unless `check` is false) and
    after `timeout_s` seconds.
    """
    given = {"input": stdin} if isinstance(stdin, bytes) else {
        "stdin": stdin if stdin is not None else subprocess.DEVNULL}
    try:
        done = subprocess.run([str(word) for word in command], stdout=stdout,
                              stderr=subprocess.PIPE, timeout=timeout_s, env=env, cwd=cwd,
                              preexec_fn=die_with_parent, check=False, **given)
    except subprocess.TimeoutExpired as late:
        said = (late.stderr or b"")[-2000:].decode(errors="replace")
        raise Failed(f"still running after {timeout_s} s: {_words(command)}\n{said}") from None
    if check and done.returncode != 0:
        said = (done.stderr or b"")[-2000:].decode(errors="replace")
        out = (done.stdout or b"")[-1000:].decode(errors="replace")
        raise Failed(f"exit code {done.returncode}: {_words(command)}\n{out}\n{said}")
    return done


def start(command, **settings):
    """Starts `command` and returns its Popen; the caller ends it, by its pid."""
    return subprocess.Popen([str(word) for word in command], preexec_fn=die_with_parent,
                            **settings)


def end(process, timeout_s=10):
    """SIGTERM, and SIGKILL after `timeout_s`; returns the exit code."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait(10)


def rss_kib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def _words(command):
    text = " ".join(str(word) for word in command)
    return text if len(text) < 600 else text[:300] + " … " + text[-300:]
