// The page at /graphql: GraphiQL with the examples of this folder in its tabs.
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

// Relative to the page, so that a proxy may put it under another path.
const api = new URL(location.pathname, location.href);
const assets = document.currentScript.src;
const workers = {graphql: "graphql.worker.js", json: "json.worker.js"};

// The editor's own way to its workers is a blob: URL, which the page's policy does not allow.
globalThis.MonacoEnvironment = {
  getWorker: (_, label) => new Worker(new URL(workers[label] ?? "editor.worker.js", assets)),
};

// The headers typed in a tab go with its HTTP requests and, as the payload of `connection_init`,
// with its WebSocket: `{"Authorization": "Bearer ..."}` serves both.
const fetcher = createGraphiQLFetcher({
  url: api.href,
  subscriptionUrl: api.href.replace(/^http/, "ws"),
  enableIncrementalDelivery: false,
});

// Where the browser keeps tabs of an earlier visit, GraphiQL shows those.
const defaultTabs = [
  {query: spam},
  {query: email},
  {query: chain},
  {query: watch, variables: '{\n  "id": ""\n}'},
];

createRoot(document.getElementById("graphiql")).render(
  createElement(GraphiQL, {fetcher, defaultTabs, defaultEditorToolsVisibility: "variables"}),
);
