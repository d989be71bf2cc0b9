"""What can go wrong before the native executor runs.

PacelineError
└── NativeUnavailableError   no compiler, no usable library; another executor must do
"""

from __future__ import annotations

from paceline.core.errors import PacelineError


class NativeUnavailableError(PacelineError):
    """The C++ executor cannot be used on this machine."""
