"""Special tokens: fixed ids at the start of every vocabulary that Paceline trains.

Names follow Qwen2.5-Coder where it has one, so that other servers guess our template right.
"""

END_OF_TEXT = "<|endoftext|>"
FIM_PREFIX = "<|fim_prefix|>"
FIM_SUFFIX = "<|fim_suffix|>"
FIM_MIDDLE = "<|fim_middle|>"
FIM_PAD = "<|fim_pad|>"
REPO_NAME = "<|repo_name|>"
FILE_SEP = "<|file_sep|>"
CONTINUATION = "<|cc|>"
"""Reserved for chunked continuation (retrieval)."""
NEED = "<|need|>"
"""Reserved: the model asks for a definition."""

PII = ("<|name|>", "<|email|>", "<|key|>", "<|password|>", "<|ip_address|>", "<|username|>")

NAMED = (
    END_OF_TEXT,
    FIM_PREFIX,
    FIM_SUFFIX,
    FIM_MIDDLE,
    FIM_PAD,
    REPO_NAME,
    FILE_SEP,
    CONTINUATION,
    NEED,
    *PII,
)
NUM_SPECIALS = 48
SPECIALS = NAMED + tuple(f"<|reserved_{i}|>" for i in range(NUM_SPECIALS - len(NAMED)))
