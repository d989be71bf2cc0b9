// The playground's two questions to the server. Knows HTTP; knows nothing of the editor.
// Addresses are relative, so the page also works under a path behind a proxy.

const FILENAME = "playground.py"; // says the language; no such file needs to exist
const NO_ANSWER = "The server does not answer; is it still running? The next keystroke asks again.";

/** A failure whose message is a sentence for the user. */
export class ServerError extends Error {}

async function ask(address, init) {
  let response;
  try {
    response = await fetch(address, init);
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ServerError(NO_ANSWER, { cause: error });
  }
  let body = null;
  try {
    body = await response.json();
  } catch (error) {
    if (init.signal?.aborted) throw error;
  }
  if (!response.ok) throw new ServerError(body?.error?.message ?? `The server answered with status ${response.status}.`);
  if (body === null) throw new ServerError("The server's answer broke off or is not JSON. The next keystroke asks again.");
  return body;
}

/** A name that no other page has: the server supersedes older requests of the same session and document. */
function drawSessionId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12)); // randomUUID is missing on plain HTTP
  return `playground-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

const sessionId = drawSessionId();

/**
 * Ask for the text between `prefix` and `suffix`, in llama.cpp's dialect with Paceline's own fields.
 *
 * What to show, how much of it and whether at all is the server's decision; `isInvoked` tells that the user asked by hand.
 * `roundTripMs` is measured here, from asking to the last byte; the rest is the server's word, if it tells it.
 */
export async function requestInfill({ prefix, suffix, isInvoked, documentId, signal }) {
  const startMs = performance.now();
  const answer = await ask("infill", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      input_prefix: prefix,
      input_suffix: suffix,
      filename: FILENAME,
      session_id: sessionId,
      document_id: documentId,
      trigger: isInvoked ? "invoked" : "automatic",
    }),
    signal,
  });
  const note = answer.paceline;
  return {
    text: answer.content ?? "",
    requestId: note?.request_id ?? "",
    mode: note?.mode ?? "",
    source: note?.source ?? "",
    probability: note?.probability ?? null,
    dropReason: note?.drop_reason ?? "",
    roundTripMs: performance.now() - startMs,
    numTokens: answer.tokens_predicted,
    prefillMs: answer.timings?.prompt_ms,
    decodeMs: answer.timings?.predicted_ms,
  };
}

/** The id of the model that answers. */
export async function requestModelId() {
  const answer = await ask("v1/models", { method: "GET" });
  return answer.data?.[0]?.id ?? "";
}
