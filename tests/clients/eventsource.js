// EventSource, the API of browsers: a subscription with GET.

import "./browser.js";
import { INVALID_WATCH, WATCH, change, codes, parameters, report, url } from "./operations.js";

function watch(query, variables) {
  const address = new URL(url);
  address.search = new URLSearchParams({ query, variables: JSON.stringify(variables) });
  const source = new EventSource(address);
  const changes = [];
  return new Promise((resolve) => {
    const end = (how) => {
      source.close();
      resolve([...changes, how]);
    };
    source.addEventListener("next", ({ data }) => {
      const answer = JSON.parse(data);
      changes.push(...(answer.errors ? codes(answer.errors) : [change(answer.data)]));
    });
    source.addEventListener("complete", () => end("complete"));
    source.addEventListener("error", ({ code, message }) => end(`${code} ${message}`));
  });
}

const [id] = parameters;
report({
  changes: await watch(WATCH, { id }),
  notFound: await watch(WATCH, { id: "never" }),
  invalidWatch: await watch(INVALID_WATCH, {}),
});
