"""Reads code from left to right and keeps what is open: blocks, brackets, strings, comments, statements.

It reads text alone, so it is exact where the text before is, whether or not what follows parses.
"""

from __future__ import annotations

import re

import msgspec

from paceline.syntax.frames import (
    LABEL,
    LABEL_START,
    OPENERS,
    START,
    Frame,
    State,
    opens_block,
    width_of,
)
from paceline.syntax.headers import (
    BlockKind,
    continues_statement,
    is_expression,
    kind_of_header,
    shortened,
)
from paceline.syntax.languages import Language
from paceline.syntax.lexemes import (
    REGEX_MAY_FOLLOW,
    closing_of_raw,
    code_pattern,
    comment_pattern,
    string_pattern,
)

MAX_FRAMES = 300
"""Of deeper nesting the outermost is forgotten: such a text is data, or broken."""

_UNFINISHED_END = re.compile(
    r"(?:[,.(\[{=:?|&^~%*/<\\!]|(?<!\+)\+|(?<!-)-|=>|->|\b(?:and|or|not|in|is))$"
)
_CONTINUING_START = re.compile(
    r"[.?:&|=*/%{]|[+-](?![+-])|(?:else|catch|finally|extends|implements|where)\b"
)
_ACCESS_LABEL = re.compile(r"(?:public|private|protected|signals|\w+ slots)\s*:$")
_ONLY_DECORATION = re.compile(r"(?:@[\w.]+(?:\(\))?|#!?\[\]|export\s+default)$")
_GO_HEADER = re.compile(r"\s*(?:\}\s*else\s+)?(?:if|for|switch)\b")
"""In Go a header may hold a statement: `if err := f(); err != nil {`."""
_SPACE = re.compile(r"[ \t\r\f]*")
_ONLY_STRING = re.compile(r"[rRuUbB]{0,2}[\"'`]")
_PYTHON_STATEMENT = re.compile(
    r"(?:def|class|return|import|raise|while|try|with|assert|del|pass|break|continue|global|@\w)(?:\b|:)"
)
_CLOSES = {")": "(", "]": "[", "}": "{"}


FOLLOWING_CHARS = 12
"""Of the next line, to tell whether it goes on with the statement of the line before it."""


def _continues(following: str, is_by_indent: bool) -> bool:
    """Whether the line that begins with `following` goes on with the statement of the line before it."""
    return not is_by_indent and _CONTINUING_START.match(following) is not None


