// What browsers have of their own, and Node only from some version on.

import { EventSource } from "eventsource";
import WebSocket from "ws";

globalThis.WebSocket ??= WebSocket;
globalThis.EventSource ??= EventSource;
