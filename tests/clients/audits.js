// The audits of graphql-http: the MUST, SHOULD and MAY of GraphQL over HTTP.

import { auditServer } from "graphql-http";
import { report, url } from "./operations.js";

const results = await auditServer({ url });
report(results.map(({ id, name, status, reason }) => ({ id, name, status, reason })));
