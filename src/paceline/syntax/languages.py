"""Languages by name and path: how their blocks, comments and strings look. Grammars are loaded in grammars.py."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import msgspec

from paceline.core.types import Document

BlockStyle = Literal["indent", "braces"]

MAX_NAME_CHARS = 40
"""Longer language names are not kept: no editor has one."""


class Language(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """What the rules need to know of one language."""

    name: str
    """Ours, and the editors' where they agree: python, javascript, typescript, java, go, rust, c, cpp, ..."""
    block_style: BlockStyle = "braces"
    """indent: a block is what is indented below its header (python, yaml; also ruby, lua and others with `end`)."""
    line_comments: tuple[str, ...] = ()
    block_comment: tuple[str, str] | None = None
    quotes: tuple[str, ...] = ('"', "'")
    """String delimiters, longest first."""
    has_grammar: bool = False
    is_code: bool = True
    """False for prose and data (markdown, json, ...)."""
    multiline_quotes: tuple[str, ...] = ()
    """Those of `quotes` whose strings may go over line ends; any other string ends with its line."""
    raw_quotes: tuple[str, ...] = ()
    """Those of `quotes` within which a backslash is a backslash."""
    has_char_quote: bool = False
    """A single quote delimits one character; elsewhere it is a lifetime, a digit separator or a typo."""
    ends_statement_at_newline: bool = True
    """A line end ends a statement unless the line is plainly unfinished; False: `;` and blocks alone do."""
    has_directives: bool = False
    """Lines that begin with `#` are for the preprocessor."""
    is_block_comment_nested: bool = False


_C_COMMENT = ("/*", "*/")


def _c_like(name: str, *, newline: bool = False, grammar: bool = False, **other: Any) -> Language:
    values: dict[str, Any] = {
        "line_comments": ("//",),
        "block_comment": _C_COMMENT,
        "ends_statement_at_newline": newline,
        "has_grammar": grammar,
        **other,
    }
    return msgspec.convert({"name": name, **values}, Language)


def _by_indent(name: str, comment: str = "#", **other: Any) -> Language:
    values: dict[str, Any] = {"block_style": "indent", "line_comments": (comment,), **other}
    return msgspec.convert({"name": name, **values}, Language)


def _data(name: str, **other: Any) -> Language:
    return msgspec.convert({"name": name, "is_code": False, **other}, Language)


def _script(name: str) -> Language:
    return _c_like(
        name, newline=True, grammar=True, quotes=('"', "'", "`"), multiline_quotes=("`",)
    )


_TRIPLE: dict[str, Any] = {"quotes": ('"""', '"', "'"), "multiline_quotes": ('"""',)}
_CHAR: dict[str, Any] = {"quotes": ('"',), "has_char_quote": True}
_TRIPLE_CHAR: dict[str, Any] = {
    "quotes": ('"""', '"'),
    "multiline_quotes": ('"""',),
    "has_char_quote": True,
}

