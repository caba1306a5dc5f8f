// graphql-ws: when its socket opens and closes, and what goes over it besides operations.

import { EventEmitter, once } from "node:events";
import "./browser.js";
import { createClient } from "graphql-ws";
import { tell, webSocketUrl } from "./operations.js";

const CLUSTER = { query: "subscription { cluster { __typename } }" };

const steps = [];
const happening = new EventEmitter();
const client = createClient({
  url: webSocketUrl,
  connectionParams: async () => ({ client: "graphql-ws" }),
  keepAlive: 100,
  on: {
    connecting: () => steps.push("connecting"),
    connected: () => steps.push("connected"),
    pong: () => happening.emit("pong"),
    closed: (event) => happening.emit("closed", event),
  },
});

async function openUntilPong() {
  const cluster = client.iterate(CLUSTER);
  const ponged = once(happening, "pong");
  await cluster.next();
  await ponged;
  const closed = once(happening, "closed");
  await cluster.return();
  const [{ code, wasClean }] = await closed;
  return { code, wasClean };
}

async function useAnIdTwice() {
  const careless = createClient({ url: webSocketUrl, generateID: () => "same" });
  const twice = [careless.iterate(CLUSTER), careless.iterate(CLUSTER)];
  const ended = twice.map(async (cluster) => {
    for await (const _ of cluster);
  });
  return (await Promise.allSettled(ended)).map(({ reason }) => reason.code);
}

const stepsBeforeUse = [...steps];
tell({ stepsBeforeUse, closed: await openUntilPong(), steps, duplicates: await useAnIdTwice() });
