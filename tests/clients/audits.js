// The audits of graphql-http: what GraphQL over HTTP asks of a server, MUST, SHOULD and MAY.

import { auditServer } from "graphql-http";
import { tell, url } from "./operations.js";

const results = await auditServer({ url });
tell(results.map(({ id, name, status, reason }) => ({ id, name, status, reason })));
