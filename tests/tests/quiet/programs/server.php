<?php
// Runs commands with a fixed text for a request.
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    copy('php://input', 'upload');
    passthru('gzip -c upload');
    return;
}
echo shell_exec('uname -a; id | tail -1');
exec('date -u', $lines);
system('df /');
$child = proc_open(['uptime'], [1 => ['pipe', 'w']], $pipes);
echo implode("\n", $lines), stream_get_contents($pipes[1]);
