"""What can go wrong inside the engine, besides the errors of `core`.

PacelineError
├── ArtifactError
│   └── AdapterError   a LoRA adapter is damaged or made for another model
├── StepError          a forward pass failed; the sequences in it are lost, the engine goes on
└── EngineClosedError  the engine takes no more work
"""

from __future__ import annotations

from paceline.core.errors import ArtifactError, PacelineError


class AdapterError(ArtifactError):
    """A LoRA adapter cannot be used with this model."""

    http_status = 400


class StepError(PacelineError):
    """A forward pass failed for this sequence."""

    def __init__(self, cause: str) -> None:
        super().__init__(
            f"The model failed while computing this completion ({cause}); if it goes on, restart the server or copy the model again."
        )


class EngineClosedError(PacelineError):
    """The engine was closed."""

    http_status = 503

    def __init__(self) -> None:
        super().__init__("The engine is shut down and takes no more work.")
