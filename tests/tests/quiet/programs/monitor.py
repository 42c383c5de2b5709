"""A monitoring agent: one connection to its collector, some commands each round. Arguments: address, port, and `shell`
if it has one run them."""

import socket
import subprocess
import sys

connection = socket.create_connection((sys.argv[1], int(sys.argv[2])))
lines = connection.makefile()
shell = "shell" in sys.argv
for round in range(5):
    for command in ["df /", "uptime", "ps -A", "id"]:
        words = command if shell else command.split()
        said = subprocess.run(words, shell=shell, stdout=subprocess.PIPE, check=True).stdout
        connection.sendall(command.encode() + b": " + said.splitlines()[-1] + b"\n")
        assert lines.readline() == "ok\n"
