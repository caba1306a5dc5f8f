// The page at /graphql: GraphiQL with the examples of this folder in tabs.
import {createGraphiQLFetcher} from "@graphiql/toolkit";
import {GraphiQL} from "graphiql";
import {createElement} from "react";
import {createRoot} from "react-dom/client";

import "graphiql/style.css";
import "./main.css";
import chain from "./examples/chain.graphql";
import email from "./examples/email.graphql";
import spam from "./examples/spam.graphql";
import watch from "./examples/watch.graphql";

// Relative to the page, so that a proxy can serve it under another path.
const api = new URL(location.pathname, location.href);
const assets = document.currentScript.src;
const workers = {graphql: "graphql.worker.js", json: "json.worker.js"};

// By default the editor loads its workers from blob: URLs, which the page's policy forbids.
globalThis.MonacoEnvironment = {
  getWorker: (_, label) => new Worker(new URL(workers[label] ?? "editor.worker.js", assets)),
};

// The headers of a tab are sent with its HTTP requests, and as the payload of `connection_init` with
// its WebSocket: `{"Authorization": "Bearer ..."}` authenticates both.
const fetcher = createGraphiQLFetcher({
  url: api.href,
  subscriptionUrl: api.href.replace(/^http/, "ws"),
  enableIncrementalDelivery: false,
});

// If the browser has stored the tabs of an earlier visit, GraphiQL shows those instead.
const defaultTabs = [
  {query: spam},
  {query: email},
  {query: chain},
  {query: watch, variables: '{\n  "id": ""\n}'},
];

createRoot(document.getElementById("graphiql")).render(
  createElement(GraphiQL, {fetcher, defaultTabs, defaultEditorToolsVisibility: "variables"}),
);
