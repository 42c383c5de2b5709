"""Serves what systemd hands over: a connection, or a listener if told `listening`."""

import os
import socket
import subprocess
import sys

assert os.environ["LISTEN_FDS"] == "1"
given = socket.socket(fileno=3)
while True:
    connection = given.accept()[0] if "listening" in sys.argv else given
    request = connection.makefile().readline()
    said = subprocess.run("id; uname -a", shell=True, stdout=subprocess.PIPE).stdout
    connection.sendall(request.encode() + said)
    connection.close()
    if "listening" not in sys.argv:
        break
