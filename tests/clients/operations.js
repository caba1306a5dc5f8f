// The operations that each client runs, and the reports of its script to the test.

export const [url, ...parameters] = process.argv.slice(2);
export const webSocketUrl = url.replace("http", "ws");

// Starts in two seconds, so that a client that watches it at once sees every state.
export const ADD = `
  mutation Add($x: Float!) {
    enqueueAdd(input: {x: $x, y: 2}, options: {start: {inSeconds: 2}}) {
      __typename
      ... on EnqueueAddSuccess { task { __typename id state } }
    }
  }
`;
export const WATCH = `
  subscription Watch($id: ID!) {
    task(id: $id) { kind task { __typename id state } }
  }
`;
export const SUM = `
  query Sum($id: ID!) {
    task(id: $id) { __typename id state ... on AddTask { result } }
  }
`;
export const INVALID = "query Invalid { nope }";
export const INVALID_WATCH = "subscription InvalidWatch { nope }";
const UNKNOWN = { id: "never" };

// `execute` returns data or the error codes; `watch` returns the changes and error codes in order.
export async function use({ execute, watch }) {
  const { enqueueAdd: add } = await execute(ADD, { x: 1 });
  const { id } = add.task;
  report({
    add,
    changes: await watch(WATCH, { id }),
    sum: (await execute(SUM, { id })).task,
    unknown: (await execute(SUM, UNKNOWN)).task,
    invalid: await execute(INVALID, {}),
    notFound: await watch(WATCH, UNKNOWN),
    invalidWatch: await watch(INVALID_WATCH, {}),
  });
}

export function change({ task: { kind, task } }) {
  return `${kind} ${task.state}`;
}

export function codes(errors) {
  return errors.map((error) => error.extensions.code);
}

export function report(value) {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}
