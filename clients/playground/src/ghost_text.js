// Ghost text for CodeMirror 6: shows a completion at the cursor and decides when to ask for one.
// Knows the editor; knows nothing of HTTP or of the page around it.
//
// - Every edit asks, and cancels the request before it; whether to wait or to show anything is the server's decision.
// - Ctrl-Space and Alt-\ ask by hand.
// - Typing what the ghost text says only uses it up; nothing is asked until nothing is left of it.
// - An answer is shown only if neither the text nor the cursor has changed since it was asked for.
//
// Offsets are CodeMirror's own: UTF-16 code units from the start of the document.

import { Prec, StateEffect, StateField } from "@codemirror/state";
import { Decoration, EditorView, ViewPlugin, WidgetType, keymap } from "@codemirror/view";

// Leading space, then one run of word characters or one run of punctuation.
const NEXT_WORD = /^\s*(?:[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]+)?/u;

/** @type {import("@codemirror/state").StateEffectType<{text: string, offset: number} | null>} */
const setGhost = StateEffect.define();

const ghostField = StateField.define({
  create: () => null,
  update(ghost, transaction) {
    for (const effect of transaction.effects) {
      if (effect.is(setGhost)) return effect.value;
    }
    if (!ghost) return null;
    if (transaction.docChanged) return typedThrough(ghost, transaction);
    return transaction.selection ? null : ghost;
  },
  provide: (field) => EditorView.decorations.from(field, decorate),
});

/** What is left of `ghost` after an edit: null unless the edit typed the beginning of it, at the cursor. */
function typedThrough(ghost, transaction) {
  let typed = "";
  let isElsewhere = false;
  transaction.changes.iterChanges((fromOffset, toOffset, _fromNew, _toNew, inserted) => {
    if (fromOffset !== ghost.offset || toOffset !== ghost.offset || typed) isElsewhere = true;
    typed += inserted.toString();
  });
  const offset = ghost.offset + typed.length;
  const { main } = transaction.newSelection;
  if (isElsewhere || !ghost.text.startsWith(typed) || !main.empty || main.head !== offset) return null;
  const text = ghost.text.slice(typed.length);
  return text ? { text, offset } : null;
}

class GhostWidget extends WidgetType {
  constructor(text) {
    super();
    this.text = text;
  }

  eq(other) {
    return other.text === this.text;
  }

  get lineBreaks() {
    return this.text.split("\n").length - 1;
  }

  toDOM() {
    const element = document.createElement("span");
    element.className = "cm-ghost-text";
    element.setAttribute("aria-hidden", "true"); // the page announces it instead
    element.textContent = this.text;
    return element;
  }

  // Reusing the element is what keeps type-through free of flicker.
  updateDOM(element) {
    element.textContent = this.text;
    return true;
  }

  ignoreEvent() {
    return false;
  }
}

function decorate(ghost) {
  if (!ghost) return Decoration.none;
  const widget = Decoration.widget({ widget: new GhostWidget(ghost.text), side: 1 });
  return Decoration.set([widget.range(ghost.offset)]);
}

/** Asks for completions: at most one request is in flight, always for the text on screen. */
class Asker {
  constructor(view, options) {
    this.view = view;
    this.options = options;
    this.controller = null;
  }

  update(update) {
    if (!update.docChanged && !update.selectionSet) return;
    this.cancel();
    if (update.docChanged && !update.state.field(ghostField)) this.ask();
  }

  destroy() {
    this.cancel();
  }

  /** Forget the request in flight. Returns whether there was one. */
  cancel() {
    if (!this.controller) return false;
    this.controller.abort();
    this.controller = null;
    this.options.onSettled();
    return true;
  }

  ask({ isInvoked = false } = {}) {
    this.cancel();
    const { state } = this.view;
    const { ranges, main } = state.selection;
    const text = state.sliceDoc();
    if (ranges.length > 1 || !main.empty || !text.trim()) return;
    this.controller = new AbortController();
    void this.show({ prefix: text.slice(0, main.head), suffix: text.slice(main.head), isInvoked }, this.controller);
  }

  async show(question, controller) {
    const { doc } = this.view.state;
    let completion = "";
    this.options.onAsked();
    try {
      completion = await this.options.complete({ ...question, signal: controller.signal });
    } catch (error) {
      if (!controller.signal.aborted) {
        this.controller = null;
        this.options.onFailed(error);
      }
      return;
    }
    if (controller.signal.aborted) return;
    this.controller = null;
    this.options.onSettled();
    const { state } = this.view;
    const offset = question.prefix.length;
    if (state.doc !== doc || state.selection.main.head !== offset) return;
    const text = completion.replace(/\r\n?/g, "\n"); // as the document will hold it
    const ghost = text ? { text, offset } : null;
    this.view.dispatch({ effects: setGhost.of(ghost) });
    if (ghost) this.options.onShown(text);
  }
}

/** Insert the first `numChars` of the ghost text; the rest stays shown. */
function accept(view, options, numCharsOf) {
  const ghost = view.state.field(ghostField);
  if (!ghost) return false;
  const numChars = numCharsOf(ghost.text);
  const accepted = ghost.text.slice(0, numChars);
  const rest = ghost.text.slice(numChars);
  const offset = ghost.offset + numChars;
  view.dispatch({
    changes: { from: ghost.offset, insert: accepted },
    selection: { anchor: offset },
    effects: setGhost.of(rest ? { text: rest, offset } : null),
    userEvent: "input.complete",
    scrollIntoView: true,
  });
  options.onAccepted(accepted);
  return true;
}

/**
 * The extension.
 *
 * `options.complete({ prefix, suffix, isInvoked, signal })` resolves to the completion ("" for none) and rejects on failure.
 * `onAsked`, `onSettled` (answered or cancelled), `onFailed(error)`, `onShown(text)`, `onAccepted(text)` report
 * what happened; accepting word by word reports each word.
 */
export function ghostText(options) {
  const asker = ViewPlugin.define((view) => new Asker(view, options));
  const dismiss = (view) => {
    const isCancelled = view.plugin(asker).cancel();
    if (!view.state.field(ghostField)) return isCancelled;
    view.dispatch({ effects: setGhost.of(null) });
    return true;
  };
  const keys = [
    { key: "Tab", run: (view) => accept(view, options, (text) => text.length) },
    { key: "Mod-ArrowRight", run: (view) => accept(view, options, (text) => NEXT_WORD.exec(text)[0].length) },
    { key: "Escape", run: dismiss },
  ];
  // Not in the keymap, because that ignores Alt with a character on macOS, where it types another character.
  const invoke = EditorView.domEventHandlers({
    keydown(event, view) {
      const isBackslash = event.code === "Backslash" || event.key === "\\";
      const isAlone = event.altKey !== event.ctrlKey && !event.metaKey;
      if (!isAlone || !(event.altKey ? isBackslash : event.code === "Space")) return false;
      event.preventDefault();
      view.plugin(asker).ask({ isInvoked: true });
      return true;
    },
  });
  return [ghostField, asker, Prec.highest(keymap.of(keys)), Prec.highest(invoke)];
}

/** The ghost text on screen, "" if there is none. */
export function shownGhostText(state) {
  return state.field(ghostField)?.text ?? "";
}
