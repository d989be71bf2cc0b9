"""The wire types of Tabby, as tabby-agent and Tabby's editor plugins send and read them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from paceline.artifacts.events import MAX_ID_CHARS
from paceline.server.fields import CodeText, NameText

MAX_SNIPPETS = 128
"""Of each kind; the plugins send 5 of each at most."""
MAX_SEED = 2**64 - 1
ID_TEXT = r"^[!-~]+$"
"""As `artifacts.events.ID_PATTERN` has it; pydantic's `$` is the end and nothing else."""

Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]


class _Read(BaseModel):
    """Unknown fields are ignored, as Tabby ignores them."""

    model_config = ConfigDict(extra="ignore")


class Declaration(_Read):
    """Where a name that stands before the cursor is declared, as the editor's language server says."""

    filepath: CodeText
    body: CodeText


class SnippetIn(_Read):
    """A piece of another file that the plugin chose."""

    filepath: CodeText
    body: CodeText
    score: Annotated[float, Field(allow_inf_nan=False)] = Field(
        0.0, description="Not read: the order of the list is what counts."
    )


class EditHistory(_Read):
    """For next edit suggestions, which are not served."""

    original_code: CodeText = ""
    edits_diff: CodeText = ""
    current_version: CodeText = ""


Snippets = Annotated[list[SnippetIn], Field(max_length=MAX_SNIPPETS, fail_fast=True)]
Declarations = Annotated[list[Declaration], Field(max_length=MAX_SNIPPETS, fail_fast=True)]


class Segments(_Read):
    """Text around the cursor, and pieces of other files."""

    prefix: CodeText = Field(description="Text before the cursor.")
    suffix: CodeText | None = Field(None, description="Text after the cursor.")
    filepath: CodeText | None = Field(
        None, description="Path of the file, relative to its repository or workspace."
    )
    git_url: CodeText | None = Field(
        None, description="Accepted, changes nothing: no repository is fetched."
    )
    declarations: Declarations | None = Field(
        None, description=f"Up to {MAX_SNIPPETS}; they come before the other snippets."
    )
    relevant_snippets_from_changed_files: Snippets | None = Field(
        None, description=f"Up to {MAX_SNIPPETS}, best first."
    )
    relevant_snippets_from_recently_opened_files: Snippets | None = Field(
        None, description=f"Up to {MAX_SNIPPETS}, best first."
    )
    clipboard: CodeText | None = Field(
        None, description="Read only where the server was told to use it."
    )
    edit_history: EditHistory | None = Field(
        None, description="Accepted, changes nothing: only next edit suggestions need it."
    )


class DebugOptions(_Read):
    """For people who try prompts."""

    raw_prompt: CodeText | None = Field(
        None, description="Continued as it is, by the model alone; `segments` is not read then."
    )
    return_snippets: bool = False
    return_prompt: bool = False
    disable_retrieval_augmented_code_completion: bool = Field(
        False, description="Leave out all snippets, the plugin's own too."
    )


class SegmentsRequest(_Read):
    """Tabby's completion request; `segments` tells it from OpenAI's."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [
                {
                    "language": "python",
                    "segments": {
                        "prefix": "def area(width, height):\n    return ",
                        "suffix": "\n",
                    },
                }
            ]
        },
    )

    language: NameText | None = Field(None, description="The language, as VS Code names it.")
    segments: Segments | None = Field(
        None, description="Text around the cursor; must be sent, but for `raw_prompt`."
    )
    user: NameText | None = Field(None, description="Whose documents these are.")
    temperature: Temperature | None = Field(
        None, description="Absent is 0: the most probable token."
    )
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None = Field(
        None, description="Of the sampling; absent: fresh."
    )
    mode: NameText | None = Field(
        None, description="`standard`; `next_edit_suggestion` is refused."
    )
    debug_options: DebugOptions | None = None


class TabbyChoice(BaseModel):
    """The text to insert at the cursor; empty: nothing is to be shown."""

    index: int = 0
    text: str


class SnippetOut(BaseModel):
    """One of the snippets that the prompt was chosen from."""

    filepath: str
    body: str
    score: float


class DebugData(BaseModel):
    """What was asked for in `debug_options`."""

    snippets: list[SnippetOut] | None = None
    prompt: str | None = None


class TabbyReply(BaseModel):
    """Always one choice."""

    id: str = Field(description="For POST /v1/events; `paceline why ID` tells the story.")
    choices: list[TabbyChoice]
    debug_data: DebugData | None = None
    mode: Literal["standard"] = "standard"


class TabbyVersion(BaseModel):
    """Plugins compare `git_describe` with the version of Tabby from which on they can do something."""

    build_date: str = ""
    build_timestamp: str = ""
    git_sha: str = ""
    git_describe: str


class LocalModel(BaseModel):
    model_id: str
    device: str
    cuda_devices: list[str] = []


class CompletionModel(BaseModel):
    local: LocalModel


class ModelsHealth(BaseModel):
    """There is no chat and no embedding model."""

    completion: CompletionModel
    chat: None = None
    embedding: None = None


class TabbyHealth(BaseModel):
    """What plugins read before anything else, and show."""

    model: str
    chat_model: None = None
    device: str
    arch: str
    cpu_info: str
    cpu_count: int
    cuda_devices: list[str] = []
    models: ModelsHealth
    version: TabbyVersion
    webserver: Annotated[bool, Field(description="No web pages of Tabby's own.")] = False


class TabbyModels(BaseModel):
    """Names of the models of each kind; null: none is served."""

    completion: list[str]
    chat: None = None


class ServerSetting(BaseModel):
    """What the server decides for its plugins."""

    disable_client_side_telemetry: bool = True


class TabbyEvent(_Read):
    """What became of a completion."""

    type: Literal["view", "select", "dismiss"]
    completion_id: Annotated[str, Field(pattern=ID_TEXT, max_length=MAX_ID_CHARS)] = Field(
        description="The reply's `id`."
    )
    choice_index: Annotated[int, Field(ge=0, le=127)] = 0
    view_id: NameText | None = Field(
        None, description="One showing of it; events of the same one are counted once."
    )
    elapsed: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Milliseconds it was on screen; not kept."
    )
    select_kind: NameText | None = Field(
        None, description="As the query's, which comes first: `line`, its first line was accepted."
    )
