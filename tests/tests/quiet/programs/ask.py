"""Sends `hello` to a service, several times over, and demands its answer each time. Arguments: address, port; `open`
not to say that there is nothing more to send, `once` not to do it again."""

import socket
import sys

for _ in range(1 if "once" in sys.argv else 3):
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=15) as connection:
        connection.sendall(b"hello\r\n")
        if "open" not in sys.argv:
            connection.shutdown(socket.SHUT_WR)
        answer = connection.makefile().read()
        assert "hello" in answer and "uid=" in answer and "Linux" in answer, answer
