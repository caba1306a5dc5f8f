// EventSource: a subscription that survives a restart of the server. Reports each change.

import "./browser.js";
import { WATCH, change, parameters, report, url } from "./operations.js";

const [id] = parameters;
const address = new URL(url);
address.search = new URLSearchParams({ query: WATCH, variables: JSON.stringify({ id }) });
const source = new EventSource(address);
source.addEventListener("next", ({ data }) => report(change(JSON.parse(data).data)));
source.addEventListener("complete", () => {
  source.close();
  report("complete");
});
