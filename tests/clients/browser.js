// Browser APIs that older versions of Node lack.

import { EventSource } from "eventsource";
import WebSocket from "ws";

globalThis.WebSocket ??= WebSocket;
globalThis.EventSource ??= EventSource;
