// graphql-ws and graphql-sse with a token, and without one.

import "./browser.js";
import { createClient as createEventClient } from "graphql-sse";
import { createClient as createSocketClient } from "graphql-ws";
import { parameters, report, url, webSocketUrl } from "./operations.js";

const [token] = parameters;
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
report({
  socket: await subject(
    createSocketClient({ url: webSocketUrl, connectionParams: async () => ({ authorization }) }),
  ),
  socketWithout: await subject(createSocketClient({ url: webSocketUrl, ...once })),
  events: await subject(createEventClient({ url, headers: () => ({ authorization }) })),
  eventsWithout: await subject(createEventClient({ url, ...once })),
});
