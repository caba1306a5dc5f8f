// graphql-sse: each operation is a request that is answered with a stream of events.

import { createClient } from "graphql-sse";
import { change, codes, url, use } from "./operations.js";

const client = createClient({ url, singleConnection: false });

async function execute(query, variables) {
  const answers = [];
  for await (const answer of client.iterate({ query, variables })) answers.push(answer);
  const [{ data, errors }] = answers;
  return errors ? codes(errors) : data;
}

async function watch(query, variables) {
  const changes = [];
  for await (const { data, errors } of client.iterate({ query, variables })) {
    changes.push(...(errors ? codes(errors) : [change(data)]));
  }
  return [...changes, "complete"];
}

await use({ execute, watch });
