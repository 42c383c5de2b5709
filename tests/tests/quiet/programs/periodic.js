// Runs commands of its own choice beside an open connection to a web service. Arguments: host, port.
const [host, port] = process.argv.slice(2);
const http = require('http'), child = require('child_process');
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

function ask(method, path, body) {
  return new Promise((done, failed) => {
    const request = http.request({ host, port, method, path, agent }, (answer) => {
      answer.resume();
      answer.on('end', done);
    });
    request.on('error', failed);
    if (body) request.setHeader('Content-Length', Buffer.byteLength(body));
    request.end(body);
  });
}

(async () => {
  for (const command of ['id', 'uptime', 'df /', 'uname -a']) {
    await ask('GET', '/status');
    const said = await new Promise((done) => child.exec(command, (error, out) => done(out)));
    await ask('POST', '/result', said + child.execFileSync('uname', ['-r']));
  }
  process.exit(0);
})();
