// Apollo Client: HTTP, and subscriptions over WebSocket or as multipart over HTTP. With `persisted`,
// it sends the hash of a document first. The API does not know it, so Apollo sends the document.

import { createHash } from "node:crypto";
import "./browser.js";
import {
  ApolloClient,
  ApolloLink,
  CombinedGraphQLErrors,
  HttpLink,
  InMemoryCache,
  gql,
} from "@apollo/client";
import { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { OperationTypeNode } from "graphql";
import { createClient } from "graphql-ws";
import { change, codes, parameters, url, use, webSocketUrl } from "./operations.js";

const httpLink = new HttpLink({ uri: url });
const webSocketLink = new GraphQLWsLink(createClient({ url: webSocketUrl }));
const splitLink = ApolloLink.split(
  ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
  webSocketLink,
  httpLink,
);
const persistedLink = new PersistedQueryLink({
  sha256: (text) => createHash("sha256").update(text).digest("hex"),
});
const links = {
  websocket: splitLink,
  multipart: httpLink,
  persisted: persistedLink.concat(httpLink),
};
const [transport] = parameters;
const client = new ApolloClient({ link: links[transport], cache: new InMemoryCache() });

function refusal(error) {
  return CombinedGraphQLErrors.is(error) ? codes(error.errors) : [`${error}`];
}

async function execute(operation, variables) {
  const document = gql(operation);
  const isMutation = operation.includes("mutation");
  const running = isMutation
    ? client.mutate({ mutation: document, variables })
    : client.query({ query: document, variables });
  return await running.then(({ data }) => data, refusal);
}

function watch(subscription, variables) {
  return new Promise((resolve) => {
    const changes = [];
    client.subscribe({ query: gql(subscription), variables }).subscribe({
      next: ({ data, error }) => changes.push(...(error ? refusal(error) : [change(data)])),
      error: (error) => resolve([...changes, "failed", `${error}`]),
      complete: () => resolve([...changes, "complete"]),
    });
  });
}

await use({ execute, watch });
