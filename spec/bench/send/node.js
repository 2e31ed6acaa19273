// Sends with Node: `node node.js fetch` as the use case's sample does, `node node.js agent` with http(s).request and
// a keep-alive agent. Settings and figures as in load.h. HTTP/1.1 only: neither speaks HTTP/2.
"use strict";
const way = process.argv[2];
const env = (name) => process.env[name] || (() => { throw new Error(`${name} is not set`); })();
const window = Number(env("BENCH_WINDOW")), count = Number(env("BENCH_COUNT")), warm = Number(env("BENCH_WARM"));
const url = `${env("ONE_MSG_BASE_URL")}/${env("ONE_MSG_INSTANCE_ID")}/sendTemplate`;
const headers = { "Content-Type": "application/json", Authorization: `Bearer ${env("ONE_MSG_TOKEN")}` };

function body() {
  return JSON.stringify({
    phone: "+1 (202) 072-1300".replace(/\D/g, ""),
    template: env("ONE_MSG_TEMPLATE"),
    namespace: env("ONE_MSG_TEMPLATE_NAMESPACE"),
    language: { policy: "deterministic", code: env("ONE_MSG_TEMPLATE_LANGUAGE") },
    params: [{ type: "body", parameters: ["Maria", "subscription payment", "Access activated in your account."]
      .map((text) => ({ type: "text", text })) }],
  });
}

async function byFetch() {
  const res = await fetch(url, { method: "POST", headers, body: body() });
  const data = JSON.parse(await res.text());
  return res.ok && data.sent === true && data.id ? 1 : 0;
}

const http = require(url.startsWith("https:") ? "https" : "http");
const ca = url.startsWith("https:") ? require("fs").readFileSync(env("ONE_MSG_CA_FILE")) : undefined;
const agent = new http.Agent({ keepAlive: true, maxSockets: window, ca });

function byAgent() {
  const text = body();
  return new Promise((resolve, reject) => {
    const req = http.request(url, { method: "POST", agent,
      headers: { ...headers, "Content-Length": Buffer.byteLength(text) } }, (res) => {
      const parts = [];
      res.on("data", (part) => parts.push(part));
      res.on("error", reject);
      res.on("end", () => {
        const data = JSON.parse(Buffer.concat(parts).toString());
        resolve(res.statusCode === 200 && data.sent === true && data.id ? 1 : 0);
      });
    });
    req.on("error", reject);
    req.end(text);
  });
}

const send = { fetch: byFetch, agent: byAgent }[way];

async function run(n) {
  let begun = 0, accepted = 0;
  const worker = async () => {
    while (begun < n) {
      begun++;
      const one = await send(); // not +=: that would read `accepted` before it waits
      accepted += one;
    }
  };
  await Promise.all(Array.from({ length: Math.min(window, n) }, worker));
  return accepted;
}

(async () => {
  await run(warm);
  const began = process.hrtime.bigint(), burnt = process.cpuUsage();
  const accepted = await run(count);
  const seconds = Number(process.hrtime.bigint() - began) / 1e9, cpu = process.cpuUsage(burnt);
  console.log(`accepted=${accepted} seconds=${seconds.toFixed(6)} cpu=${((cpu.user + cpu.system) / 1e6).toFixed(6)}`);
  process.exit(accepted === count ? 0 : 1);
})();
