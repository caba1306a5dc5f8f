// graphql-ws: a subscription that outlives its server. Tells each change as it comes.

import "./browser.js";
import { createClient } from "graphql-ws";
import { WATCH, change, tell, webSocketUrl, words } from "./operations.js";

const client = createClient({
  url: webSocketUrl,
  shouldRetry: () => true, // also where nothing listens yet, which is an error and no close
});
const [id] = words;
for await (const { data } of client.iterate({ query: WATCH, variables: { id } })) {
  tell(change(data));
}
tell("complete");
