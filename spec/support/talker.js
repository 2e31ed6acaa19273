// An HTTP/1.1 or HTTP/2 server that says something out of turn.
//
//     node talker.js --dir DIR --over plain|tls|h2 [--owner PID]
//
// It answers every request with the id "wamid." and the phone. When a connection has got its answer it says, all by
// itself, the kind that DIR/kind names. DIR/raw.jsonl gets a line for each whole request, and one { "said": kind } when
// that is on its way. While DIR/held is there it answers nobody.
// DIR/raw.port holds the port. It ends when the process OWNER is gone. Node's own modules only; started by raw.lua.
"use strict";

const fs = require("fs");
const http2 = require("http2");
const net = require("net");
const path = require("path");
const tls = require("tls");

const options = {};
for (let i = 2; i < process.argv.length; i += 2) options[process.argv[i].replace(/^--/, "")] = process.argv[i + 1];
const file = (name) => path.join(options.dir, name);
const journal = fs.openSync(file("raw.jsonl"), "a", 0o600);
const note = (entry) => fs.writeSync(journal, JSON.stringify(entry) + "\n");
const kind = () => fs.readFileSync(file("kind"), "utf8");
const said = () => note({ said: kind() });

const answer = (status, body, more) =>
  `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n${more || ""}\r\n${body}`;
const CLOSE = "Connection: close\r\n";
const alert = (level, what) => Buffer.from([21, 3, 3, 0, 2, level, what]);

// What a talker can do on a connection: socket is what requests came over, tcp what lies under it.
const KINDS = {
  nothing: (c) => c.done(),
  408: (c) => c.socket.write(answer("408 Request Timeout", "", CLOSE), c.done),
  "408 and close": (c) => c.socket.end(answer("408 Request Timeout", "", CLOSE), c.done),
  429: (c) => c.socket.write(answer("429 Too Many Requests", '{"error":"slow down"}'), c.done),
  400: (c) => c.socket.write(answer("400 Bad Request", '{"error":"bad request"}'), c.done),
  "200 with an id": (c) => c.socket.write(answer("200 OK", '{"sent":true,"id":"wamid.STRAY"}'), c.done),
  "a hundred answers": (c) => c.socket.write(answer("200 OK", '{"sent":true,"id":"wamid.STRAY"}').repeat(100), c.done),
  "100 Continue": (c) => c.socket.write("HTTP/1.1 100 Continue\r\n\r\n", c.done),
  garbage: (c) => c.socket.write("\x00\x01\x02 not HTTP", c.done),
  "half a line": (c) => c.socket.write("HTTP/1.1 20", c.done),
  "an empty line": (c) => c.socket.write("\r\n", c.done),
  close: (c) => c.socket.end(c.done),
  "close late": (c) => setTimeout(() => c.socket.end(c.done), 700),
  "half close": (c) => c.tcp.end(c.done),
  reset: (c) => c.tcp.once("close", c.done).resetAndDestroy(),
  close_notify: (c) => c.leave(c.done), // and the TCP connection stays
  "an alert in clear": (c) => c.tcp.write(alert(2, 40), c.done),
  "half a record": (c) => c.tcp.write(Buffer.from([23, 3, 3]), c.done),
  // HTTP/2
  ping: (c) => c.session.ping(Buffer.alloc(8), () => {}) && setImmediate(c.done),
  settings: (c) => c.session.settings({ maxConcurrentStreams: 7 }, () => {}) || setImmediate(c.done),
  goaway: (c) => c.session.goaway(0) || setImmediate(c.done),
  "goaway, calm": (c) => c.session.goaway(http2.constants.NGHTTP2_ENHANCE_YOUR_CALM, c.last) || setImmediate(c.done),
  "goaway and close": (c) => c.session.close(c.done),
  altsvc: (c) => c.session.altsvc('h2=":1"', "https://127.0.0.1") || setImmediate(c.done),
  destroy: (c) => {
    c.session.destroy();
    c.done();
  },
};

let serial = 0;
const entry_of = (connection, request, verb, where, body) => {
  let phone;
  try {
    phone = JSON.parse(body).phone;
  } catch {
    phone = undefined;
  }
  note({ connection, request, verb, path: where, phone, body });
  return JSON.stringify({ sent: true, id: "wamid." + phone });
};
const when_free = (act) => (fs.existsSync(file("held")) ? setTimeout(when_free, 5, act) : act());
// In a turn of its own, so that the client has read the answer: what comes with it is another matter.
const talk = (connection) =>
  setTimeout(() => {
    const before = connection.tcp.bytesWritten;
    const done = () =>
      connection.relayed && !connection.tcp.destroyed && connection.tcp.bytesWritten === before
        ? setImmediate(done)
        : said();
    connection.done = kind() === "nothing" || kind() === "half close" ? said : done;
    KINDS[kind()](connection);
  }, 20);

