"""How an operation that comes over HTTP is answered: at once, or as a stream.

It is Strawberry's view with what it gets wrong put right; each method says what that is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cross_web import AsyncHTTPRequestAdapter, HTTPException
from starlette.responses import Response, StreamingResponse
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLHTTPResponse, GraphQLRequestData, process_result
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.subscriptions import GRAPHQL_SSE_PROTOCOL, MULTIPART_SUBSCRIPTION_PROTOCOL
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from graphql_api.codes import ApiError, Code
from graphql_api.documents import is_mutation
from graphql_api.negotiation import JSON, RESPONSE, Wanted
from graphql_api.parsing import parse_request, read_parameters
from graphql_api.streams import Multipart, ServerSentEvents, until

_STREAMS = "over WebSocket (graphql-transport-ws), or with `Accept: text/event-stream`"


class Answers(GraphQL[Any, None]):
    """Answers by what the operation is and by what its client reads.

    `request.state` has what is known of a request before: `wanted`, and `expires_at` of its token.
    """

    stream_transport_classes_by_protocol = {  # noqa: RUF012  # Strawberry's declaration
        GRAPHQL_SSE_PROTOCOL: ServerSentEvents,
        MULTIPART_SUBSCRIPTION_PROTOCOL: Multipart,
    }

    def should_render_graphql_ide(self, request: Any) -> bool:  # noqa: ARG002  # its signature
        """Never: the page is there for whoever has no token yet, too."""
        return False

    async def get_sub_response(self, request: Any) -> Response:
        """Begin the answer: with the media type that was asked for."""
        wanted: Wanted = request.state.wanted
        return Response(media_type=f"{wanted.single}; charset=utf-8")

    async def parse_http_body(self, request: AsyncHTTPRequestAdapter) -> GraphQLRequestData:
        """Read a request strictly: its media type is `application/json`, its members have types."""
        return parse_request(await read_parameters(request))

    async def execute_operation(
        self,
        request: Any,
        request_adapter: AsyncHTTPRequestAdapter,
        request_data: Any,
        context: Any,
        root_value: None,  # noqa: ARG002  # its signature
        sub_response: Response,
    ) -> Any:
        """Choose between one answer and a stream by what the operation is, not by headers alone."""
        wanted: Wanted = request.state.wanted
        allowed = {OperationType.QUERY}
        if request_adapter.method == "POST":
            allowed.add(OperationType.MUTATION)
        asked = {
            "query": request_data.query,
            "variable_values": request_data.variables,
            "context_value": context,
            "operation_name": request_data.operation_name,
            "operation_extensions": request_data.extensions,
        }
        if wanted.single:
            try:
                result = await self._execute(asked, allowed)
            except InvalidOperationTypeError as error:
                if not wanted.stream and error.operation_type is OperationType.SUBSCRIPTION:
                    raise HTTPException(400, f"Subscribe {_STREAMS}") from error
            else:
                is_new_type = wanted.single == RESPONSE
                sub_response.status_code = 400 if is_new_type and _is_refused(result) else 200
                return result
        document = request_data.query, request_data.operation_name, context.policy
        if request_adapter.method == "GET" and is_mutation(self.schema, *document):
            raise HTTPException(405, "Send mutations by POST")
        transport = self._get_stream_transport(wanted.stream or "")
        if transport is None:
            raise HTTPException(406, f"There are {JSON} and {RESPONSE}; subscribe {_STREAMS}")
        request_data.protocol = wanted.stream
        streamed = transport.allowed_operation_types(allowed | {OperationType.SUBSCRIPTION})
        return await self.schema.stream(**asked, allowed_operation_types=streamed)

    async def _execute(self, asked: dict[str, Any], allowed: set[OperationType]) -> ExecutionResult:
        try:
            return await self.schema.execute(**asked, allowed_operation_types=allowed)
        except CannotGetOperationTypeError as error:
            refused = ApiError(error.as_http_error_reason(), Code.BAD_USER_INPUT)
            return ExecutionResult(data=None, errors=[refused])

    async def process_result(self, request: Any, result: ExecutionResult) -> GraphQLHTTPResponse:
        """Leave `data` out where nothing was executed; what reads plain JSON has known it null."""
        answer = process_result(result)
        if _is_refused(result) and request.state.wanted.single != JSON:
            del answer["data"]
        return answer

    def create_response(self, response_data: Any, sub_response: Response) -> Response:
        """Answer with the media type that was chosen, and its status."""
        sub_response.body = sub_response.render(self.encode_json(response_data))
        sub_response.init_headers({"Cache-Control": "no-store"})
        return sub_response

    async def create_streaming_response(
        self,
        request: Any,
        stream: Callable[[], Any],  # asynchronous generators of text
        sub_response: Response,  # noqa: ARG002  # its signature
        headers: Mapping[str, str],
    ) -> Response:
        """Stream with the headers of the stream alone, until its token expires."""
        transport = self._stream_transport_map[request.state.wanted.stream]
        texts = until(request.state.expires_at, stream(), transport)
        return StreamingResponse(texts, headers=headers)


def _is_refused(result: ExecutionResult) -> bool:
    """Tell whether nothing was executed: an error of execution has a path."""
    return result.data is None and not any(error.path for error in result.errors or ())
