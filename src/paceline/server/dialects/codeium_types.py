"""The wire types of Codeium's language server, in the JSON form of Protocol Buffers.

Names come in snake_case or camelCase, numbers of 64 bits as numbers or strings, enums by name or number, null and
absence mean the default, and unknown fields are ignored. Replies use camelCase, write numbers of 64 bits as strings
and leave out defaults. Only what is read is declared.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from pydantic import (
    AliasChoices,
    AliasGenerator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)
from pydantic.alias_generators import to_camel

from paceline.server.fields import CodeText, NameText

MAX_UINT64 = 2**64 - 1
MAX_INT_CHARS = 24
MAX_KEY_CHARS = 4_096
"""Some logins store long signed tokens where we expect ours."""

LANGUAGES = (
    "unspecified", "c", "clojure", "coffeescript", "cpp", "csharp", "css", "cudacpp", "dockerfile", "go", "groovy",
    "handlebars", "haskell", "hcl", "html", "ini", "java", "javascript", "json", "julia", "kotlin", "latex", "less",
    "lua", "makefile", "markdown", "objectivec", "objectivecpp", "perl", "php", "plaintext", "protobuf", "pbtxt",
    "python", "r", "ruby", "rust", "sass", "scala", "scss", "shell", "sql", "starlark", "swift", "tsx",
    "typescript", "visualbasic", "vue", "xml", "xsl", "yaml", "svelte", "toml", "dart", "rst", "ocaml", "cmake",
    "pascal", "elixir", "fsharp", "lisp", "matlab", "powershell", "solidity", "ada", "ocaml_interface",
)  # fmt: skip
"""Codeium's enum, by number."""
OUR_NAMES = {
    "cudacpp": "cpp",
    "objectivecpp": "objective-c",
    "ocaml_interface": "ocaml",
    "xsl": "xml",
}
"""Where ours is another, and no alias that we know."""


def parse_uint64(value: object) -> object:
    """A number as JSON of Protocol Buffers may write it; what is none is left to be refused."""
    if isinstance(value, str) and len(value) <= MAX_INT_CHARS and value.isascii():
        digits = value.strip()
        return int(digits) if digits.removeprefix("-").isdecimal() else value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def parse_language(value: object) -> object:
    """The language that an enum names, by name or number, in our words; empty if it does not say, or it is newer."""
    if isinstance(value, str):
        number = parse_uint64(value)
        name = value.lower().removeprefix("language_") if number is value else number
    else:
        name = parse_uint64(value)
    if isinstance(name, int) and not isinstance(name, bool):
        name = LANGUAGES[name] if 0 <= name < len(LANGUAGES) else ""
    if not isinstance(name, str):
        return value
    return "" if name not in LANGUAGES[1:] else OUR_NAMES.get(name, name)


Uint64 = Annotated[int, BeforeValidator(parse_uint64), Field(strict=True, ge=0, le=MAX_UINT64)]
LanguageName = Annotated[
    str,
    BeforeValidator(parse_language, json_schema_input_type=int | str),
    Field(strict=True),
]


class _Read(BaseModel):
    model_config = ConfigDict(
        extra="ignore",
        alias_generator=AliasGenerator(
            validation_alias=lambda name: AliasChoices(name, to_camel(name))
        ),
    )

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        fields = cast("dict[str, Any]", value)
        return {name: each for name, each in fields.items() if each is not None}


class Metadata(_Read):
    """Which editor asks, and for whom."""

    api_key: Annotated[CodeText, Field(max_length=MAX_KEY_CHARS)] = Field(
        default="", description="The access token, where one is demanded."
    )
    session_id: NameText = Field(
        default="",
        description="This editor; its newest request for a document supersedes older ones.",
    )
    request_id: Uint64 = Field(
        default=0,
        description="Grows with each request of a session; one that comes late is not answered.",
    )
    ide_name: NameText = ""
    extension_name: NameText = ""
    extension_version: NameText = ""


class MetadataRequest(_Read):
    """What most calls send."""

    metadata: Metadata = Metadata()


class DocumentPosition(_Read):
    """From 0, in UTF-8 bytes."""

    row: Uint64 = 0
    col: Uint64 = 0


class CodeiumDocument(_Read):
    """A file as the editor holds it, whole."""

    text: CodeText = ""
    editor_language: NameText = Field(
        default="", description="The language, as the editor names it."
    )
    language: LanguageName = Field(
        default="",
        description="Codeium's enum, by name or number; counts for more than the editor's name.",
    )
    cursor_offset: Uint64 = Field(default=0, description="In UTF-8 bytes.")
    cursor_position: DocumentPosition | None = Field(
        default=None, description="Counts for more than `cursor_offset`."
    )
    absolute_uri: CodeText = ""
    absolute_path_migrate_me_to_uri: CodeText = Field(
        default="", description="The older form of the same."
    )
    workspace_uri: CodeText = Field(
        default="",
        description="Folder of the project; looked at on loopback, without tokens, only.",
    )
    line_ending: CodeText = Field(default="", description="How rows end: `\\n`, `\\r\\n` or `\\r`.")


