"""The language server of one connection: LSP's methods onto an Editor."""

from __future__ import annotations

import asyncio
import os
import traceback
from functools import partial
from typing import Any, TypeVar, cast

import msgspec
from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcInternalError, JsonRpcInvalidParams
from pygls.lsp.server import LanguageServer
from pygls.protocol import default_converter

from paceline import __version__
from paceline.complete.modes import Trigger
from paceline.complete.outcome import OutcomeKind
from paceline.complete.wire import Encoding
from paceline.lsp.asking import path_of
from paceline.lsp.completer import Completer
from paceline.lsp.documents import place_of
from paceline.lsp.editor import Answer, Editor
from paceline.lsp.items import (
    ACCEPT_COMMAND,
    COPILOT_ACCEPT_COMMAND,
    ItemId,
    inline_items,
    list_item,
)
from paceline.lsp.protocol import (
    DID_CHANGE_STATUS,
    DID_FOCUS,
    DID_PARTIALLY_ACCEPT,
    DID_SHOW,
    PacelineProtocol,
)
from paceline.lsp.settings import SECTION
from paceline.lsp.status import StatusNote
from paceline.lsp.sync import sync_handlers

TRIGGER_CHARACTERS = (".", "(", "[", "{", ",", "=", ":", " ")
"""After which clients without inline completion ask as well; within words they ask by themselves."""
NOTEBOOKS = types.NotebookDocumentSyncOptions(
    notebook_selector=[types.NotebookDocumentFilterWithNotebook(notebook="*")]
)


