// The bar under the editor and what a screen reader hears. Knows the page's elements only.

const ANNOUNCE_AFTER_MS = 500; // a reader should hear the completion that stays, not each one in passing

const byId = (id) => document.getElementById(id);
const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

/** Show `state` ("idle", "asking" or "error") and its words. */
export function showState(state, words = state) {
  const element = byId("state");
  element.dataset.state = state;
  element.textContent = words;
  element.title = state === "error" ? words : "";
  if (state === "error") announce(words);
}

/** Show how long the last completion took; the server's own times are in the tooltip. */
export function showTiming({ roundTripMs, prefillMs, decodeMs, numTokens }) {
  const element = byId("round-trip");
  element.textContent = `${Math.round(roundTripMs)} ms`;
  const parts = [`Round trip ${roundTripMs.toFixed(1)} ms`];
  if (prefillMs !== undefined) parts.push(`prefill ${prefillMs.toFixed(1)} ms`);
  if (decodeMs !== undefined) parts.push(`decode ${decodeMs.toFixed(1)} ms`);
  if (numTokens !== undefined) parts.push(plural(numTokens, "token"));
  element.title = parts.join(" · ");
}

const SOURCES = {
  network: "from the model",
  cache: "from the cache",
  typed_as_suggested: "typed as suggested",
  prefetch: "asked ahead",
};

/** Show what the server decided: how much and from where, or why nothing. The request's id leads to its trace. */
export function showDecision({ text, mode, source, probability, dropReason, requestId }) {
  const words = (name) => name.replaceAll("_", " ");
  const parts = [words(mode), SOURCES[source] ?? ""];
  if (!text) parts.push(`nothing: ${words(dropReason) || "no reason given"}`);
  if (probability !== null) parts.push(`${Math.round(probability * 100)} % likely kept`);
  byId("decision").textContent = parts.filter(Boolean).join(" · ");
  const link = byId("trace");
  link.hidden = !requestId;
  link.textContent = requestId.slice(0, 13);
  link.title = `Why: the trace of ${requestId}`;
  if (requestId) link.href = `v1/requests/${encodeURIComponent(requestId)}/trace`;
}

/** Show how many characters were accepted and how many completions were shown. */
export function showCounts(numAcceptedChars, numShown) {
  byId("accepted").textContent = `${plural(numAcceptedChars, "char")} accepted`;
  byId("shown").textContent = `${numShown.toLocaleString("en")} shown`;
}

/** Show which model answers. */
export function showModel(modelId) {
  byId("model").textContent = modelId;
  byId("model").title = modelId;
}

let timer = 0;

/** Have a screen reader say `words`, unless other words follow at once. "" takes back what is waiting. */
export function announce(words) {
  clearTimeout(timer);
  timer = setTimeout(() => {
    byId("announcement").textContent = words;
  }, ANNOUNCE_AFTER_MS);
}
