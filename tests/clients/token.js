// graphql-ws and graphql-sse: a token where each sends it, and none.

import "./browser.js";
import { createClient as createEventClient } from "graphql-sse";
import { createClient as createSocketClient } from "graphql-ws";
import { tell, url, webSocketUrl, words } from "./operations.js";

const [token] = words;
const authorization = `Bearer ${token}`;

async function subject(client) {
  const answers = client.iterate({ query: "{ viewer { subject } }" });
  try {
    const { value } = await answers.next();
    return value.data.viewer.subject;
  } catch (refusal) {
    return refusal.code ?? refusal.response.status;
  } finally {
    await answers.return();
  }
}

const once = { retryAttempts: 0 };
tell({
  socket: await subject(
    createSocketClient({ url: webSocketUrl, connectionParams: async () => ({ authorization }) }),
  ),
  socketWithout: await subject(createSocketClient({ url: webSocketUrl, ...once })),
  events: await subject(createEventClient({ url, headers: () => ({ authorization }) })),
  eventsWithout: await subject(createEventClient({ url, ...once })),
});