class MultilineConfig(_Read):
    """When to offer more than a line."""

    threshold: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = Field(
        default=None, description="0 to 1; higher offers single lines more often, 1 always."
    )


class GetCompletionsRequest(_Read):
    """Text and a cursor in it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "metadata": {"ide_name": "vim", "request_id": 1},
                    "document": {
                        "text": "def area(width, height):\n    return \n",
                        "editor_language": "python",
                        "language": 33,
                        "cursor_position": {"row": 1, "col": 11},
                    },
                }
            ]
        }
    )

    metadata: Metadata = Metadata()
    document: CodeiumDocument = Field(description="The file at the cursor.")
    other_documents: list[CodeiumDocument] = Field(
        default=[], description="Other open files; the first ones are looked at."
    )
    model_name: NameText = Field(
        default="", description="A name from GET /v1/models; empty: the default."
    )
    multiline_config: MultilineConfig = MultilineConfig()
    num_alternatives: Annotated[int, Field(ge=1, le=3)] = Field(
        default=1,
        description="Ours: how many to cycle through; more than 1: the user asked by hand.",
    )


class CancelRequest(MetadataRequest):
    """Stop working for a request."""

    request_id: Uint64 = 0


class AcceptCompletionRequest(MetadataRequest):
    """The user took a completion, or a part of it: the protocol does not tell which."""

    completion_id: NameText = Field(min_length=1)


class RegisterUserRequest(_Read):
    """Turn what the user pasted into a key."""

    firebase_id_token: Annotated[CodeText, Field(max_length=MAX_KEY_CHARS)] = Field(
        default="", description="A token of `paceline token create`."
    )


class _Sent(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class SentPosition(_Sent):
    row: str = "0"
    col: str = "0"


class SentRange(_Sent):
    """In UTF-8 bytes: from the start of the cursor's line to the end of what is replaced."""

    start_offset: str = "0"
    end_offset: str = "0"
    start_position: SentPosition = SentPosition()
    end_position: SentPosition = SentPosition()


class SentCompletion(_Sent):
    """Takes the place of the range, so it begins with what stands before the cursor in its line."""

    completion_id: str = Field(
        description="For AcceptCompletion; `paceline why ID` tells the story."
    )
    text: str
    score: float = Field(
        default=0.0, description="Natural log-probability per token that was written."
    )
    probabilities: list[float] = Field(
        default=[], description="Of each token written for this very request; empty if none was."
    )
    adjusted_probabilities: list[float] = Field(
        default=[], description="One number: how likely the user is to keep it."
    )
    generated_length: str = Field(default="0", description="Tokens written for this very request.")


PartType = Literal[
    "COMPLETION_PART_TYPE_INLINE", "COMPLETION_PART_TYPE_BLOCK", "COMPLETION_PART_TYPE_INLINE_MASK"
]


class SentPart(_Sent):
    """A piece of what is not yet in the document."""

    text: str
    offset: str = "0"
    type: PartType
    prefix: str = Field(
        default="", description="What stands before it in the line, from the last part on."
    )
    line: str = "0"


CompletionSource = Literal[
    "COMPLETION_SOURCE_TYPING_AS_SUGGESTED", "COMPLETION_SOURCE_CACHE", "COMPLETION_SOURCE_NETWORK"
]


class SentItem(_Sent):
    completion: SentCompletion
    range: SentRange
    source: CompletionSource
    completion_parts: list[SentPart]


class SentState(_Sent):
    state: Literal["CODEIUM_STATE_SUCCESS"]
    message: str = Field(default="", description="Why there is nothing.")


class GetCompletionsReply(_Sent):
    state: SentState | None
    completion_items: list[SentItem] = []


class Nothing(_Sent):
    """Done."""


class SentStatus(_Sent):
    message: str = ""


class GetStatusReply(_Sent):
    status: SentStatus | None


class AuthTokenReply(_Sent):
    auth_token: str
    uuid: str = ""


class RegisterUserReply(BaseModel):
    """In snake_case, as Codeium's own server sends it."""

    api_key: str
    name: str = ""


class ConnectError(BaseModel):
    """The body of every reply that is not a success."""

    code: str = Field(description="A name of the Connect protocol, such as `invalid_argument`.")
    message: str = Field(description="One sentence for a person.")