_ALL = (
    _by_indent(
        "python",
        quotes=('"""', "'''", '"', "'"),
        multiline_quotes=('"""', "'''"),
        has_grammar=True,
    ),
    _script("javascript"),
    _script("javascriptreact"),
    _script("typescript"),
    _script("typescriptreact"),
    _c_like("java", grammar=True, **_TRIPLE_CHAR),
    _c_like(
        "go",
        newline=True,
        grammar=True,
        quotes=("`", '"'),
        multiline_quotes=("`",),
        raw_quotes=("`",),
        has_char_quote=True,
    ),
    _c_like("rust", grammar=True, multiline_quotes=('"',), is_block_comment_nested=True, **_CHAR),
    _c_like("c", grammar=True, has_directives=True, **_CHAR),
    _c_like("cpp", grammar=True, has_directives=True, **_CHAR),
    _c_like("objective-c", has_directives=True, **_CHAR),
    _c_like("csharp", has_directives=True, **_TRIPLE_CHAR),
    _c_like("php", line_comments=("//", "#"), multiline_quotes=('"', "'")),
    _c_like("kotlin", newline=True, **_TRIPLE_CHAR),
    _c_like("swift", newline=True, is_block_comment_nested=True, **_TRIPLE),
    _c_like("scala", newline=True, **_TRIPLE_CHAR),
    _c_like("dart", **_TRIPLE),
    _c_like("groovy", newline=True, **_TRIPLE),
    _c_like("zig", quotes=('"',), has_char_quote=True, block_comment=None),
    _c_like("solidity"),
    _c_like("protobuf"),
    _c_like("graphql", newline=True, line_comments=("#",), block_comment=None, **_TRIPLE),
    _c_like("terraform", newline=True, line_comments=("#", "//")),
    _c_like("perl", line_comments=("#",), block_comment=None, multiline_quotes=('"', "'")),
    _c_like(
        "r", newline=True, line_comments=("#",), block_comment=None, multiline_quotes=('"', "'")
    ),
    _c_like("powershell", newline=True, line_comments=("#",), block_comment=("<#", "#>")),
    _c_like("awk", newline=True, line_comments=("#",), block_comment=None, quotes=('"',)),
    _by_indent("shell", multiline_quotes=('"', "'"), raw_quotes=("'",)),
    _by_indent("ruby", block_comment=("=begin", "=end"), multiline_quotes=('"', "'")),
    _by_indent("elixir", **_TRIPLE),
    _by_indent("julia", block_comment=("#=", "=#"), **_TRIPLE_CHAR),
    _by_indent("lua", "--", block_comment=("--[[", "]]")),
    _by_indent("haskell", "--", block_comment=("{-", "-}"), quotes=('"',), has_char_quote=True),
    _by_indent("nim", **_TRIPLE_CHAR),
    _by_indent("cython", quotes=('"""', "'''", '"', "'"), multiline_quotes=('"""', "'''")),
    _by_indent("starlark", quotes=('"""', "'''", '"', "'"), multiline_quotes=('"""', "'''")),
    _by_indent("makefile"),
    _by_indent("cmake"),
    _by_indent("dockerfile"),
    _by_indent("sql", "--", block_comment=_C_COMMENT, multiline_quotes=("'",), raw_quotes=("'",)),
    _by_indent("ocaml", "", line_comments=(), block_comment=("(*", "*)"), quotes=('"',)),
    _by_indent("clojure", ";", quotes=('"',), multiline_quotes=('"',)),
    _by_indent("viml", '"', quotes=("'",)),
    _c_like("css", line_comments=()),
    _c_like("scss"),
    _c_like("less"),
    _by_indent("html", "", line_comments=(), block_comment=("<!--", "-->"), quotes=('"',)),
    _by_indent("vue", "", line_comments=("//",), block_comment=("<!--", "-->")),
    _by_indent("svelte", "", line_comments=("//",), block_comment=("<!--", "-->")),
    _data("xml", block_style="indent", block_comment=("<!--", "-->"), quotes=('"',)),
    _data("yaml", block_style="indent", line_comments=("#",)),
    _data("toml", line_comments=("#",), **_TRIPLE),
    _data("ini", line_comments=("#", ";"), quotes=()),
    _data("json", quotes=('"',)),
    _data("jsonc", quotes=('"',), line_comments=("//",), block_comment=_C_COMMENT),
    _data("jupyter", quotes=('"',)),
    _data("csv", quotes=('"',)),
    _data("diff", quotes=()),
    _data("markdown", block_style="indent", quotes=()),
    _data("restructuredtext", block_style="indent", quotes=()),
    _data("latex", line_comments=("%",), quotes=()),
    _data("plaintext", block_style="indent", quotes=()),
)

_BY_NAME = {language.name: language for language in _ALL}

_ALIASES = {
    "py": "python", "python3": "python", "ipython": "python", "js": "javascript", "node": "javascript",
    "jsx": "javascriptreact", "ts": "typescript", "tsx": "typescriptreact", "golang": "go", "rs": "rust",
    "c++": "cpp", "cxx": "cpp", "cuda": "cpp", "cuda-cpp": "cpp", "objc": "objective-c",
    "objectivec": "objective-c", "objective-cpp": "objective-c", "c#": "csharp", "cs": "csharp", "rb": "ruby",
    "kt": "kotlin", "sh": "shell", "bash": "shell", "zsh": "shell", "shellscript": "shell", "fish": "shell",
    "jl": "julia", "yml": "yaml", "md": "markdown", "mdx": "markdown", "text": "plaintext", "txt": "plaintext",
    "plain": "plaintext", "plain_text": "plaintext", "make": "makefile", "docker": "dockerfile",
    "dockercompose": "yaml", "rst": "restructuredtext", "tex": "latex", "vim": "viml", "bazel": "starlark",
    "proto": "protobuf", "proto3": "protobuf", "hcl": "terraform", "tf": "terraform", "ipynb": "jupyter",
    "pl": "perl", "rlang": "r", "postgres": "sql", "mysql": "sql", "plsql": "sql", "gotmpl": "html",
    "javascript-react": "javascriptreact", "typescript-react": "typescriptreact", "json5": "jsonc",
    "properties": "ini", "dotenv": "ini", "xhtml": "html", "svg": "xml", "sass": "scss",
}  # fmt: skip