class PacelineServer(LanguageServer):
    """One connection. `editor` is there once the client is initialized."""

    editor: Editor

    def __init__(self, completer: Completer) -> None:
        super().__init__(  # pyright: ignore[reportUnknownMemberType]
            "paceline",
            __version__,
            types.TextDocumentSyncKind.Incremental,
            NOTEBOOKS,
            protocol_cls=PacelineProtocol,
            converter_factory=default_converter,
        )
        self._completer = completer
        self._is_pulling = self._is_neovim = False
        for method, replacement in (
            *sync_handlers(lambda: self.editor).items(),
            (types.WORKSPACE_EXECUTE_COMMAND, self._execute),
            (types.EXIT, self.rpc.leave),
        ):
            self.rpc.replace_handler(method, replacement)
        for method, handler in (
            (types.INITIALIZE, self._initialize),
            (types.INITIALIZED, self._initialized),
            (types.SHUTDOWN, self._shut_down),
            (types.WORKSPACE_DID_CHANGE_CONFIGURATION, self._change_configuration),
            (types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS, self._change_folders),
            (DID_FOCUS, self._focus),
            (DID_SHOW, self._show),
            (DID_PARTIALLY_ACCEPT, self._accept_part),
        ):
            self.feature(method)(partial(handler))  # pygls marks what it is given; no method can be
        self.command(ACCEPT_COMMAND)(lambda: None)  # announces it; _execute runs it

    @property
    def rpc(self) -> PacelineProtocol:
        """The messages of this connection."""
        return cast(PacelineProtocol, self.protocol)

    def status(self, note: StatusNote) -> None:
        """As Display.status."""
        self.rpc.notify(DID_CHANGE_STATUS, note._asdict())

    def show(self, message: str) -> None:
        """As Display.show."""
        self.window_show_message(
            types.ShowMessageParams(type=types.MessageType.Warning, message=f"Paceline: {message}")
        )

    def log(self, message: str) -> None:
        """As Display.log."""
        self.window_log_message(
            types.LogMessageParams(type=types.MessageType.Info, message=message)
        )

    def report_server_error(self, error: Exception, source: Any) -> None:
        """A failure that nobody expected: a line in the log, without its text, which may hold code."""
        if isinstance(error, JsonRpcException) and not isinstance(error, JsonRpcInternalError):
            return  # an answer says it
        if os.environ.get("PACELINE_DEBUG") == "1":
            traceback.print_exception(error)
        self.log("Internal error; with PACELINE_DEBUG=1 in the environment, stderr shows where.")

    def end(self) -> None:
        """The client left: nothing is worked on for it any more."""
        if self.rpc.is_initialized:
            self.editor.cancel()

    def _initialize(self, params: types.InitializeParams) -> None:
        encoding = self.workspace.position_encoding
        self.editor = Editor(
            self._completer,
            self,
            encoding=_encoding(str(getattr(encoding, "value", encoding))),
            client=_client_name(params.client_info),
        )
        self.rpc.is_initialized = True
        if _has_inline_completion(params.capabilities):
            options = types.InlineCompletionOptions()
            self.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, options)(
                partial(self._complete_inline)
            )
        else:
            listed = types.CompletionOptions(trigger_characters=TRIGGER_CHARACTERS)
            self.feature(types.TEXT_DOCUMENT_COMPLETION, listed)(partial(self._complete_in_list))
        self._is_neovim = params.client_info is not None and params.client_info.name == "Neovim"
        workspace = params.capabilities.workspace
        self._is_pulling = bool(workspace and workspace.configuration)
        self._change_folders(None)
        # a status may not come before the answer to `initialize`; `initialized` never comes from some clients
        asyncio.get_running_loop().call_soon(self.editor.configure, params.initialization_options)

    def _execute(self, params: types.ExecuteCommandParams) -> None:
        """The accept command, under our name or Copilot's.

        Raises:
            JsonRpcInvalidParams: it is another command.
        """
        if params.command not in (ACCEPT_COMMAND, COPILOT_ACCEPT_COMMAND):
            raise JsonRpcInvalidParams("There is no such command.")
        self._record(ItemId.of(params.arguments), "accepted")

    async def _initialized(self, params: types.InitializedParams) -> None:
        await self._pull_settings()

    async def _shut_down(self, params: None) -> None:
        await self.editor.flush()

    async def _change_configuration(self, params: types.DidChangeConfigurationParams) -> None:
        if params.settings:
            self.editor.configure(params.settings)
        else:
            await self._pull_settings()

    async def _pull_settings(self) -> None:
        """Ask the client for its settings, if it can be asked."""
        if not self._is_pulling:
            return
        item = types.ConfigurationItem(section=SECTION)
        found = await self.workspace_configuration_async(types.ConfigurationParams(items=[item]))
        if found:
            self.editor.configure(found[0])

    def _change_folders(self, params: types.DidChangeWorkspaceFoldersParams | None) -> None:
        folders = [path_of(folder.uri) for folder in self.workspace.folders.values()]
        root = path_of(self.workspace.root_uri or "")
        self.editor.set_folders([path for path in (folders or [root]) if path])

    async def _complete_inline(
        self, params: types.InlineCompletionParams
    ) -> types.InlineCompletionList | None:
        is_invoked = params.context.trigger_kind == types.InlineCompletionTriggerKind.Invoked
        trigger: Trigger = "invoked" if is_invoked else "automatic"
        answer = await self.editor.complete(
            params.text_document.uri,
            place_of(params.position),
            trigger,
            params.context.selected_completion_info,
        )
        self._trace(answer)
        if answer is None:
            return None
        if answer.completion is None:
            return types.InlineCompletionList(items=[])
        is_drawn_over = self._is_neovim and bool(answer.line_after.strip())
        return inline_items(answer.completion, is_drawn_over=is_drawn_over)

    async def _complete_in_list(
        self, params: types.CompletionParams
    ) -> types.CompletionList | None:
        answer = await self.editor.complete(params.text_document.uri, place_of(params.position))
        self._trace(answer)
        if answer is None:
            return None
        if answer.completion is None:
            return types.CompletionList(is_incomplete=True, items=[])
        return list_item(answer.completion, answer.line_before, self.editor.encoding)

    def _focus(self, params: object) -> None:
        focus = _read(params, _Focus)
        if focus is not None:
            self.editor.focus(focus.text_document.uri)

    def _show(self, params: object) -> None:
        shown = _read(params, _ItemNote)
        self._record(shown and shown.item_id, "shown")

    def _accept_part(self, params: object) -> None:
        part = _read(params, _PartNote)
        if part is None:
            self._record(None, "partially_accepted")
        else:
            self._record(part.item_id, "partially_accepted", num_utf16=part.accepted_length)

    def _record(self, item: ItemId | None, kind: OutcomeKind, *, num_utf16: int = 0) -> None:
        if not self.editor.record(item, kind, num_utf16=num_utf16):
            self.log(
                f"An item that was not shown lately was {kind.replace('_', ' ')}; not counted."
            )

    def _trace(self, answer: Answer | None) -> None:
        if self.rpc.trace == types.TraceValue.Off:
            return
        completion = answer.completion if answer else None
        if completion is None:
            message, verbose = "Nothing was asked." if answer else "A newer request came.", None
        else:
            num_chars = [len(item.text) for item in completion.items]
            message = (
                f"{completion.request_id}: {num_chars} characters from {completion.source} in "
                f"{completion.latency_ms:.0f} ms {completion.drop_reason or ''}".rstrip()
            )
            verbose = f"{completion.mode}: {', '.join(completion.reasons)}"
        is_verbose = self.rpc.trace == types.TraceValue.Verbose
        self.log_trace(
            types.LogTraceParams(message=message, verbose=verbose if is_verbose else None)
        )


def _encoding(name: str) -> Encoding:
    if name == "utf-8":
        return "utf-8"
    return "utf-32" if name == "utf-32" else "utf-16"


def _has_inline_completion(capabilities: types.ClientCapabilities) -> bool:
    document = capabilities.text_document
    return document is not None and document.inline_completion is not None


def _client_name(info: types.ClientInfo | None) -> str:
    """Name and version as an event may hold them."""
    name = f"{info.name} {info.version or ''}".strip() if info else ""
    return "".join(c for c in name if " " <= c <= "~")[:128]


class _Address(msgspec.Struct):
    uri: str


class _Focus(msgspec.Struct, rename="camel"):
    text_document: _Address


class _ItemCommand(msgspec.Struct):
    arguments: Any = None


class _Item(msgspec.Struct):
    command: _ItemCommand


class _ItemNote(msgspec.Struct):
    item: _Item

    @property
    def item_id(self) -> ItemId | None:
        """Which item is meant."""
        return ItemId.of(self.item.command.arguments)


class _PartNote(_ItemNote, rename="camel"):
    accepted_length: int


T = TypeVar("T")


def _read(params: object, kind: type[T]) -> T | None:
    """The parameters of a notification of our own; None if they are others. Nobody waits for an answer."""
    try:
        return msgspec.convert(params, kind)
    except msgspec.ValidationError:
        return None
