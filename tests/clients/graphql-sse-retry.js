// graphql-sse: a subscription that survives a restart of the server. Reports each change.

import { createClient } from "graphql-sse";
import { WATCH, change, parameters, report, url } from "./operations.js";

const client = createClient({ url, singleConnection: false });
const [id] = parameters;
for await (const { data } of client.iterate({ query: WATCH, variables: { id } })) {
  report(change(data));
}
report("complete");
