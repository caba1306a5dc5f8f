"""Bounds on what clients may ask of the API: a part of the settings, in one place."""

from __future__ import annotations

from pydantic import BaseModel, Field

from celeryql.setting_values import Seconds


class Bounds(BaseModel):
    """What one client may ask for, so that it takes no process from the others.

    Of a document, what a fragment holds counts wherever the fragment is spread.
    """

    max_body_bytes: int = Field(
        default=1_000_000, ge=1_000, description="Size of one request, or of one WebSocket message."
    )
    max_tokens: int = Field(
        default=5_000, ge=100, description="Tokens, and lines, of one document."
    )
    max_operations: int = Field(default=20, ge=1, description="Operations in one document.")
    max_root_fields: int = Field(
        default=20, ge=1, description="Fields that one operation begins with."
    )
    max_depth: int = Field(default=20, ge=5, description="Fields within each other.")
    # Validation compares fields of one name with each other, a thousand of them for 0.3 s.
    max_fields: int = Field(default=1_000, ge=10, description="Fields of one operation.")
    max_aliases: int = Field(default=200, ge=0, description="Aliases of one operation.")
    max_directives: int = Field(default=200, ge=0, description="Directives of one operation.")
    # What is handed over is made into inputs, which takes 20 to 50 us a value.
    max_values: int = Field(
        default=25_000,
        ge=1_000,
        description="Values in the variables of one operation, each as often as its variable is "
        "named; 1,000 characters weigh as much as one.",
    )
    max_answer_items: int = Field(
        default=25_000,
        ge=1_000,
        description="List items and tasks in one answer, or in one event; five fields or 1,000 "
        "characters weigh as much as one.",
    )
    query_timeout_s: Seconds = Field(default=10.0, description="Seconds that a query may take.")

    max_sockets: int = Field(
        default=10_000, ge=1, description="WebSockets and streams open in one process."
    )
    max_sockets_per_address: int = Field(
        default=2_000, ge=1, description="The same, of one client address."
    )
    max_operations_per_socket: int = Field(
        default=50, ge=1, description="Operations at a time on one WebSocket."
    )
    connection_init_timeout_s: Seconds = Field(
        default=5.0, description="Seconds that a new WebSocket has to say who it is."
    )
    send_timeout_s: Seconds = Field(
        default=1.0,
        description="Seconds that a client may leave what is sent to it unread, once all buffers "
        "on the way to it are full.",
    )

    enqueue_rate: float = Field(
        default=1_000.0,
        ge=0.001,
        le=1_000_000,
        allow_inf_nan=False,
        description="Tasks that one owner may enqueue in a second, in the long run.",
    )
    enqueue_burst: int = Field(
        default=100_000,
        ge=1,
        description="Tasks that one owner may enqueue at once, after a pause.",
    )
    max_waiting: int = Field(
        default=1_000_000,
        ge=1,
        description="About how many tasks may wait in one queue at one priority, or for their "
        "start time.",
    )
