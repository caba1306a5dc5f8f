// graphql-ws: when the socket opens and closes, pings, and duplicate operation ids.

import { EventEmitter, once } from "node:events";
import "./browser.js";
import { createClient } from "graphql-ws";
import { report, webSocketUrl } from "./operations.js";

const CLUSTER = { query: "subscription { cluster { __typename } }" };

const steps = [];
const events = new EventEmitter();
const client = createClient({
  url: webSocketUrl,
  connectionParams: async () => ({ client: "graphql-ws" }),
  keepAlive: 100,
  on: {
    connecting: () => steps.push("connecting"),
    connected: () => steps.push("connected"),
    pong: () => events.emit("pong"),
    closed: (event) => events.emit("closed", event),
  },
});

async function openUntilPong() {
  const cluster = client.iterate(CLUSTER);
  const pong = once(events, "pong");
  await cluster.next();
  await pong;
  const closed = once(events, "closed");
  await cluster.return();
  const [{ code, wasClean }] = await closed;
  return { code, wasClean };
}

async function useAnIdTwice() {
  const sameIds = createClient({ url: webSocketUrl, generateID: () => "same" });
  const twice = [sameIds.iterate(CLUSTER), sameIds.iterate(CLUSTER)];
  const ended = twice.map(async (cluster) => {
    for await (const _ of cluster);
  });
  return (await Promise.allSettled(ended)).map(({ reason }) => reason.code);
}

const stepsBeforeUse = [...steps];
report({ stepsBeforeUse, closed: await openUntilPong(), steps, duplicates: await useAnIdTwice() });
