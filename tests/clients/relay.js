// Relay with a network layer of fetch and graphql-ws.

import "./browser.js";
import { createClient } from "graphql-ws";
import relay from "relay-runtime";
import { change, codes, url, use, webSocketUrl } from "./operations.js";
import { REQUESTS } from "./relay-artifacts.js";

const { Environment, Network, Observable, RecordSource, Store } = relay;
const { commitMutation, fetchQuery, requestSubscription } = relay;

const socket = createClient({ url: webSocketUrl });

async function fetchGraphQL({ text }, variables) {
  const response = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ query: text, variables }),
  });
  return await response.json();
}

function subscribe({ name, text }, variables) {
  const operation = { operationName: name, query: text, variables };
  return Observable.create((sink) => socket.subscribe(operation, sink));
}

const environment = new Environment({
  network: Network.create(fetchGraphQL, subscribe),
  store: new Store(new RecordSource()),
});

async function execute(operation, variables) {
  const request = REQUESTS.get(operation);
  if (request.params.operationKind === "query") {
    const running = fetchQuery(environment, request, variables).toPromise();
    return await running.catch(({ source }) => codes(source.errors));
  }
  return await new Promise((onCompleted, onError) => {
    commitMutation(environment, { mutation: request, variables, onCompleted, onError });
  });
}

function watch(operation, variables) {
  return new Promise((resolve) => {
    const changes = [];
    requestSubscription(environment, {
      subscription: REQUESTS.get(operation),
      variables,
      onNext: (data) => changes.push(change(data)),
      onError: (errors) => resolve([...changes, ...codes(errors)]),
      onCompleted: () => resolve([...changes, "complete"]),
    });
  });
}

await use({ execute, watch });
