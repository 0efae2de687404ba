"""Start a program that dies with its parent: `launch.py PARENT_PID SIGNAL IDENTITY PROGRAM ARGS…`.

A script of its own, because nothing but exec is safe between fork and exec in a process that may
have threads. Identities: `same` (who we are), `namespace` (ourselves, seen as an unprivileged user
from inside a user namespace: PostgreSQL refuses to run as root) and `nobody`.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import sys
from pathlib import Path

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1
INSIDE_ID = 1000

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, call: str) -> None:
    """Raise the OSError that a failed C call left in errno."""
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{call}: {os.strerror(code)}")


def enter_namespace() -> None:
    """Enter a user namespace where we are an ordinary user; outside, all files stay ours."""
    user, group = os.geteuid(), os.getegid()
    check(libc.unshare(CLONE_NEWUSER), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{INSIDE_ID} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{INSIDE_ID} {group} 1")


def become_nobody() -> None:
    """Give up root for good."""
    nobody = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(nobody.pw_gid)
    os.setuid(nobody.pw_uid)


def main(parent: str, death_signal: str, identity: str, *command: str) -> None:
    """Change the identity, tie our life to the parent's, and become the program."""
    if identity == "namespace":
        enter_namespace()
    elif identity == "nobody":
        become_nobody()
    # After the change of identity, because that change resets it.
    check(libc.prctl(PR_SET_PDEATHSIG, int(death_signal)), "prctl")
    if os.getppid() != int(parent):
        sys.exit("the parent died first")
    # Python ignores these two, and an ignored signal stays ignored through exec.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    os.execvp(command[0], command)  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main(*sys.argv[1:])
