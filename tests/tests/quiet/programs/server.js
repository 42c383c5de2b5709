// A web server that runs commands with a fixed text for its requests. Arguments: address, port.
const http = require('http'), child = require('child_process');
http.createServer((request, response) => {
  if (request.method === 'POST') {
    // Through the command, from connection to connection.
    const gzip = child.spawn('gzip', ['-c']);
    request.pipe(gzip.stdin);
    gzip.stdout.pipe(response);
    return;
  }
  child.exec('uname -a; id | tail -1', (error, said) => {
    response.end(said + child.execSync('date -u') + child.execFileSync('df', ['/']));
  });
}).listen(Number(process.argv[3]), process.argv[2]);
