"""Every error that Paceline raises on purpose.

PacelineError                  message = one sentence: what is wrong, and what to do
├── InputError                 the caller gave something unusable (exit 2, HTTP 400)
│   ├── DocumentError          not UTF-8, binary, too large, position outside the text
│   ├── EmptyPromptError       nothing to continue
│   ├── PromptTooLongError     the prompt does not fit the context window
│   ├── UnknownModelError      no model of that name (HTTP 404)
│   ├── FieldError             one field of a request, which it names
│   └── ConfigError            a setting is unknown or out of range
├── ArtifactError              a file that a stage wrote is missing, truncated or of another version (exit 3, HTTP 503)
│   ├── CheckpointError        model folder
│   ├── CorpusError            corpus folder
│   └── AdapterError           LoRA adapter: damaged, or for another model (engine/errors.py, HTTP 400)
├── DownloadError              a source could not be reached (exit 4)
├── PortInUseError             another process listens there (exit 5)
├── OverloadedError            too much is queued; retry later (HTTP 429 + Retry-After)
│   ├── UpstreamBusyError      the server behind this one is full or still loading (generate/remote/errors.py, exit 7)
│   └── QuotaError             this token's requests or tokens are used up; retry later (HTTP 429 + Retry-After)
├── UnauthorizedError          no token, or one that is unknown, expired or revoked (HTTP 401)
├── ForbiddenError             the token may not do this (HTTP 403)
├── UpstreamError              the server behind this one fails or cannot be reached (exit 7, HTTP 502)
│   └── UpstreamRefusedError   it answers with a status that is no success (generate/remote/errors.py)
├── StorageError               what must be kept cannot be written: full disk, no permission (exit 6, HTTP 507)
├── StepError                  the engine failed in a step (engine/errors.py, HTTP 500)
├── EngineClosedError          the engine is shut down (engine/errors.py, HTTP 503)
└── FileSystemError            full disk or unusable folder (cli/errors.py, exit 6)

The edges (cli, server, lsp) translate the class once; nothing in between catches it.
"""


class PacelineError(Exception):
    """Base of all expected failures. `str(error)` is one sentence for the user."""

    exit_code = 1
    http_status = 500


class InputError(PacelineError):
    """The caller gave something that cannot be used."""

    exit_code = 2
    http_status = 400


class DocumentError(InputError):
    """A document is not text, is too large, or a position lies outside it."""


class EmptyPromptError(InputError):
    """There is nothing to continue."""

    def __init__(self) -> None:
        super().__init__("The prompt is empty; send at least one character of prefix or suffix.")


class PromptTooLongError(InputError):
    """The prompt and the tokens asked for do not fit into the context window."""

    def __init__(self, *, prompt_tokens: int, max_tokens: int, context_tokens: int) -> None:
        super().__init__(
            f"The prompt has {prompt_tokens} tokens and max_tokens is {max_tokens}, but the model's context "
            f"window is {context_tokens} tokens; shorten the prompt or lower max_tokens."
        )
        self.prompt_tokens, self.max_tokens, self.context_tokens = (
            prompt_tokens,
            max_tokens,
            context_tokens,
        )


class UnknownModelError(InputError):
    """No model of that name is known."""

    http_status = 404

    def __init__(self, *, model_id: str, known: tuple[str, ...]) -> None:
        names = ", ".join(known) or "none"
        super().__init__(
            f"Unknown model {model_id!r}; known models: {names} (see `paceline models list`)."
        )
        self.model_id, self.known = model_id, known


class ConfigError(InputError):
    """A setting is unknown or out of range."""


class ArtifactError(PacelineError):
    """A file that an earlier stage wrote is missing, truncated or of another version."""

    exit_code = 3
    http_status = 503


class CheckpointError(ArtifactError):
    """A model folder cannot be used."""


class CorpusError(ArtifactError):
    """A corpus folder cannot be used."""


class DownloadError(PacelineError):
    """A source could not be reached or did not match its pinned hash."""

    exit_code = 4


class PortInUseError(PacelineError):
    """Another process already listens on the address."""

    exit_code = 5

    def __init__(self, *, host: str, port: int) -> None:
        super().__init__(
            f"{host}:{port} is in use by another process; stop it or choose another port with --port."
        )


class OverloadedError(PacelineError):
    """More work is queued than can be answered in time."""

    http_status = 429

    def __init__(self, *, queued: int, retry_after_ms: int) -> None:
        self.queued, self.retry_after_ms = queued, retry_after_ms
        super().__init__(f"{queued} requests are queued; retry after {self.retry_after_s} s.")

    @property
    def retry_after_s(self) -> int:
        """Whole seconds, rounded up, 1 or more: as HTTP's Retry-After says it."""
        return max(1, -(-self.retry_after_ms // 1000))


class QuotaError(OverloadedError):
    """One token asks for more than it may."""

    def __init__(self, message: str, *, retry_after_ms: int) -> None:
        super().__init__(queued=0, retry_after_ms=retry_after_ms)
        self.args = (message,)


class UnauthorizedError(PacelineError):
    """The client must show a token that is known and valid."""

    http_status = 401


class ForbiddenError(PacelineError):
    """The token is valid, but not for this."""

    http_status = 403


class UpstreamError(PacelineError):
    """The server behind this one cannot be reached, or answers what cannot be used."""

    exit_code = 7
    http_status = 502


class StorageError(PacelineError):
    """Something that must not be lost could not be written."""

    exit_code = 6
    http_status = 507


class FieldError(InputError):
    """One field of a request holds what cannot be used."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"Field {field!r}: {reason.rstrip('.')}.")
        self.field = field
