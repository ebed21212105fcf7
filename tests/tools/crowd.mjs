// A crowd of Socket.IO clients, as people write them: many in the rooms of repositories, some that take everything, one that takes
// nothing any more. It prints a line of JSON when all are there, and one when each has what it should, or time is up.
//
//   crowd.mjs BASE '{"clients": 1000, "takers": 10, "stalled": 1, "rooms": {"octo-org/repo.1": 15, …}, "patience": 60000}'
//
// `rooms` says how many deliveries each repository will get. Each client has to hear each of its own once, in order.
import { createRequire } from "node:module";

const require = createRequire(process.env.HOOKLOG_TEST_TOOLS + "/");
const { io } = require("socket.io-client");

const [base, text] = process.argv.slice(2);
const { clients, takers, stalled = 0, rooms, patience } = JSON.parse(text);
const say = (what, data) => console.log(JSON.stringify([what, data ?? null]));

const names = Object.keys(rooms);
const total = Object.values(rooms).reduce((sum, count) => sum + count, 0);
const late = [];
let wrong = 0;
let dropped = 0;

function listen(room, expected) {
  const client = { room, expected, heard: 0, last: 0 };
  const socket = io(base, { transports: ["websocket"], forceNew: true, reconnection: false, timeout: 30_000 });
  socket.on("webhook-event", (row) => {
    client.heard += 1;
    const isMine = !room || row.repository.toLowerCase() === room.toLowerCase();
    if (row.position <= client.last || !isMine) wrong += 1;
    client.last = row.position;
    late.push(Date.now() - Date.parse(row.timestamp));
  });
  socket.on("disconnect", () => (dropped += 1));
  client.joined = new Promise((done, failed) => {
    socket.on("connect_error", failed);
    socket.on("connect", async () => {
      if (room) {
        const answer = await socket.timeout(30_000).emitWithAck("subscribe:repository", room);
        if (!answer.ok) return failed(new Error(JSON.stringify(answer)));
      }
      done(socket);
    });
  });
  return client;
}

const all = [];
for (let n = 0; n < clients; n++) {
  const room = names[n % names.length];
  all.push(listen(room, rooms[room]));
  // A few at a time: the machine has other things to do.
  if (n % 50 === 49) await Promise.all(all.map(({ joined }) => joined));
}
for (let n = 0; n < takers; n++) all.push(listen(null, total));
await Promise.all(all.map(({ joined }) => joined));
for (let n = 0; n < stalled; n++) {
  // It is there, and reads nothing from now on.
  const socket = await listen(null, 0).joined;
  socket.io.engine.transport.ws._socket.pause();
}
say("ready");

const end = Date.now() + patience;
const isDone = () => all.every(({ heard, expected }) => heard >= expected);
while (!isDone() && Date.now() < end) await new Promise((done) => setTimeout(done, 100));
// What comes beyond that comes soon.
await new Promise((done) => setTimeout(done, 500));
late.sort((a, b) => a - b);
const at = (percent) => late[Math.min(late.length - 1, Math.floor((late.length * percent) / 100))];
say("summary", {
  complete: all.filter(({ heard, expected }) => heard === expected).length,
  of: all.length,
  events: late.length,
  wrong,
  dropped,
  p50: at(50),
  p95: at(95),
  p99: at(99),
});
process.exit(0);
