// An HTTP/2 server (TLS, ALPN h2) for faults that nginx can't do: one process, one behaviour.
//
//     node h2_server.js BEHAVIOUR --dir DIR [--answer N] [--owner PID]
//
// DIR holds server.pem and server.key. The first N (0) streams of every session are answered properly; the next meets
// the behaviour, always after its body arrived whole. DIR/raw.port holds the port once it listens, DIR/raw.jsonl a JSON
// line for every whole request. It ends when the process OWNER is gone. Node's own modules only; started by raw.lua.
"use strict";

const fs = require("fs");
const http2 = require("http2");
const path = require("path");

const options = { answer: 0 };
for (let i = 3; i < process.argv.length; i += 2) options[process.argv[i].replace(/^--/, "")] = process.argv[i + 1];
const file = (name) => path.join(options.dir, name);
const journal = fs.openSync(file("raw.jsonl"), "a", 0o600);

const BODY = '{"sent":true,"id":"wamid.SDI=","message":"Sent","description":"Message has been sent to the provider"}';
const accept = (stream) => {
  stream.respond({ ":status": 200, "content-type": "application/json" });
  stream.end(BODY);
};
const { NGHTTP2_REFUSED_STREAM, NGHTTP2_INTERNAL_ERROR, NGHTTP2_CANCEL, NGHTTP2_NO_ERROR, NGHTTP2_ENHANCE_YOUR_CALM } =
  http2.constants;
// A GOAWAY that names an older stream says that this one was not looked at; here it was. The connection then ends.
const goaway = (code, older) => (stream) => {
  stream.session.goaway(code, Math.max(stream.id - older, 0));
  setTimeout(() => stream.session && stream.session.destroy(), 50);
};

// Node lets nobody touch a session's socket, so the TCP sockets are kept by their port.
const tcp = new Map();
const under = (stream) => tcp.get(stream.session.socket.remotePort);

const behaviours = {
  accept,
  close: (stream) => under(stream).destroy(),
  reset: (stream) => under(stream).resetAndDestroy(),
  goaway_older: goaway(NGHTTP2_NO_ERROR, 2),
  goaway_same: goaway(NGHTTP2_NO_ERROR, 0),
  goaway_calm: goaway(NGHTTP2_ENHANCE_YOUR_CALM, 2),
  refused: (stream) => stream.close(NGHTTP2_REFUSED_STREAM),
  internal: (stream) => stream.close(NGHTTP2_INTERNAL_ERROR),
  cancel: (stream) => stream.close(NGHTTP2_CANCEL),
  hang: () => {},
  hang_one: (stream) => {
    if (stream.session.hanging) accept(stream);
    stream.session.hanging = true;
  },
  black: (stream) => (stream.session.serial === 1 ? undefined : accept(stream)), // its first connection only
  http11: () => {}, // see below
  half_answer: (stream) => {
    stream.respond({ ":status": 200, "content-type": "application/json", "content-length": BODY.length });
    stream.write(BODY.slice(0, 20), () => setTimeout(() => stream.close(NGHTTP2_INTERNAL_ERROR), 20));
  },
};
const behaviour = behaviours[process.argv[2]];
if (!behaviour) throw new Error("no behaviour " + process.argv[2]);

const server = http2.createSecureServer({
  cert: fs.readFileSync(file("server.pem")),
  key: fs.readFileSync(file("server.key")),
  settings: { maxConcurrentStreams: 256 },
  allowHTTP1: process.argv[2] === "http11",
});
// HTTP/1.1, and over HTTP/2 nothing but the wish for it.
if (process.argv[2] === "http11") {
  server.on("request", (request, response) => {
    if (request.httpVersion === "2.0") return;
    let body = "";
    request.on("data", (chunk) => (body += chunk));
    request.on("end", () => {
      const entry = { http: request.httpVersion, verb: request.method, path: request.url, phone: JSON.parse(body).phone, body };
      fs.writeSync(journal, JSON.stringify(entry) + "\n");
      response.setHeader("content-type", "application/json");
      response.end(BODY);
    });
  });
}
server.on("connection", (socket) => {
  const port = socket.remotePort;
  tcp.set(port, socket);
  socket.on("close", () => tcp.delete(port));
});
let sessions = 0;
server.on("session", (session) => {
  session.serial = ++sessions;
  session.streams = 0;
  session.on("error", () => {});
});
server.on("stream", (stream, headers) => {
  const nth = ++stream.session.streams;
  const session = stream.session;
  if (process.argv[2] === "http11") {
    stream.on("error", () => {});
    stream.close(http2.constants.NGHTTP2_HTTP_1_1_REQUIRED);
    return;
  }
  const chunks = [];
  stream.on("error", () => {});
  stream.on("data", (chunk) => chunks.push(chunk));
  stream.on("end", () => {
    const bytes = Buffer.concat(chunks);
    if (bytes.length !== Number(headers["content-length"] || 0)) return; // its session ended: not a whole request
    const body = bytes.toString();
    let phone;
    try {
      phone = JSON.parse(body).phone;
    } catch {
      phone = undefined;
    }
    const entry = { connection: session.serial, request: nth, verb: headers[":method"], path: headers[":path"], phone, body };
    fs.writeSync(journal, JSON.stringify(entry) + "\n");
    if (stream.destroyed) return;
    (nth <= Number(options.answer) ? accept : behaviour)(stream);
  });
});
server.on("sessionError", () => {});
server.listen(0, "127.0.0.1", () => fs.writeFileSync(file("raw.port"), server.address().port + "\n"));

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
