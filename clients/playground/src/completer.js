// The playground's two questions to the server. Knows HTTP; knows nothing of the editor.
// Addresses are relative, so the page also works under a path behind a proxy.

const MAX_NEW_TOKENS = 48;
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

/** How much to ask for: the rest of a block on its first, still empty line; elsewhere the rest of the line. */
function modeAt(prefix, suffix) {
  const isBlankAndIndented = /\n[ \t]+$/.test(prefix) && /^[ \t]*(?:\n|$)/.test(suffix);
  return isBlankAndIndented ? "block_body" : "single_line";
}

/**
 * Ask for the text between `prefix` and `suffix`, in llama.cpp's dialect; `mode` is Paceline's own field in it.
 *
 * `roundTripMs` is measured here, from asking to the last byte; the other times are the server's, if it tells them.
 */
export async function requestInfill(prefix, suffix, signal) {
  const startMs = performance.now();
  const answer = await ask("infill", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({
      input_prefix: prefix,
      input_suffix: suffix,
      prompt: "",
      n_predict: MAX_NEW_TOKENS,
      temperature: 0,
      stream: false,
      mode: modeAt(prefix, suffix),
    }),
    signal,
  });
  return {
    text: answer.content ?? "",
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
