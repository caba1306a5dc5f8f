// EventSource: a subscription that outlives its server. Tells each change as it comes.

import "./browser.js";
import { WATCH, change, tell, url, words } from "./operations.js";

const [id] = words;
const address = new URL(url);
address.search = new URLSearchParams({ query: WATCH, variables: JSON.stringify({ id }) });
const source = new EventSource(address);
source.addEventListener("next", ({ data }) => tell(change(JSON.parse(data).data)));
source.addEventListener("complete", () => {
  source.close();
  tell("complete");
});
