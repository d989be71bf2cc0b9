"""Every family's prompt, token for token, and how a vocabulary is recognised."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as HfTokenizer

from paceline.core.errors import CheckpointError, ConfigError
from paceline.core.types import Snippet
from paceline.prompt.fim import (
    TEMPLATES,
    FimTemplate,
    fim_ids,
    render_fim,
    render_plain,
    stop_token_ids,
    template_for,
)
from paceline.tokenizer.bpe import Tokenizer, train_tokenizer

SENTENCEPIECE = {"codellama", "codellama-psm", "codestral"}
TEXT = "def f(x):\n    return x + 1\n"
SNIPPETS = [Snippet(path="a.py", text="A = 1"), Snippet(path="b.py", text="B = 2")]


def make_tokenizer(names: tuple[str, ...], *, is_sentencepiece: bool) -> Tokenizer:
    """A small vocabulary of either kind whose added tokens are not all called special."""
    inner = HfTokenizer(models.BPE(byte_fallback=is_sentencepiece, fuse_unk=False))
    bytes_of = [f"<0x{byte:02X}>" for byte in range(256)] if is_sentencepiece else []
    if is_sentencepiece:
        steps = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        inner.normalizer = normalizers.Sequence(steps)  # type: ignore[assignment]
        parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        inner.decoder = decoders.Sequence([*parts, decoders.Strip(" ", 1, 0)])  # type: ignore
        alphabet = sorted({*TEXT, "▁"} - {" ", "\n"})
    else:
        inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore
        inner.decoder = decoders.ByteLevel()  # type: ignore[assignment]
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=bytes_of, initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator([TEXT.replace("\n", " ")] * 20, trainer=trainer)
    raw = json.loads(inner.to_str()) | {"added_tokens": []}
    state = HfTokenizer.from_str(json.dumps(raw))
    for index, name in enumerate(names):
        state.add_tokens([AddedToken(name, special=index % 2 == 0, normalized=False)])
    return Tokenizer(state)


def tokenizer_of(template: FimTemplate) -> Tokenizer:
    return make_tokenizer(
        (*template.sentinels, *template.other_ends),
        is_sentencepiece=template.family in SENTENCEPIECE,
    )


EXPECTED = {
    "paceline": "<|fim_prefix|><|fim_suffix|>SUF<|fim_middle|>PRE",
    "qwen": "<|fim_prefix|>PRE<|fim_suffix|>SUF<|fim_middle|>",
    "starcoder2": "<fim_prefix>PRE<fim_suffix>SUF<fim_middle>",
    "mellum": "<fim_suffix>SUF<fim_prefix>PRE<fim_middle>",
    "deepseek": "<｜begin▁of▁sentence｜><｜fim▁begin｜>PRE<｜fim▁hole｜>SUF<｜fim▁end｜>",
    "codellama": "<s>▁<PRE>▁<SUF>SUF▁<MID> PRE",
    "codellama-psm": "<s>▁<PRE> PRE▁<SUF>SUF▁<MID>",
    "codestral": "<s>[SUFFIX]SUF[PREFIX] PRE",
}
WITH_SNIPPETS = {
    "paceline": "<|file_sep|># a.py\nA = 1\n<|file_sep|># b.py\nB = 2\n<|fim_prefix|>",
    "qwen": "<|repo_name|>project\n<|file_sep|>a.py\nA = 1\n<|file_sep|>b.py\nB = 2\n<|fim_prefix|>",
    "starcoder2": "<file_sep>a.py\nA = 1\n<file_sep>b.py\nB = 2\n<file_sep><fim_prefix>",
    "mellum": "<filename>a.py\nA = 1\n<filename>b.py\nB = 2\n<fim_suffix>",
    "deepseek": "<｜begin▁of▁sentence｜>#a.py\nA = 1\n#b.py\nB = 2\n<｜fim▁begin｜>",
    "codellama": "▁<MID># a.py\nA = 1\n# b.py\nB = 2\n PRE",
    "codellama-psm": "▁<PRE># a.py\nA = 1\n# b.py\nB = 2\n PRE",
    "codestral": "[PREFIX]+++++ a.py\nA = 1\n\n+++++ b.py\nB = 2\n\n PRE",
}


@pytest.mark.parametrize("family", TEMPLATES)
def test_prompts_of_each_family(family: str) -> None:
    template = TEMPLATES[family]
    tokenizer = tokenizer_of(template)
    ids = fim_ids(tokenizer, template)
    prompt = render_fim("x = 1", "return", tokenizer, ids, template, max_prompt_tokens=200)
    expected = written(EXPECTED[family], "x = 1", "return")
    assert shown(prompt, tokenizer) == expected
    long = render_fim(
        "x = 1", "return", tokenizer, ids, template, max_prompt_tokens=300, snippets=SNIPPETS
    )
    assert written(WITH_SNIPPETS[family], "x = 1", "return") in shown(long, tokenizer)
    plain = render_plain("x", tokenizer, ids, max_prompt_tokens=9, is_truncatable=True)
    assert tokenizer.decode(plain) == (template.begin or template.end) + "x"


def shown(ids: list[int], tokenizer: Tokenizer) -> str:
    """The ids as text; SentencePiece's own way of writing a space stays in sentinels only."""
    text = tokenizer.decode(ids)
    for name in ("<PRE>", "<SUF>", "<MID>"):
        text = text.replace(f" {name}", f"▁{name}")
    return text


