// graphql-sse: a subscription that outlives its server. Tells each change as it comes.

import { createClient } from "graphql-sse";
import { WATCH, change, tell, url, words } from "./operations.js";

const client = createClient({ url, singleConnection: false });
const [id] = words;
for await (const { data } of client.iterate({ query: WATCH, variables: { id } })) {
  tell(change(data));
}
tell("complete");
