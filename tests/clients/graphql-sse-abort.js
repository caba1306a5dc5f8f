// graphql-sse: leaves one subscription in the middle, and stays in the other.

import { createClient } from "graphql-sse";
import { WATCH, change, tell, url, words } from "./operations.js";

const client = createClient({ url, singleConnection: false });
const [id] = words;
const left = client.iterate({ query: WATCH, variables: { id } });
const kept = client.iterate({ query: WATCH, variables: { id } });

const firsts = [await left.next(), await kept.next()];
tell(firsts.map(({ value }) => change(value.data)));
tell((await left.return()).done);
for await (const { data } of kept) tell(change(data));
tell("complete");
