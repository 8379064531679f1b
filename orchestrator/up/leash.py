"""Runs a command that ends when its supervisor does, even when that is killed without a word.

Started as a script, with the supervisor's process id and the command. On Linux the kernel is asked to send
SIGTERM when the parent dies; elsewhere the next `fleet up` finds the leftovers by their pid files. It is a
script of its own because code between fork and exec of a process with threads may hang.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel was asked
        sys.exit(1)
    try:
        os.execv(command[0], command)
    except OSError as error:
        sys.exit(f"{command[0]} cannot be run: {error.strerror}")


if __name__ == "__main__":
    main()
