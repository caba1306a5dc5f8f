// graphql-sse: cancels one subscription and continues the other.

import { createClient } from "graphql-sse";
import { WATCH, change, parameters, report, url } from "./operations.js";

const client = createClient({ url, singleConnection: false });
const [id] = parameters;
const canceled = client.iterate({ query: WATCH, variables: { id } });
const continued = client.iterate({ query: WATCH, variables: { id } });

const firsts = [await canceled.next(), await continued.next()];
report(firsts.map(({ value }) => change(value.data)));
report((await canceled.return()).done);
for await (const { data } of continued) report(change(data));
report("complete");
