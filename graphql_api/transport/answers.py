"""How an operation that comes over HTTP is answered: at once, or as a stream.

It is Strawberry's view with what it gets wrong put right; each method says what that is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cross_web import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLHTTPResponse, process_result
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.subscriptions import GRAPHQL_SSE_PROTOCOL, MULTIPART_SUBSCRIPTION_PROTOCOL
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from graphql_api.api_errors import ApiError, Code
from graphql_api.context import Context
from graphql_api.execution.documents import is_mutation
from graphql_api.transport.negotiation import JSON, RESPONSE, Wanted
from graphql_api.transport.request_body import parse_request, read_parameters
from graphql_api.transport.streams import Multipart, ServerSentEvents, until

_ALLOWED = {
    "GET": {OperationType.QUERY},
    "POST": {OperationType.QUERY, OperationType.MUTATION},
}
_NOT_STORED = {"Cache-Control": "no-store"}
_STREAMS = "over WebSocket (graphql-transport-ws), or with `Accept: text/event-stream`"


class Answers(GraphQL[Any, None]):
    """Answers by what the operation is and by what its client reads.

    `request.state` has what is known of a request before: `wanted`, and `expires_at` of its token.
    """

    stream_transport_classes_by_protocol = {  # noqa: RUF012  # Strawberry's declaration
        GRAPHQL_SSE_PROTOCOL: ServerSentEvents,
        MULTIPART_SUBSCRIPTION_PROTOCOL: Multipart,
    }

    async def answer(self, request: Request, context: Context) -> Response:
        """Answer a request: at once or with a stream, by what the operation is.

        Strawberry's view goes by headers alone, and through hooks for what there is none of here.

        Raises:
            HTTPException: it is refused.
        """
        if request.method not in _ALLOWED:
            raise HTTPException(405, "GraphQL only supports GET and POST requests.")
        data = parse_request(await read_parameters(request, context.engine.settings))
        asked = {
            "query": data.query,
            "variable_values": data.variables,
            "context_value": context,
            "operation_name": data.operation_name,
            "operation_extensions": data.extensions,
        }
        wanted: Wanted = request.state.wanted
        if wanted.single:
            try:
                result = await self._execute(asked, _ALLOWED[request.method])
            except InvalidOperationTypeError as error:
                if not wanted.stream and error.operation_type is OperationType.SUBSCRIPTION:
                    raise HTTPException(400, f"Subscribe {_STREAMS}") from error
            else:
                return self._single(result, wanted.single)
        return await self._stream(request, asked)

    def _single(self, result: ExecutionResult, media_type: str) -> Response:
        is_new_type = media_type == RESPONSE
        status = 400 if is_new_type and _is_refused(result) else 200
        content = self.encode_json(_formatted(result, media_type))
        return Response(content, status, _NOT_STORED, f"{media_type}; charset=utf-8")

    async def _stream(self, request: Request, asked: dict[str, Any]) -> Response:
        document = asked["query"], asked["operation_name"], asked["context_value"].policy
        if request.method == "GET" and is_mutation(self.schema, *document):
            raise HTTPException(405, "Send mutations by POST")
        wanted: Wanted = request.state.wanted
        if wanted.stream is None:
            raise HTTPException(406, f"There are {JSON} and {RESPONSE}; subscribe {_STREAMS}")
        transport = self._stream_transport_map[wanted.stream]
        streamed = transport.allowed_operation_types(
            _ALLOWED[request.method] | {OperationType.SUBSCRIPTION}
        )
        result: Any = await self.schema.stream(**asked, allowed_operation_types=streamed)
        return await self._create_streaming_response(request, result, wanted.stream, Response())

    async def _execute(self, asked: dict[str, Any], allowed: set[OperationType]) -> ExecutionResult:
        try:
            return await self.schema.execute(**asked, allowed_operation_types=allowed)
        except CannotGetOperationTypeError as error:
            refused = ApiError(error.as_http_error_reason(), Code.BAD_USER_INPUT)
            return ExecutionResult(data=None, errors=[refused])

    async def process_result(self, request: Any, result: ExecutionResult) -> GraphQLHTTPResponse:
        """Form one of the answers of a stream."""
        return _formatted(result, request.state.wanted.single)

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


def _formatted(result: ExecutionResult, media_type: str | None) -> GraphQLHTTPResponse:
    """Leave `data` out where nothing was executed; what reads plain JSON has known it null."""
    answer = process_result(result)
    if media_type != JSON and _is_refused(result):
        del answer["data"]
    return answer


def _is_refused(result: ExecutionResult) -> bool:
    """Tell whether nothing was executed: an error of execution has a path."""
    return result.data is None and not any(error.path for error in result.errors or ())
