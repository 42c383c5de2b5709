"""A web service: files, a queue of tasks, a place for results. Arguments: address, port, `tls` if it speaks that."""

import http.server
import json
import ssl
import sys
import threading

TASKS = ["id", "uname -a", "df /", "ls / | head -3", "ps -o pid,comm"]
LOCK = threading.Lock()


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/task":
            with LOCK:
                task = TASKS.pop(0) if TASKS else None
            self.answer({"task": task})
        elif self.path == "/status":
            self.answer({"status": "well", "interval": 0})
        else:
            super().do_GET()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with LOCK, open("results", "ab") as results:
            results.write(body + b"\n")
        self.answer({"kept": len(body)})

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


address, port, *tls = sys.argv[1:]
server = http.server.ThreadingHTTPServer((address, int(port)), Handler)
if tls:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("cert.pem", "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
