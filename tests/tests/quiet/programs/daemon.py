"""Runs jobs the way cron does: a shell for each, without a terminal, its output in a file; the last ones are fed
through a pipe, as `at` does."""

import subprocess

JOBS = ["id; date | cat", "set -- $(uname -a); echo $1", "for i in 1 2 3; do /bin/echo $i; done"]
for number, job in enumerate(JOBS):
    with open(f"job-{number}", "wb") as output:
        subprocess.run(["/bin/sh", "-c", job], stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=True)
for shell in ["sh", "bash"]:
    with open(f"job-{shell}", "wb") as output:
        subprocess.run([shell], input=b"cd /\nid\nls | head -2\n", stdout=output, start_new_session=True, check=True)
