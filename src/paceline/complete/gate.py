"""Is a completion worth showing? The probability that the user keeps it, and a threshold.

features ──standardise──> logistic regression ──calibration curve──> probability >= threshold: shown

Small on purpose: the weights are read in a minute, every decision says which features made it, and a team can
fit its own (gate_fit.py) from what it kept. A small share of the requests, chosen by a hash of their id, is
shown whatever the gate says: only so can it be seen whether what is hidden would have been kept. Who asks by
hand always gets an answer.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from functools import cache
from itertools import pairwise
from pathlib import Path

import msgspec

from paceline.complete.gate_features import FEATURE_NAMES, GateFeatures
from paceline.core.errors import ArtifactError, ConfigError

FORMAT = 1
DEFAULT_WEIGHTS = Path(__file__).with_name("gate_weights.json")
EXEMPT_SHARE = 0.02
"""Our choice: few users notice, and 50,000 requests give 1,000 to judge the gate by."""
NUM_REASONS = 4
MAX_SCORE = 30.0
"""A probability within 1e-13 of 0 or 1 is as good as certain."""


class FeatureWeight(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One feature: (value - mean) / scale * weight is what it adds to the score."""

    name: str
    mean: float
    scale: float
    weight: float


class GateMetadata(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where weights come from."""

    fitted: bool
    """False: set by hand, as a guess."""
    source: str
    fitted_at: str = ""
    """A date, ISO 8601."""
    num_rows: int = 0
    figures: dict[str, float] = {}
    """On rows that were not fitted on: auc, ece, kept_share, ..."""


class GateWeights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a gate has learned."""

    format: int
    metadata: GateMetadata
    bias: float
    features: tuple[FeatureWeight, ...]
    threshold: float = 0.0
    """Probability from which on a completion is shown, as it was tuned with these weights."""
    calibration: tuple[tuple[float, float], ...] = ()
    """Points (raw probability, calibrated one), both ascending, joined by lines; none: raw is as good."""

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(f"format is {self.format}, not {FORMAT}")
        names = tuple(feature.name for feature in self.features)
        if names != FEATURE_NAMES:
            odd = sorted(set(names) ^ set(FEATURE_NAMES))
            raise ValueError(f"features differ from this version's: {', '.join(odd) or 'order'}")
        numbers = [self.bias, *(x for f in self.features for x in (f.mean, f.scale, f.weight))]
        if not all(map(math.isfinite, numbers)) or any(f.scale <= 0 for f in self.features):
            raise ValueError("numbers must be finite, and scales above 0")
        if not 0 <= self.threshold <= 1:
            raise ValueError("the threshold must be between 0 and 1")
        points = self.calibration
        flat = [value for point in points for value in point]
        if not all(0 <= value <= 1 for value in flat):
            raise ValueError("calibration points must be between 0 and 1")
        for (x, y), (next_x, next_y) in pairwise(points):
            if next_x <= x or next_y < y:
                raise ValueError("calibration points must ascend")


class GateDecision(msgspec.Struct, frozen=True, kw_only=True):
    """Shown or not, and why."""

    probability: float
    """That the user keeps it."""
    is_shown: bool
    is_exempt: bool
    """One of the few that are shown whatever the probability is."""
    reasons: tuple[str, ...]
    """What moved the score most, strongest first: `mean_logprob+0.82`."""


def load_weights(path: Path = DEFAULT_WEIGHTS) -> GateWeights:
    """Read weights.

    Raises:
        ArtifactError: the file is missing, damaged, of another format, or names other features.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=GateWeights)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ArtifactError(f"Cannot read gate weights {path}: {reason}.") from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise ArtifactError(
            f"{path} holds no gate weights of format {FORMAT}: {error}; fit them again."
        ) from error


def save_weights(weights: GateWeights, path: Path) -> None:
    """Write weights so that load_weights reads the same ones."""
    encoded = msgspec.json.format(msgspec.json.encode(weights), indent=1)
    path.write_bytes(encoded + b"\n")


@cache
def _shipped() -> GateWeights:
    return load_weights()


class Gate:
    """Decides with one set of weights. Keeps no state."""

    def __init__(self, weights: GateWeights, *, exempt_share: float = EXEMPT_SHARE) -> None:
        if not 0 <= exempt_share <= 1:
            raise ConfigError(f"exempt_share is {exempt_share}; it must be between 0 and 1.")
        self.weights = weights
        self._exempt_share = exempt_share
        self._terms = [(f.name, f.mean, f.weight / f.scale) for f in weights.features]
        self._xs = [point[0] for point in weights.calibration]

    @classmethod
    def load(cls, path: Path | None = None, *, exempt_share: float = EXEMPT_SHARE) -> Gate:
        """A gate with the weights at `path`; None takes the shipped ones.

        Raises: as load_weights.
        """
        weights = _shipped() if path is None else load_weights(path)
        return cls(weights, exempt_share=exempt_share)

    def decide(
        self,
        features: GateFeatures,
        threshold: float,
        *,
        request_id: str,
        is_invoked: bool = False,
    ) -> GateDecision:
        """Show a completion with `features`?

        Args:
            threshold: 0 to 1, the probability from which on it is; 0 shows everything.
            request_id: the same id is always exempt, or never.
            is_invoked: did the user ask? Then it is shown.
        """
        contributions = self._contributions(features)
        score = self.weights.bias + sum(value for value, _ in contributions)
        probability = self._calibrated(_sigmoid(score))
        is_exempt = not is_invoked and is_exempt_id(request_id, self._exempt_share)
        strongest = sorted(contributions, key=lambda item: -abs(item[0]))[:NUM_REASONS]
        return GateDecision(
            probability=probability,
            is_shown=is_invoked or is_exempt or probability >= threshold,
            is_exempt=is_exempt,
            reasons=tuple(
                f"{_said(name, features)}{value:+.2f}" for value, name in strongest if value
            ),
        )

    def probability(self, features: GateFeatures) -> float:
        """That the user keeps a completion with `features`."""
        score = self.weights.bias + sum(value for value, _ in self._contributions(features))
        return self._calibrated(_sigmoid(score))

    def _contributions(self, features: GateFeatures) -> list[tuple[float, str]]:
        """What each feature adds to the score; one that is no finite number adds nothing."""
        values = msgspec.structs.astuple(features)
        return [
            ((value - mean) * weight if math.isfinite(value) else 0.0, name)
            for value, (name, mean, weight) in zip(values, self._terms, strict=True)
        ]

    def _calibrated(self, raw: float) -> float:
        points = self.weights.calibration
        if not points:
            return raw
        place = bisect_right(self._xs, raw)
        if place == 0 or place == len(points):
            return points[min(place, len(points) - 1)][1]
        (x0, y0), (x1, y1) = points[place - 1], points[place]
        return y0 + (y1 - y0) * (raw - x0) / (x1 - x0)


def _said(name: str, features: GateFeatures) -> str:
    """The name of a feature, or that it does not hold: that counts as well."""
    is_fact = name.startswith(("is_", "has_"))
    return f"not_{name}" if is_fact and getattr(features, name) == 0 else name


def is_exempt_id(request_id: str, share: float) -> bool:
    """Is `request_id` among the `share` of all ids that are always shown? The same everywhere, for ever."""
    digest = hashlib.blake2b(
        request_id.encode("utf-8", "surrogatepass"), digest_size=8, person=b"gate-exempt"
    ).digest()
    return int.from_bytes(digest, "big") < share * 2**64


def _sigmoid(score: float) -> float:
    return 1.0 / (1.0 + math.exp(-min(max(score, -MAX_SCORE), MAX_SCORE)))
