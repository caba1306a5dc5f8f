// graphql-ws: a subscription that survives a restart of the server. Reports each change.

import "./browser.js";
import { createClient } from "graphql-ws";
import { WATCH, change, parameters, report, webSocketUrl } from "./operations.js";

const client = createClient({
  url: webSocketUrl,
  shouldRetry: () => true, // also while no server listens, which is an error and not a close
});
const [id] = parameters;
for await (const { data } of client.iterate({ query: WATCH, variables: { id } })) {
  report(change(data));
}
report("complete");
