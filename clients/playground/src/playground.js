// The playground page: joins the editor, its ghost text, the server and the status bar.

import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { pythonLanguage } from "@codemirror/lang-python";
import { bracketMatching, indentOnInput, indentUnit } from "@codemirror/language";
import { EditorState } from "@codemirror/state";
import {
  EditorView,
  drawSelection,
  highlightActiveLine,
  highlightActiveLineGutter,
  keymap,
  lineNumbers,
  placeholder,
} from "@codemirror/view";

import { requestInfill, requestModelId } from "./completer.js";
import { examples } from "./examples.js";
import { ghostText, shownGhostText } from "./ghost_text.js";
import { announce, showCounts, showDecision, showModel, showState, showTiming } from "./status.js";
import { theme } from "./theme.js";

let numShown = 0;
let numAcceptedChars = 0;
let numDocuments = 1;
let isModelKnown = false;
let hasFailed = false;

/** Show the model's name. It stays unknown if the server does not tell; the next completion asks again. */
async function learnModel() {
  try {
    showModel((await requestModelId()) || "no model");
    isModelKnown = true;
    return null;
  } catch (error) {
    showModel("unknown model");
    return error;
  }
}

function fail(error) {
  hasFailed = true;
  showState("error", error.message);
}

const completions = ghostText({
  async complete(question) {
    const completion = await requestInfill({ ...question, documentId: `document-${numDocuments}` });
    hasFailed = false;
    showTiming(completion);
    showDecision(completion);
    if (!isModelKnown) void learnModel(); // the server was down before
    return completion.text;
  },
  onAsked() {
    // While a server is down its error stays in view, rather than flicker with each keystroke.
    if (!hasFailed) showState("asking");
  },
  onSettled() {
    if (!hasFailed) showState("idle");
  },
  onFailed: fail,
  onShown() {
    numShown += 1;
    showCounts(numAcceptedChars, numShown);
  },
  onAccepted(text) {
    numAcceptedChars += text.length;
    showCounts(numAcceptedChars, numShown);
  },
});

/** Tell a screen reader what is offered; typing or accepting a part of it leaves the rest to tell. */
const announceGhostText = EditorView.updateListener.of(({ startState, state }) => {
  const text = shownGhostText(state);
  if (text !== shownGhostText(startState)) announce(text && `Completion: ${text}`);
});

const view = new EditorView({
  parent: document.getElementById("editor"),
  state: EditorState.create({
    extensions: [
      completions,
      announceGhostText,
      lineNumbers(),
      highlightActiveLine(),
      highlightActiveLineGutter(),
      drawSelection(),
      history(),
      pythonLanguage,
      indentUnit.of("    "),
      indentOnInput(),
      bracketMatching(),
      placeholder("Type some Python, or choose an example."),
      EditorView.contentAttributes.of({
        "aria-label": "Python code. Escape and then Tab leaves the editor.",
        autocapitalize: "off",
        autocorrect: "off",
        spellcheck: "false",
      }),
      keymap.of([indentWithTab, ...defaultKeymap, ...historyKeymap]),
      theme,
    ],
  }),
});

function openExample({ text, offset }) {
  numDocuments += 1;
  view.dispatch({
    changes: { from: 0, to: view.state.doc.length, insert: text },
    selection: { anchor: offset },
    scrollIntoView: true,
  });
  view.focus();
}

const menu = document.getElementById("examples");
for (const { title } of examples) menu.add(new Option(title));
menu.addEventListener("change", () => {
  const example = examples[menu.selectedIndex - 1];
  menu.selectedIndex = 0; // so that the same example can be chosen again
  if (example) openExample(example);
});

if (/Mac|iPhone|iPad/.test(navigator.platform)) {
  for (const key of document.querySelectorAll("kbd[data-mac]")) key.textContent = key.dataset.mac;
}

/** For tests and the curious: what the editor holds and what it offers. */
window.paceline = {
  text: () => view.state.doc.toString(),
  ghostText: () => shownGhostText(view.state),
};

view.focus();
void learnModel().then((error) => error && fail(error));
