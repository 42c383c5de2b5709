"""Keeps a shell and a connection to its service, which says what to run. Arguments: URL, which of the two it has first,
and what the shell is on (`pipes` or `terminal`)."""

import http.client
import json
import os
import ssl
import subprocess
import sys
import urllib.parse

url, first, streams = sys.argv[1:]


def connect():
    at = urllib.parse.urlsplit(url)
    if at.scheme == "http":
        connection = http.client.HTTPConnection(at.hostname, at.port)
    else:
        context = ssl.create_default_context(cafile="cert.pem")
        connection = http.client.HTTPSConnection(at.hostname, at.port, context=context)
    connection.connect()
    return connection


class Shell:
    def __init__(self):
        if streams == "pipes":
            child = subprocess.Popen(["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self.commands, self.answers = child.stdin, child.stdout
        else:
            ours, theirs = os.openpty()
            command = ["bash", "--norc", "-i"]
            subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
            os.close(theirs)
            self.commands, self.answers = open(ours, "wb", buffering=0), open(ours, "rb", closefd=False)

    def run(self, command):
        # A terminal echoes the command, so the mark must not be in it as a whole.
        self.commands.write(f"{command}; echo the''-end\n".encode())
        self.commands.flush()
        said = b""
        while not said.rstrip().endswith(b"the-end"):
            said += self.answers.readline()
        return said


def ask(method, path, body=None):
    connection.request(method, path, body)
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status == 200 and not answer.will_close, text
    return json.loads(text)


if first == "shell":
    shell, connection = Shell(), connect()
else:
    connection, shell = connect(), Shell()
while task := ask("GET", "/task")["task"]:
    ask("POST", "/result", shell.run(task))
