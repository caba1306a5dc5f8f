// graphql-ws: everything over one WebSocket.

import "./browser.js";
import { createClient } from "graphql-ws";
import { change, codes, use, webSocketUrl } from "./operations.js";

const client = createClient({ url: webSocketUrl });

async function execute(query, variables) {
  const answers = client.iterate({ query, variables });
  try {
    const { value } = await answers.next();
    return value.data;
  } catch (errors) {
    return codes(errors);
  } finally {
    await answers.return();
  }
}

async function watch(query, variables) {
  const changes = [];
  try {
    for await (const { data } of client.iterate({ query, variables })) changes.push(change(data));
    return [...changes, "complete"];
  } catch (errors) {
    return [...changes, ...codes(errors)];
  }
}

await use({ execute, watch });
