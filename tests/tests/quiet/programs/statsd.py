"""Keeps the datagrams that it gets. Arguments: address, port."""

import socket
import sys

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, open("datagrams", "wb", buffering=0) as kept:
    server.bind((sys.argv[1], int(sys.argv[2])))
    while True:
        kept.write(server.recv(65536) + b"\n")