function serve(socket, tcp, leave) {
  const connection = { serial: ++serial, socket, tcp, leave, requests: 0, relayed: socket !== tcp };
  let buffer = Buffer.alloc(0);
  socket.on("error", () => {});
  socket.on("data", (chunk) => {
    buffer = Buffer.concat([buffer, chunk]);
    const end = buffer.indexOf("\r\n\r\n");
    const head = end >= 0 ? buffer.subarray(0, end).toString("latin1") : "";
    const length = Number((head.match(/\r\ncontent-length: *(\d+)/i) || [0, 0])[1]);
    if (end < 0 || buffer.length < end + 4 + length) return;
    const body = buffer.subarray(end + 4, end + 4 + length).toString();
    buffer = buffer.subarray(end + 4 + length);
    const [verb, where] = head.split(" ");
    const json = entry_of(connection.serial, ++connection.requests, verb, where, body);
    when_free(() => socket.write(answer("200 OK", json), () => talk(connection)));
  });
}

// Without noDelay, a word waits 40 ms for the acknowledgement of what was said before.
const server_options = { allowHalfOpen: true, noDelay: true };
const pem = () => ({ cert: fs.readFileSync(file("server.pem")), key: fs.readFileSync(file("server.key")) });

// TLS ends here, behind a relay on whose side towards the client anything can be done: to say close_notify and keep the
// TCP connection, and to know when something is on its way.
function secure(announce) {
  const outer = new Map(); // by the port of the relay's other side
  const inner = tls.createServer({ ...pem(), noDelay: true }, (socket) => {
    const it = outer.get(socket.remotePort);
    const leave = (done) => {
      it.alone = true;
      socket.end(done);
    };
    serve(socket, it.tcp, leave);
  });
  inner.on("tlsClientError", () => {});
  const relay = net.createServer(server_options, (tcp) => {
    const it = { tcp, alone: false };
    const other = net.connect({ port: inner.address().port, host: "127.0.0.1", ...server_options }, () => {
      outer.set(other.localPort, it);
      tcp.on("data", (chunk) => other.write(chunk));
      tcp.on("end", () => other.end());
    });
    for (const one of [tcp, other]) one.on("error", () => {});
    tcp.on("close", () => other.destroy());
    other.on("data", (chunk) => tcp.writable && tcp.write(chunk));
    other.on("end", () => it.alone || tcp.end());
  });
  inner.listen(0, "127.0.0.1", () => relay.listen(0, "127.0.0.1", () => announce(relay)));
}

const announce = (server) => fs.writeFileSync(file("raw.port"), server.address().port + "\n");
if (options.over === "h2") {
  const server = http2.createSecureServer({ ...pem(), noDelay: true, settings: { maxConcurrentStreams: 256 } });
  const tcp = new Map();
  server.on("connection", (socket) => tcp.set(socket.remotePort, socket));
  server.on("session", (session) => {
    session.talker = { serial: ++serial, session, requests: 0, tcp: tcp.get(session.socket.remotePort) };
    session.talker.socket = session.talker.tcp;
    session.on("error", () => {});
  });
  server.on("sessionError", () => {});
  server.on("stream", (it, headers) => {
    const talker = it.session.talker;
    const chunks = [];
    it.on("error", () => {});
    it.on("data", (chunk) => chunks.push(chunk));
    it.on("end", () => {
      const body = Buffer.concat(chunks).toString();
      const json = entry_of(talker.serial, ++talker.requests, headers[":method"], headers[":path"], body);
      it.respond({ ":status": 200, "content-type": "application/json" });
      it.on("close", () => {
        talker.last = it.id;
        talk(talker);
      });
      it.end(json);
    });
  });
  server.listen(0, "127.0.0.1", () => announce(server));
} else if (options.over === "tls") {
  secure(announce);
} else {
  const server = net.createServer(server_options, (tcp) => serve(tcp, tcp));
  server.listen(0, "127.0.0.1", () => announce(server));
}

if (options.owner) {
  setInterval(() => {
    let state = "X";
    try {
      state = fs.readFileSync("/proc/" + options.owner + "/stat", "utf8").match(/\) (\w)/)[1];
    } catch {
      // gone
    }
    if (state === "Z" || state === "X") process.exit(0);
  }, 1000);
}
