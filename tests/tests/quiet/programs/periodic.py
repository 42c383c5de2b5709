"""Runs commands of its own choice beside an open connection to a web service, and tells it what they said. Arguments:
URL, and the way that it runs them: over the pipes of one `bash`, with a shell for each (`system`), without (`run`)."""

import http.client
import json
import os
import ssl
import subprocess
import sys
import urllib.parse

url, way = sys.argv[1:]
at = urllib.parse.urlsplit(url)
if at.scheme == "http":
    connection = http.client.HTTPConnection(at.hostname, at.port)
else:
    context = ssl.create_default_context(cafile="cert.pem")
    connection = http.client.HTTPSConnection(at.hostname, at.port, context=context)


def ask(method, path, body=None):
    connection.request(method, path, body)
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status == 200 and not answer.will_close, text
    return json.loads(text)


shell = None
for command in ["id", "uptime", "df /", "uname -a", "ps -o pid"] * 2:
    assert ask("GET", "/status")["status"] == "well"
    if way == "bash":
        # Only now, when the connection is open.
        shell = shell or subprocess.Popen(["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        shell.stdin.write(f"{command}; echo the-end\n")
        shell.stdin.flush()
        said = ""
        while not said.endswith("the-end\n"):
            said += shell.stdout.readline()
    elif way == "system":
        assert os.system(f"{command} >said") == 0
        said = open("said").read()
    else:
        said = subprocess.run(command.split(), stdout=subprocess.PIPE, text=True, check=True).stdout
    ask("POST", "/result", said)