_BY_ENDING = {
    "py": "python", "pyi": "python", "pyw": "python", "js": "javascript", "mjs": "javascript",
    "cjs": "javascript", "jsx": "javascriptreact", "ts": "typescript", "mts": "typescript", "cts": "typescript",
    "tsx": "typescriptreact", "java": "java", "go": "go", "rs": "rust", "c": "c", "h": "c", "cc": "cpp",
    "cpp": "cpp", "cxx": "cpp", "c++": "cpp", "hh": "cpp", "hpp": "cpp", "hxx": "cpp", "h++": "cpp",
    "ipp": "cpp", "inl": "cpp", "tpp": "cpp", "cu": "cpp", "cuh": "cpp", "ino": "cpp", "m": "objective-c",
    "mm": "objective-c", "cs": "csharp", "php": "php", "kt": "kotlin", "kts": "kotlin", "swift": "swift",
    "scala": "scala", "sc": "scala", "dart": "dart", "groovy": "groovy", "gradle": "groovy", "zig": "zig",
    "sol": "solidity", "proto": "protobuf", "graphql": "graphql", "gql": "graphql", "tf": "terraform",
    "hcl": "terraform", "pl": "perl", "pm": "perl", "r": "r", "ps1": "powershell", "psm1": "powershell",
    "awk": "awk", "sh": "shell", "bash": "shell", "zsh": "shell", "fish": "shell", "ksh": "shell", "rb": "ruby",
    "rake": "ruby", "gemspec": "ruby", "ex": "elixir", "exs": "elixir", "jl": "julia", "lua": "lua",
    "hs": "haskell", "nim": "nim", "pyx": "cython", "pxd": "cython", "bzl": "starlark", "mk": "makefile",
    "cmake": "cmake", "sql": "sql", "ml": "ocaml", "mli": "ocaml", "clj": "clojure", "cljs": "clojure",
    "vim": "viml", "css": "css", "scss": "scss", "sass": "scss", "less": "less", "html": "html", "htm": "html",
    "vue": "vue", "svelte": "svelte", "xml": "xml", "svg": "xml", "yaml": "yaml", "yml": "yaml", "toml": "toml",
    "ini": "ini", "cfg": "ini", "conf": "ini", "properties": "ini", "json": "json", "jsonc": "jsonc",
    "json5": "jsonc", "ipynb": "jupyter", "csv": "csv", "tsv": "csv", "diff": "diff", "patch": "diff",
    "md": "markdown", "markdown": "markdown", "mdx": "markdown", "rst": "restructuredtext", "tex": "latex",
    "txt": "plaintext", "log": "plaintext",
}  # fmt: skip

_BY_FILE_NAME = {
    "makefile": "makefile", "gnumakefile": "makefile", "dockerfile": "dockerfile", "containerfile": "dockerfile",
    "cmakelists.txt": "cmake", "rakefile": "ruby", "gemfile": "ruby", "podfile": "ruby", "vagrantfile": "ruby",
    "jenkinsfile": "groovy", "build": "starlark", "build.bazel": "starlark", "workspace": "starlark",
    "sconstruct": "python", "wscript": "python", ".bashrc": "shell", ".bash_profile": "shell",
    ".profile": "shell", ".zshrc": "shell", ".vimrc": "viml", ".rprofile": "r", ".gitignore": "ini",
    ".gitconfig": "ini", ".editorconfig": "ini", ".env": "ini", "go.mod": "ini", "tsconfig.json": "jsonc",
}  # fmt: skip


def language_of(document: Document) -> Language:
    """The language of `document`: what it says, else by its path; an unknown one gets generic rules.

    A name that is not known is kept (`Language.name`), so that a model trained on it can be asked for. A notebook
    file is `jupyter`, data, unless the document says the language of its cells.
    """
    return _language(document.language, file_name(document.path))


def language_named(name: str) -> Language:
    """The language that editors call `name`; an unknown one gets generic rules."""
    return _language(name, "")


def file_name(path: str) -> str:
    """The last part of a path or URI with `/` or `\\`."""
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2]


@lru_cache(maxsize=4096)
def _language(said: str, file: str) -> Language:
    name = said.strip().lower()[:MAX_NAME_CHARS]
    if name:
        known = _BY_NAME.get(_ALIASES.get(name, name))
        return known or _generic(name)
    file = file.lower()
    by_file = _BY_FILE_NAME.get(file)
    if by_file is None and file.startswith(("dockerfile.", "makefile.")):
        by_file = file.partition(".")[0]
    ending = file.rpartition(".")[2] if "." in file else ""
    found = _BY_NAME.get(by_file or _BY_ENDING.get(ending, ""))
    return found or _generic(ending[:MAX_NAME_CHARS] or "plaintext")


def _generic(name: str) -> Language:
    """Rules that do little harm in any language: braces, C's and the shell's comments, quotes within a line."""
    if name == "plaintext":
        return _BY_NAME[name]
    return Language(name=name, line_comments=("//", "#"), block_comment=_C_COMMENT)
