"""A collector of metrics: keeps every line that it is sent, and says `ok` to it. Arguments: address, port."""

import socketserver
import sys


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            with open("collected", "ab") as collected:
                collected.write(line)
            try:
                self.wfile.write(b"ok\n")
            except (BrokenPipeError, ConnectionResetError):
                pass  # Not everybody waits for it.


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True


Server((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
