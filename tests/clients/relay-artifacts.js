// The artifacts that relay-compiler would generate, written by hand and keyed by document.

import { ADD, INVALID, INVALID_WATCH, SUM, WATCH } from "./operations.js";

const scalar = (name) => ({ alias: null, args: null, kind: "ScalarField", name, storageKey: null });
const literal = (name, value) => ({ kind: "Literal", name, value });
const variable = (name) => ({ kind: "Variable", name, variableName: name });
const object = (name, fields) => ({ fields, kind: "ObjectValue", name });
const on = (type, selections) => ({ abstractKey: null, kind: "InlineFragment", selections, type });

const linked = (name, concreteType, args, selections) => ({
  alias: null,
  args,
  concreteType,
  kind: "LinkedField",
  name,
  plural: false,
  selections,
  storageKey: null,
});

function request(text, variables, selections) {
  const [, operationKind, name] = /(\w+) (\w+)/.exec(text);
  const argument = { defaultValue: null, kind: "LocalArgument" };
  const argumentDefinitions = variables.map((each) => ({ ...argument, name: each }));
  const root = { argumentDefinitions, name, selections };
  const type = operationKind[0].toUpperCase() + operationKind.slice(1);
  return [text, {
    fragment: { ...root, abstractKey: null, kind: "Fragment", metadata: null, type },
    kind: "Request",
    operation: { ...root, kind: "Operation" },
    params: { cacheID: name, id: null, metadata: {}, name, operationKind, text },
  }];
}

const task = [scalar("__typename"), scalar("id"), scalar("state")];
const sum = [
  object("input", [variable("x"), literal("y", 2)]),
  literal("options", { start: { inSeconds: 2 } }),
];
const success = on("EnqueueAddSuccess", [linked("task", "AddTask", null, task)]);
const added = linked("enqueueAdd", null, sum, [scalar("__typename"), success]);
const event = [scalar("kind"), linked("task", null, null, task)];
const result = on("AddTask", [scalar("result")]);

export const REQUESTS = new Map([
  request(ADD, ["x"], [added]),
  request(WATCH, ["id"], [linked("task", "TaskEvent", [variable("id")], event)]),
  request(SUM, ["id"], [linked("task", null, [variable("id")], [...task, result])]),
  request(INVALID, [], [scalar("nope")]),
  request(INVALID_WATCH, [], [scalar("nope")]),
]);
