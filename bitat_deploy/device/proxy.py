"""A command of the ssh configuration whose standard input and output lead to the device."""

import socket
import subprocess
import tempfile


class Proxy:
    """ProxyCommand or ProxyJump, running.

    paramiko's own does not notice that the command has ended, and names it, with all that may
    stand in it, in its errors.
    """

    def __init__(self, command: str) -> None:
        """Start ``command`` in a shell, as ssh does. Raises OSError."""
        self.socket, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed below
        with theirs:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._errors,
                start_new_session=True,  # Ctrl-C is ours to handle: first tidy up there
            )

    def last_error(self) -> str:
        """The last line that the command wrote to standard error, empty where there is none."""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def close(self) -> None:
        """End the command."""
        self.socket.close()
        self._process.terminate()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()
