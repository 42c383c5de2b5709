// Keeps a shell over pipes and a connection to its service, which says what to run. Arguments: host, port, and which of
// the two it has first.
const [host, port, first] = process.argv.slice(2);
const https = require('https'), fs = require('fs'), child = require('child_process');
const agent = new https.Agent({ keepAlive: true, maxSockets: 1, ca: fs.readFileSync('cert.pem') });
let shell;

function ask(method, path, body) {
  return new Promise((done, failed) => {
    const request = https.request({ host, port, method, path, agent }, (answer) => {
      let text = '';
      answer.on('data', (part) => { text += part; });
      answer.on('end', () => done(JSON.parse(text)));
    });
    request.on('error', failed);
    // Without a length, Node sends chunks.
    if (body) request.setHeader('Content-Length', Buffer.byteLength(body));
    request.end(body);
  });
}

function start() {
  shell = child.spawn('bash', [], { stdio: ['pipe', 'pipe', 'inherit'] });
}

function run(command) {
  return new Promise((done) => {
    let said = '';
    const more = (part) => {
      said += part;
      if (!said.includes('the-end')) return;
      shell.stdout.off('data', more);
      done(said);
    };
    shell.stdout.on('data', more);
    shell.stdin.write(`${command}; echo the-end\n`);
  });
}

(async () => {
  if (first === 'shell') start();
  await ask('GET', '/status');
  if (first !== 'shell') start();
  for (let task; (task = (await ask('GET', '/task')).task);) await ask('POST', '/result', await run(task));
  process.exit(0);
})();
