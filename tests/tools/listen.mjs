// A client of Socket.IO as people write them: socket.io-client, told on the command line what to listen to. It prints a line
// of JSON for whatever happens, until it is killed. On standard input it is told to "pause" (it takes nothing from its WebSocket
// any more), to "resume", or to "leave" its namespace while it keeps the connection.
//
//   listen.mjs BASE '{"namespace": "/", "transports": ["websocket"], "token": "hk_…", "subscribe": [["subscribe:repository", "a/b"]]}'
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const require = createRequire(process.env.HOOKLOG_TEST_TOOLS + '/');
const { io } = require('socket.io-client');

const [base, text] = process.argv.slice(2);
const { namespace = '/', transports, token, headers, subscribe = [], timeout = 10000 } = JSON.parse(text);
const say = (what, data) => console.log(JSON.stringify([what, data ?? null, Date.now()]));

const options = { transports, extraHeaders: headers, reconnectionDelay: 100, reconnectionDelayMax: 500, timeout };
if (token !== undefined) options.auth = { token };
const socket = io(base + namespace, options);
socket.on('connect', async () => {
  for (const [event, data] of subscribe) {
    say('ack', await socket.timeout(timeout).emitWithAck(event, data));
  }
  say('connected', socket.io.engine.transport.name);
  socket.io.engine.once('upgrade', (transport) => say('upgraded', transport.name));
});
const why = ({ message, context }) => [message, context?.status ?? context?.message].filter(Boolean).join(': ');
socket.on('connect_error', (error) => say('connect_error', why(error)));
socket.on('disconnect', (reason) => say('disconnect', reason));
socket.onAny((event, data) => say(event, data));
createInterface({ input: process.stdin }).on('line', (line) => {
  const { engine } = socket.io;
  if (line === 'leave') engine.write('1');
  else engine.transport.ws._socket[line]();
  say(line);
});
