"""JSON-RPC as the specification has it, where pygls is looser.

What cannot be understood is answered with the error code for it, whatever it is, and never ends the connection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import attrs
from lsprotocol import types
from pygls.exceptions import (
    FeatureNotificationError,
    JsonRpcException,
    JsonRpcInvalidParams,
    JsonRpcInvalidRequest,
    JsonRpcMethodNotFound,
    JsonRpcParseError,
    JsonRpcServerNotInitialized,
)
from pygls.protocol import LanguageServerProtocol

DID_SHOW = "textDocument/didShowCompletion"
DID_PARTIALLY_ACCEPT = "textDocument/didPartiallyAcceptCompletion"
DID_FOCUS = "textDocument/didFocus"
OWN_METHODS = (DID_SHOW, DID_PARTIALLY_ACCEPT, DID_FOCUS)
DID_CHANGE_STATUS = "didChangeStatus"


@attrs.define
class PlainNotification:
    """A notification that lsprotocol does not know. Its parameters stay as they came."""

    method: str
    params: Any = None
    jsonrpc: str = "2.0"


class PacelineProtocol(LanguageServerProtocol):
    """One connection's messages."""

    exit_code: int | None = None
    """Set when the client said `exit`: 0 if it said `shutdown` before."""
    is_initialized = False
    is_shut_down = False
    """Did the client say `shutdown`? The answer to that may still be on its way."""

    def receive(self, message: object) -> None:
        """Handle a message: what JSON decoding returned. Never raises."""
        if not isinstance(message, dict):
            self._refuse(None, JsonRpcInvalidRequest("A message is a JSON object."))
            return
        fields = cast("dict[str, Any]", message)
        try:
            refusal = self._reason_against(fields)
            if refusal is None:
                structured = self._structured(fields)
                self.is_shut_down |= fields.get("method") == types.SHUTDOWN
                self.handle_message(structured)
                return
        except JsonRpcException:
            refusal = self._misfit(fields)
        except Exception as error:  # a reply to nothing that was asked
            self._server.report_server_error(error, FeatureNotificationError)
            return
        is_reply = "result" in fields or "error" in fields
        is_answered = "id" in fields if "method" in fields else not is_reply
        if is_answered:
            message_id = fields.get("id")
            self._refuse(message_id if isinstance(message_id, int | str) else None, refusal)

    def refuse_json(self) -> None:
        """Answer what is not JSON."""
        self._refuse(None, JsonRpcParseError("The message is not JSON in UTF-8."))

    def replace_handler(self, method: str, handler: Callable[[Any], None]) -> None:
        """Let `handler` take the place of pygls' own."""
        self.fm.add_builtin_feature(method, handler)  # pyright: ignore[reportUnknownMemberType]

    def leave(self, *args: object) -> None:
        """The client says `exit`: whoever reads from it sees `exit_code`."""
        self.exit_code = 0 if self.is_shut_down else 1

    def _structured(self, fields: dict[str, Any]) -> Any:
        method = fields.get("method")
        if method in OWN_METHODS and "id" not in fields:
            return PlainNotification(method, fields.get("params"))
        return self.structure_message(fields)

    def _reason_against(self, message: dict[str, Any]) -> JsonRpcException | None:
        method = message.get("method")
        if message.get("jsonrpc") != "2.0":
            return JsonRpcInvalidRequest('A message has "jsonrpc": "2.0".')
        if method is None:
            return None  # a reply
        if not isinstance(method, str):
            return JsonRpcInvalidRequest("A method is a string.")
        if "id" in message and not isinstance(message["id"], int | str):
            return JsonRpcInvalidRequest("An id is a number or a string.")
        if method == types.EXIT:
            return None
        if self.is_shut_down:
            return JsonRpcInvalidRequest("The server was told to shut down.")
        if self.is_initialized == (method == types.INITIALIZE):
            if method == types.INITIALIZE:
                return JsonRpcInvalidRequest("The server is initialized already.")
            return JsonRpcServerNotInitialized("Send initialize first.")
        return None

    def _misfit(self, message: dict[str, Any]) -> JsonRpcException:
        """What is wrong with a message that does not fit its type."""
        method = str(message.get("method", ""))
        if method:
            try:
                self._get_handler(method)
            except JsonRpcMethodNotFound:
                return JsonRpcMethodNotFound("There is no such method.")
        return JsonRpcInvalidParams(f"The parameters of {method} are not what LSP says.")

    def _refuse(self, message_id: int | str | None, error: JsonRpcException) -> None:
        self._send_data(types.ResponseErrorMessage(id=message_id, error=error.to_response_error()))
