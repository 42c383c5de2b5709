"""A web server that runs commands with a fixed text for its requests. Arguments: address, port."""

import http.server
import os
import subprocess
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        shell = subprocess.run("uname -a; id | tail -1", shell=True, stdout=subprocess.PIPE).stdout
        plain = subprocess.run(["date", "-u"], stdout=subprocess.PIPE).stdout
        self.answer(shell + plain + os.popen("df /").read().encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(subprocess.run("uname -a >&2; gzip -c", shell=True, input=body, stdout=subprocess.PIPE).stdout)

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
