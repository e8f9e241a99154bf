"""Runs a command under a seccomp filter in which io_uring does not exist.

As a program: python3 seccomp.py COMMAND ARGUMENT...
"""

import ctypes
import os
import platform
import struct
import sys

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K
_ALLOW = 0x7FFF0000
_ERRNO_EPERM = 0x00050000 | 1  # as Docker's profile answers
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
# Arch of `struct seccomp_data`, by machine. The io_uring calls have the same numbers on both.
_ARCHES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_URING_SETUP, _URING_ENTER, _URING_REGISTER = 425, 426, 427


def without_uring(command):
    return [sys.executable, "-B", os.path.abspath(__file__), *command]


def _filter():
    """BPF: a foreign arch passes (there is none here), the three calls get EPERM."""
    arch = _ARCHES[platform.machine()]
    steps = [
        (_LOAD, 0, 0, 4),
        (_JUMP_EQUAL, 1, 0, arch),
        (_RETURN, 0, 0, _ALLOW),
        (_LOAD, 0, 0, 0),
        (_JUMP_EQUAL, 3, 0, _URING_SETUP),
        (_JUMP_EQUAL, 2, 0, _URING_ENTER),
        (_JUMP_EQUAL, 1, 0, _URING_REGISTER),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERRNO_EPERM),
    ]
    return b"".join(struct.pack("HBBI", *step) for step in steps), len(steps)


def forbid():
    """For this thread and whatever it executes. Cannot be undone."""
    libc = ctypes.CDLL(None, use_errno=True)
    code, count = _filter()
    buffer = ctypes.create_string_buffer(code)

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    program = Program(count, ctypes.addressof(buffer))
    for arguments in ((_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
                      (_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0)):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    forbid()
    os.execvp(sys.argv[1], sys.argv[1:])
