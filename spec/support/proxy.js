// A proxy that tunnels, or does not.
//
//     node proxy.js http|socks5|relay --dir DIR [--host ::1] [--to PORT] [--owner PID]
//
// http takes CONNECT, socks5 SOCKS5 without a password; relay passes each connection on to 127.0.0.1:PORT. DIR/mode
// names what it does next: a key of MODES. DIR/raw.jsonl gets a line for each connection, with the target that was asked
// for; DIR/raw.port holds the port. It ends when the process OWNER is gone. Node's own modules only; started by raw.lua.
"use strict";

const fs = require("fs");
const net = require("net");
const path = require("path");

const [kind, ...rest] = process.argv.slice(2);
const options = { host: "127.0.0.1" };
for (let i = 0; i < rest.length; i += 2) options[rest[i].replace(/^--/, "")] = rest[i + 1];
const file = (name) => path.join(options.dir, name);
const journal = fs.openSync(file("raw.jsonl"), "a", 0o600);
const mode = () => fs.readFileSync(file("mode"), "utf8");
const note = (entry) => fs.writeSync(journal, JSON.stringify(entry) + "\n");

const AUTHENTICATE = 'Proxy-Authenticate: Basic realm="p"\r\n';
const STRAY = '{"sent":true,"id":"wamid.STRAY"}';

// What is done with whoever asks for a tunnel: to the target and on, or not.
const MODES = {
  tunnel: (c) => c.join(),
  "breaks before the answer": (c) => c.join(), // in join(): when the target speaks while the mode is this one
  silent: () => {},
  closes: (c) => c.socket.end(),
  resets: (c) => c.socket.resetAndDestroy(),
  garbage: (c) => c.socket.end("\x00\x01 this is no proxy\r\n\r\n"),
  "yes and closes": (c) => c.socket.end(c.yes),
  "yes and silent": (c) => c.socket.write(c.yes),
  "yes and garbage": (c) => c.socket.end(Buffer.concat([Buffer.from(c.yes), Buffer.from("HTTP/1.1 200 OK\r\n\r\n{}")])),
  refuses: (c) => c.socket.end(c.no),
  407: (c) => c.socket.end(c.http(407, "Proxy Authentication Required", AUTHENTICATE)),
  "407 without end": (c) => c.socket.write(c.http(407, "Proxy Authentication Required", AUTHENTICATE)),
  502: (c) => c.socket.end(c.http(502, "Bad Gateway", "")),
  503: (c) => c.socket.end(c.http(503, "Service Unavailable", "Retry-After: 60\r\n")),
  // what looks like the API's own answer, from somebody who never asked it
  "an answer of its own": (c) => c.socket.end(`HTTP/1.1 403 Forbidden\r\nContent-Length: ${STRAY.length}\r\n\r\n${STRAY}`),
};

function join(socket, yes, host, port, first) {
  const target = net.connect({ host, port });
  target.once("connect", () => {
    if (yes) socket.write(yes);
    if (first.length) target.write(first);
    socket.on("data", (bytes) => target.write(bytes));
    target.on("data", (bytes) => (mode() === "breaks before the answer" ? socket.destroy() : socket.write(bytes)));
  });
  const both = () => (socket.destroy(), target.destroy());
  for (const end of [socket, target]) end.on("error", both).on("close", both);
}

function serve(socket, asked, words, first) {
  const act = MODES[mode()];
  note({ target: `${asked.host}:${asked.port}`, mode: mode() });
  act({ socket, ...words, join: () => join(socket, words.yes, asked.host, asked.port, first) });
}

const http = (status, reason, head) => `HTTP/1.1 ${status} ${reason}\r\n${head}Content-Length: 3\r\n\r\nno\n`;

const KINDS = {
  relay: (socket) => serve(socket, { host: "127.0.0.1", port: +options.to }, { yes: "", no: "", http }, Buffer.alloc(0)),
  http(socket) {
    let head = Buffer.alloc(0);
    socket.on("data", function take(bytes) {
      head = Buffer.concat([head, bytes]);
      const end = head.indexOf("\r\n\r\n");
      if (end < 0) return;
      socket.off("data", take);
      const [, host, port] = /^CONNECT \[?([^\] ]+?)\]?:(\d+) /.exec(head.toString("latin1"));
      const words = { yes: "HTTP/1.1 200 Connection established\r\n\r\n", no: http(403, "Forbidden", ""), http };
      serve(socket, { host, port: +port }, words, head.subarray(end + 4));
    });
  },
  socks5(socket) {
    let step = 0;
    socket.on("data", function take(bytes) {
      if (step++ === 0) return socket.write(Buffer.from([5, 0]));
      socket.off("data", take);
      const name = bytes[3] === 3, end = name ? 5 + bytes[4] : bytes[3] === 4 ? 20 : 8;
      const host = name ? bytes.toString("latin1", 5, end) : bytes[3] === 4
        ? bytes.subarray(4, 20).toString("hex").match(/..../g).join(":") : [...bytes.subarray(4, 8)].join(".");
      const code = (n) => Buffer.from([5, n, 0, 1, 0, 0, 0, 0, 0, 0]);
      const words = { yes: code(0), no: code(2), http: () => code(1) };
      serve(socket, { host, port: bytes.readUInt16BE(end) }, words, bytes.subarray(end + 2));
    });
  },
};

const server = net.createServer((socket) => {
  socket.on("error", () => socket.destroy());
  KINDS[kind](socket);
});
server.on("error", (err) => (console.error(err.message), process.exit(1)));
server.listen(0, options.host, () => {
  fs.writeFileSync(file("raw.port.new"), String(server.address().port));
  fs.renameSync(file("raw.port.new"), file("raw.port"));
});
setInterval(() => {
  try {
    if (options.owner) process.kill(+options.owner, 0);
  } catch {
    process.exit(0);
  }
}, 500);
