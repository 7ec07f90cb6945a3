// Appends one event per command to emmett's Postgres store for a while, and prints what that took as one line of JSON.
//
// node emmett.mjs FOLDER URL CALLERS SECONDS PAYLOAD: FOLDER is where npm installed it. The first tenth is not counted.

import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";
import { performance } from "node:perf_hooks";

const [folder, url, callersText, secondsText, payload] = process.argv.slice(2);
const [callers, seconds] = [Number(callersText), Number(secondsText)];
const require = createRequire(`${folder}/`);
const { getPostgreSQLEventStore } = require("@event-driven-io/emmett-postgresql");
const { STREAM_DOES_NOT_EXIST } = require("@event-driven-io/emmett");
const pg = require("pg");

// A connection per caller: its default of ten would make the others wait.
const pool = new pg.Pool({ connectionString: url, max: callers });
const store = getPostgreSQLEventStore(url, { connectionOptions: { pool } });
await store.schema.migrate();

const data = JSON.parse(payload);
const append = () =>
  store.appendToStream(`notification-${randomUUID()}`, [{ type: "notification.drafted", data }], {
    expectedStreamVersion: STREAM_DOES_NOT_EXIST,
  });
// Connections are made before time is taken.
await Promise.all(Array.from({ length: callers }, append));

const started = performance.now();
const [from, to] = [started + seconds * 100, started + seconds * 1000];
const latencies = [];

async function call() {
  let began = performance.now();
  while (began < to) {
    await append();
    const ended = performance.now();
    if (began >= from && ended <= to) latencies.push(ended - began);
    began = ended;
  }
}

await Promise.all(Array.from({ length: callers }, call));
if (latencies.length === 0) throw new Error("nothing was appended in time");
latencies.sort((a, b) => a - b);
const quantile = (share) => latencies[Math.floor(latencies.length * share)];
console.log(
  JSON.stringify({
    commands: latencies.length,
    seconds: seconds * 0.9,
    p50_ms: quantile(0.5),
    p99_ms: quantile(0.99),
  }),
);
// Its pool keeps the process alive otherwise.
process.exit(0);