class Reader:
    """Reads pieces of text from a state on. A piece that is not the last should end with a line end."""

    def __init__(self, language: Language, state: State | None = None) -> None:
        state = state or START
        self.language = language
        self.frames = [*state.frames]
        self._num_shared = len(self.frames)
        """Frames at the bottom that still belong to `state`; they are copied before they are changed."""
        self.line_indent, self.is_line_start = state.line_indent, state.is_line_start
        self.is_directive = state.is_directive
        self.is_by_indent = language.block_style == "indent"
        self.depth = self.lowest_depth = sum(frame.opener in OPENERS for frame in self.frames)
        """Open brackets and braces; the fewest since the beginning."""
        self.num_unmatched = 0
        """Closing brackets that had nothing to close."""
        self.following = ""
        """What comes after the text that is read, as far as known; white space before it left out."""
        self._opened: Frame | None = None
        """The block that was opened last."""
        self._begin = 0
        """Where the part of the top frame's statement begins that is not yet in its `text`."""

    @property
    def state(self) -> State:
        """What is open now."""
        self._num_shared = len(self.frames)
        return State(tuple(self.frames), self.line_indent, self.is_line_start, self.is_directive)

    @property
    def top(self) -> Frame:
        """The innermost thing that is open, to be changed."""
        if len(self.frames) <= self._num_shared:
            self._num_shared = len(self.frames) - 1
            self.frames[-1] = msgspec.structs.replace(self.frames[-1])
        return self.frames[-1]

    def read(self, text: str) -> None:
        """Read `text`, on from where it is."""
        self._begin, at = 0, 0
        if self.is_directive:
            at = self._begin = self._end_of_directive(text, 0)
        elif self.is_line_start:
            at = self._begin_line(text, 0, self.line_indent)
        while at < len(text):
            frame = self.frames[-1]
            if frame.is_string:
                at = self._read_string(text, at, frame)
            elif frame.is_comment:
                at = self._read_comment(text, at, frame)
            else:
                at = self._read_code(text, at)
        self._keep(text, len(text))

    # --- what holds after what was read

    def innermost(self) -> Frame:
        """The innermost thing open, a comment at the end of a line left out."""
        return self.frames[-2] if self.frames[-1].opener == "\n" else self.frames[-1]

    def is_header_complete(self) -> bool:
        """Whether the last thing read is a block's header, `if x:` or `while (y) {`, or a label of a switch."""
        frame = self.innermost()
        code = frame.text.strip()
        if not frame.is_block:
            return False
        if self.is_by_indent:
            return code.endswith(":") if self.language.name == "python" else opens_block(code)
        if LABEL.fullmatch(code):
            return frame.kind in ("switch", "case")
        return frame is self._opened and not code and not frame.num_statements

    def header_kind(self) -> BlockKind:
        """The kind of the block whose header was read last (`is_header_complete`)."""
        frame = self.innermost()
        if not self.is_by_indent:
            return "case" if frame.text.strip() else frame.kind
        kind = kind_of_header(frame.text.strip().removesuffix(":"))
        return "other" if kind == "brackets" else kind

    def is_statement_complete(self) -> bool:
        """Whether a statement may end here: nothing is open on it and it is not plainly unfinished."""
        frame = self.innermost()
        if not frame.is_block or self.is_directive or self.is_header_complete():
            return False
        code = frame.text.strip()
        if not code:
            return True
        if _ONLY_DECORATION.fullmatch(code):
            return False
        return self._ends_at_newline(code, self.following)

    # --- strings and comments

    def _read_string(self, text: str, at: int, frame: Frame) -> int:
        for match in string_pattern(self.language, frame.opener).finditer(text, at):
            group = match.lastgroup
            if group is None:
                continue
            if group == "hole":
                self._push(Frame(opener="${", indent=self.line_indent), match.end())
                return match.end()
            self._pop()
            self._begin = match.start() if group == "newline" else match.end()
            self.top.text += '""'
            return self._begin
        return len(text)

    def _read_comment(self, text: str, at: int, frame: Frame) -> int:
        if frame.opener == "\n":
            end = text.find("\n", at)
            if end < 0:
                return len(text)
            self._pop()
            self._begin = end
            self._note_comment()
            return end
        depth = frame.label_statements
        for match in comment_pattern(self.language).finditer(text, at):
            depth += 1 if match.lastgroup == "begin" else -1
            if depth < 0:
                self._pop()
                self._begin = match.end()
                return match.end()
        self.top.label_statements = depth
        return len(text)

    # --- code

    def _read_code(self, text: str, at: int) -> int:
        """Read to the end, or to where a string or comment begins that does not end on its line."""
        search = code_pattern(self.language).search
        while match := search(text, at):
            group, at = match.lastgroup, match.end()
            if group == "newline":
                at = self._end_line(text, match)
            elif group == "open":
                self._open(text, match)
            elif group == "close":
                self._close(text, match)
                if self.frames[-1].is_string:
                    return at
            elif group == "semi":
                self._semicolon(text, match)
            elif group == "line":
                self._comment(text, match)
            elif group == "regex":
                at = at if self._is_regex(text, match.start()) else match.start() + 1
            elif group in ("block", "quote", "raw"):
                self._open_text(text, match, group)
                return at
        return len(text)

    def _is_regex(self, text: str, at: int) -> bool:
        """Whether the slash at `at` begins a regular expression; else it divides."""
        before = text[max(self._begin, at - 40) : at]
        if at - self._begin < 40:
            before = self.frames[-1].text[-40:] + before
        return REGEX_MAY_FOLLOW.search(before) is not None

    def _semicolon(self, text: str, match: re.Match[str]) -> None:
        self._keep(text, match.start())
        frame = self.frames[-1]
        if not frame.is_block or self.is_by_indent:
            return
        if self.language.name != "go" or not _GO_HEADER.match(frame.text):
            self._begin = match.end()
            self._end_statement()

    def _comment(self, text: str, match: re.Match[str]) -> None:
        self._keep(text, match.start())
        self._begin = match.end()
        if match.end() < len(text):
            self._note_comment()
            return
        self._push(Frame(opener="\n", is_comment=True), match.end())

    def _note_comment(self) -> None:
        frame = self.frames[-1]
        if frame.is_block and not frame.num_statements and not frame.text.strip():
            self.top.has_documentation = True

    def _open_text(self, text: str, match: re.Match[str], group: str) -> None:
        self._keep(text, match.start())
        if group == "block":
            self._note_comment()
            self._push(Frame(opener="*", is_comment=True, label_statements=0), match.end())
            return
        opener = match.group() if group == "quote" else closing_of_raw(self.language, match)
        parent = self.frames[-1]
        is_docstring = (
            self.is_by_indent
            and parent.is_block
            and not parent.num_statements
            and len(parent.text.strip()) <= 2
            and (not parent.text.strip() or parent.text.strip().isalpha())
        )
        frame = Frame(
            opener=opener, is_string=True, is_docstring=is_docstring, indent=self.line_indent
        )
        self._push(frame, match.end())

    def _open(self, text: str, match: re.Match[str]) -> None:
        self._keep(text, match.start())
        opener, parent = match.group(), self.frames[-1]
        kind: BlockKind = "brackets"
        if opener == "{" and not self.is_by_indent:
            kind = kind_of_header(parent.text, parent.kind, self.language.name)
        is_body = kind != "brackets" and parent.is_block
        frame = Frame(
            opener=opener,
            kind=kind,
            indent=parent.text_indent if is_body else self.line_indent,
            header=shortened(parent.text),
        )
        self._push(frame, match.end())

    def _close(self, text: str, match: re.Match[str]) -> None:
        """Close the nearest bracket of that kind; a brace closes open parentheses within it too."""
        self._keep(text, match.start())
        self._begin = match.end()
        opener = _CLOSES[match.group()]
        depth = len(self.frames) - 1
        while depth > 0 and self.frames[depth].opener.lstrip("$") != opener:
            if self.frames[depth].opener in ("{", ":") or self.frames[depth].is_string:
                depth = 0
            depth -= 1
        if depth <= 0:
            self.num_unmatched += 1
            return
        closed = self.frames[depth]
        while len(self.frames) > depth:
            self._pop()
        self._begin = match.end()
        if not closed.is_block:
            self.top.text += opener + match.group()
        elif not is_expression(closed.header) and self.frames[-1].is_block:
            self._end_statement()
        else:
            self.top.text += "{}"

    # --- lines and statements

    def _end_line(self, text: str, match: re.Match[str]) -> int:
        """End a line; return where to read on."""
        frame = self.frames[-1]
        if frame.is_block:
            self._keep(text, match.start())
            self._begin = match.start() + 1
            after = text[match.end() : match.end() + FOLLOWING_CHARS] + self.following
            self._end_statement_at_newline(after[:FOLLOWING_CHARS])
        return self._begin_line(text, match.start() + 1)

    def _end_statement_at_newline(self, following: str) -> None:
        frame = self.frames[-1]
        code = frame.text.strip()
        if not code:
            self.top.text = ""
        elif self.is_by_indent:
            self._end_indented_line(code)
        elif LABEL.fullmatch(code) and frame.kind in ("switch", "case"):
            self._end_label()
        elif _ACCESS_LABEL.fullmatch(code):
            self.top.text = ""
        elif self._ends_at_newline(code, following):
            self._end_statement()

    def _ends_at_newline(self, code: str, following: str) -> bool:
        """Whether a line end ends the statement `code`, given what begins the next line."""
        if self.language.ends_statement_at_newline or self.is_by_indent:
            is_open = _UNFINISHED_END.search(code[-12:]) and not (
                self.is_by_indent and code.endswith(".")
            )
            return not is_open and not _continues(following, self.is_by_indent)
        return self.frames[-1].kind == "switch" and code.endswith(",")

    def _end_label(self) -> None:
        frame = self.top
        frame.text = ""
        frame.num_statements += 1
        frame.label_statements = frame.num_statements

    def _end_indented_line(self, code: str) -> None:
        is_python = self.language.name == "python"
        if not self.language.is_code or (is_python and not code.endswith(":")):
            self._end_statement()
            return
        frame = self.frames[-1]
        kind = kind_of_header(code[:-1] if code.endswith(":") else code, "module")
        opens = code.endswith(":") if self.language.name != "ruby" else False
        if not continues_statement(code):
            self.top.num_statements += 1
        self.top.text = ""
        if opens or self.language.name != "python":
            kind = "other" if kind == "brackets" else kind
            self._push(
                Frame(opener=":", kind=kind, indent=frame.text_indent, header=shortened(code)),
                self._begin,
            )

    def _end_statement(self) -> None:
        frame = self.top
        code = frame.text.strip()
        frame.text = ""
        if not code or _ONLY_DECORATION.fullmatch(code):
            frame.text = code and code + " "
        elif self.is_by_indent and not frame.num_statements and _ONLY_STRING.match(code):
            frame.has_documentation = True
        elif not continues_statement(code):
            if frame.kind == "switch" and LABEL_START.match(code):
                frame.label_statements = frame.num_statements
            frame.num_statements += 1

    def _begin_line(self, text: str, begin: int, indent: int = 0) -> int:
        """Note the indentation of a line, unless nothing stands on it yet; return where to read on.

        Args:
            indent: width of white space that was read of this line before `text`.
        """
        frame = self.frames[-1]
        if frame.is_string or frame.is_comment:
            self.is_line_start = False
            return begin
        space = _SPACE.match(text, begin)
        at = space.end() if space else begin
        indent += width_of(text[begin:at].strip("\r\f"))
        self.is_line_start = at == len(text)
        if self.is_line_start or text[at] == "\n":
            self.line_indent = indent
            return at
        self.line_indent = indent
        if self.is_by_indent:
            self._dedent(text, at)
        elif text[at] in ")]}":
            self._drop_unclosed(text[at])
        elif text[at] == "#" and self.language.has_directives:
            return self._directive(text, at)
        self._note_indent(text, at)
        return at

    def _note_indent(self, text: str, at: int) -> None:
        frame = self.frames[-1]
        if not frame.is_block:
            return
        is_deeper = self.line_indent > frame.indent or not frame.opener
        if frame.body_indent < 0 and is_deeper and text[at] not in ")]}":
            self.top.body_indent = self.line_indent
        if not frame.text.strip():
            self._begin = at
            if frame.text_indent != self.line_indent:
                self.top.text_indent = self.line_indent

    def _dedent(self, text: str, at: int) -> None:
        """Close the blocks that the line at `at` is not indented below."""
        if self.frames[-1].opener in ("(", "[", "{"):
            if self.language.name != "python" or not _PYTHON_STATEMENT.match(text, at):
                return
            while (
                self.frames[-1].opener in ("(", "[", "{")
                and self.frames[-1].indent >= self.line_indent
            ):
                self._pop()
                self.top.text = ""
            if self.frames[-1].opener in ("(", "[", "{"):
                return
        if any(text.startswith(mark, at) for mark in self.language.line_comments):
            return
        while self.frames[-1].opener == ":" and self.frames[-1].indent >= self.line_indent:
            self._pop()
        self._begin = at

    def _drop_unclosed(self, closer: str) -> None:
        """A closing brace below its block's header closes that block: deeper ones were left open."""
        while (
            closer == "}"
            and len(self.frames) > 2
            and self.frames[-1].indent > self.line_indent
            and any(
                frame.opener == "{" and frame.indent == self.line_indent
                for frame in self.frames[1:-1]
            )
        ):
            self._pop()

    def _directive(self, text: str, at: int) -> int:
        """Skip a line for the preprocessor, with those it goes on over."""
        self._keep(text, at)
        self._begin = self._end_of_directive(text, at)
        frame = self.frames[-1]
        if frame.is_block and not frame.text.strip():
            self.top.num_statements += 1
        return self._begin

    def _end_of_directive(self, text: str, at: int) -> int:
        end = at
        while (end := text.find("\n", end)) >= 0 and text[end - 1 : end] == "\\":
            end += 1
        self.is_directive = end < 0 and text.removesuffix("\n").endswith("\\")
        return len(text) if end < 0 else end

    # --- frames

    def _keep(self, text: str, end: int) -> None:
        """Move what was read of the top frame's statement into the frame."""
        frame = self.frames[-1]
        if self._begin < end and not (frame.is_string or frame.is_comment):
            self.top.text = shortened(frame.text + text[self._begin : end])
        self._begin = end

    def _push(self, frame: Frame, begin: int) -> None:
        if len(self.frames) > MAX_FRAMES:
            del self.frames[1]
            self._num_shared = max(self._num_shared - 1, 0)
        self.frames.append(frame)
        self._begin = begin
        if frame.opener in OPENERS:
            self.depth += 1
        if frame.is_block:
            self._opened = frame

    def _pop(self) -> None:
        frame = self.frames.pop()
        self._num_shared = min(self._num_shared, len(self.frames))
        if frame.opener in OPENERS:
            self.depth -= 1
            self.lowest_depth = min(self.lowest_depth, self.depth)
