// Colours of the editor, as names: playground.css gives each a light and a dark value.

import { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { EditorView } from "@codemirror/view";
import { tags } from "@lezer/highlight";

const editor = EditorView.theme({
  "&": { height: "100%", color: "var(--code)", backgroundColor: "transparent" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", fontSize: "15px", lineHeight: "1.6" },
  ".cm-content": { padding: "18px 0 40vh", caretColor: "var(--accent)" },
  ".cm-line": { padding: "0 24px 0 10px" },
  ".cm-gutters": { border: "none", color: "var(--faint)", backgroundColor: "transparent" },
  ".cm-lineNumbers .cm-gutterElement": { minWidth: "52px", padding: "0 12px 0 20px" },
  ".cm-activeLine": { backgroundColor: "var(--line)" },
  ".cm-activeLineGutter": { color: "var(--muted)", backgroundColor: "var(--line)" },
  ".cm-cursor": { borderLeft: "2px solid var(--accent)", marginLeft: "-1px" },
  ".cm-selectionBackground, &.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground": {
    backgroundColor: "var(--selection)",
  },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: "var(--selection)", outline: "none" },
  "&.cm-focused .cm-nonmatchingBracket": { color: "var(--error)", backgroundColor: "transparent" },
  ".cm-placeholder": { color: "var(--faint)" },
  ".cm-ghost-text": { color: "var(--ghost)", whiteSpace: "pre" },
});

const code = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword, tags.self], color: "var(--code-keyword)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--code-string)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--code-number)" },
  { tag: tags.comment, color: "var(--code-comment)", fontStyle: "italic" },
  { tag: [tags.function(tags.variableName), tags.function(tags.propertyName)], color: "var(--code-function)" },
  { tag: tags.function(tags.definition(tags.variableName)), color: "var(--code-function)", fontWeight: "600" },
  { tag: [tags.className, tags.definition(tags.className)], color: "var(--code-class)", fontWeight: "600" },
  { tag: tags.meta, color: "var(--code-class)" },
  { tag: [tags.operator, tags.punctuation], color: "var(--code-mark)" },
]);

export const theme = [editor, syntaxHighlighting(code)];
