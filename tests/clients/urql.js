// urql: HTTP, and subscriptions over WebSocket or as server-sent events over HTTP.

import "./browser.js";
import { Client, fetchExchange, subscriptionExchange } from "@urql/core";
import { createClient } from "graphql-ws";
import { toAsyncIterable } from "wonka";
import { change, codes, parameters, url, use, webSocketUrl } from "./operations.js";

const socket = createClient({ url: webSocketUrl });

function forwardSubscription(request) {
  const input = { ...request, query: request.query || "" };
  return { subscribe: (sink) => ({ unsubscribe: socket.subscribe(input, sink) }) };
}

const [transport] = parameters;
const client = new Client({
  url,
  ...(transport === "events"
    ? { exchanges: [fetchExchange], fetchSubscriptions: true }
    : { exchanges: [fetchExchange, subscriptionExchange({ forwardSubscription })] }),
});

function refusal({ graphQLErrors, networkError }) {
  return networkError ? [`${networkError}`] : codes(graphQLErrors);
}

async function execute(operation, variables) {
  const isMutation = operation.includes("mutation");
  const running = isMutation
    ? client.mutation(operation, variables)
    : client.query(operation, variables);
  const { data, error } = await running;
  return error ? refusal(error) : data;
}

async function watch(subscription, variables) {
  const changes = [];
  const results = toAsyncIterable(client.subscription(subscription, variables));
  for await (const { data, error, hasNext } of results) {
    // urql yields nothing after an error, and repeats the last result when a subscription ends.
    if (error) return [...changes, ...refusal(error)];
    changes.push(hasNext ? change(data) : "complete");
  }
  return changes;
}

await use({ execute, watch });
