// Newline-delimited JSON from a stream that is not trusted.

/** What arrived is not what was agreed upon; the message can be shown as it is. */
export class GarbageError extends Error {
  name = "GarbageError";
}

const longest_line = 16 * 1024 * 1024;
const excerpt_length = 60;

/**
 * Yields the value of every line of `stream`, a ReadableStream of bytes.
 *
 * Empty lines are skipped, the last one needs no newline, broken UTF-8 becomes U+FFFD.
 * Throws GarbageError for a line that is no JSON object or is longer than `max_line` characters, and whatever the
 * stream fails with. Leaving the loop early cancels the stream.
 */
export async function* read_ndjson(stream, max_line = longest_line) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let parts = []; // of the line that is not complete yet; joined once, so that a long line costs linear time
  let length = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      const text = done ? decoder.decode() : decoder.decode(value, { stream: true });
      const pieces = text.split("\n");
      for (const [i, piece] of pieces.entries()) {
        parts.push(piece);
        length += piece.length;
        if (length > max_line) throw new GarbageError(`a line is longer than ${max_line} characters`);
        const complete = done || i < pieces.length - 1;
        if (!complete) continue;
        const line = parts.join("").trim();
        parts = [];
        length = 0;
        if (line !== "") yield parse(line);
      }
      if (done) return;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parse(line) {
  let value;
  try {
    value = JSON.parse(line);
  } catch {
    throw new GarbageError(`a line is not JSON: ${excerpt(line)}`);
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new GarbageError(`a line is not an object: ${excerpt(line)}`);
  }
  return value;
}

function excerpt(line) {
  return line.length > excerpt_length ? `${line.slice(0, excerpt_length)}…` : line;
}