def written(form: str, prefix: str, suffix: str) -> str:
    """The form with PRE and SUF replaced where they are no part of a sentinel's name."""
    names = ["<PRE>", "<SUF>", "[PREFIX]", "[SUFFIX]"]
    for index, name in enumerate(names):
        form = form.replace(name, f"\0{index}")
    form = form.replace("PRE", prefix).replace("SUF", suffix)
    for index, name in enumerate(names):
        form = form.replace(f"\0{index}", name)
    return form


@pytest.mark.parametrize("family", TEMPLATES)
def test_the_vocabulary_tells_the_family(family: str) -> None:
    template = TEMPLATES[family]
    tokenizer = tokenizer_of(template)
    found = template_for(tokenizer)
    assert found == (TEMPLATES["codellama"] if family == "codellama-psm" else template)
    assert template_for(tokenizer, family) == template
    stops = stop_token_ids(tokenizer, template)
    assert {tokenizer.special_id(name) for name in template.sentinels} <= stops
    assert not stops & set(tokenizer.encode(TEXT))
    assert not stops & set(tokenizer.encode("".join(template.sentinels))), "text stays text"


@pytest.mark.parametrize("family", TEMPLATES)
def test_text_round_trips_whatever_the_vocabulary(family: str) -> None:
    tokenizer = tokenizer_of(TEMPLATES[family])
    names = "".join(TEMPLATES[family].sentinels).replace("▁", " ")
    for text in ("x", " x", "  x\n\n y ", "", "é🙂 ", TEXT, names):
        ids, starts = tokenizer.encode_with_starts(text)
        assert tokenizer.decode(ids) == text
        assert ids == tokenizer.encode(text) == tokenizer.encode_batch([text])[0]
        assert starts == sorted(starts) and all(0 <= start < len(text) for start in starts)
        pieces = tokenizer.vocabulary_bytes()
        assert b"".join(pieces[token_id] for token_id in ids).decode() == text


def test_our_own_tokenizer_is_recognised() -> None:
    tokenizer = train_tokenizer([TEXT] * 20, vocab_size=350)
    assert template_for(tokenizer).family == "paceline"
    assert fim_ids(tokenizer) == fim_ids(tokenizer, template_for(tokenizer))


def test_missing_sentinels_are_named() -> None:
    tokenizer = make_tokenizer(
        ("<fim_prefix>", "<fim_suffix>", "<|endoftext|>"), is_sentencepiece=False
    )
    with pytest.raises(CheckpointError, match=r"starcoder2 .* it lacks <fim_middle>, <file_sep>"):
        template_for(tokenizer)
    with pytest.raises(CheckpointError, match=r"qwen .* lacks <\|fim_prefix\|>"):
        template_for(tokenizer, "qwen")
    with pytest.raises(ConfigError, match="No FIM template is called 'gpt'; known are paceline"):
        template_for(tokenizer, "gpt")


def test_healing_applies_where_the_prompt_ends_with_the_prefix() -> None:
    assert {family for family, template in TEMPLATES.items() if template.can_heal} == {
        "paceline",
        "codestral",
    }
    assert not replace(TEMPLATES["paceline"], order="psm").can_heal
    with pytest.raises(ConfigError, match="needs a middle"):
        FimTemplate(middle=None)
