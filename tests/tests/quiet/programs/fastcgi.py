"""A FastCGI client: has a PHP file run, and demands its answer. Arguments: address, port, file."""

import socket
import struct
import sys

address, port, file = sys.argv[1:]
variables = {"SCRIPT_FILENAME": file, "REQUEST_METHOD": "GET", "QUERY_STRING": "", "REDIRECT_STATUS": "200"}
packed = b"".join(bytes([len(name), len(value)]) + (name + value).encode() for name, value in variables.items())


def record(kind, content):
    return struct.pack(">BBHHBB", 1, kind, 1, len(content), 0, 0) + content


for _ in range(3):
    with socket.create_connection((address, int(port))) as connection:
        begin = record(1, struct.pack(">HB5x", 1, 0))
        connection.sendall(begin + record(4, packed) + record(4, b"") + record(5, b""))
        answer = connection.makefile("rb").read()
        assert b"uid=" in answer and b"Linux" in answer, answer
