// Server-sent events through fetch: the browser's EventSource can't send a header, and so no token.

export interface ServerEvent {
  name: string; // "message" where it has none
  id: string; // the last one given
  data: string;
}

/** Reads a stream's events, until it ends. An event that is cut off isn't one (HTML standard, section 9.2.6). */
export async function* events(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent> {
  const reader = body.pipeThrough(new TextDecoderStream() as unknown as TransformStream<Uint8Array, string>).getReader();
  let text = "";
  let event = { name: "", id: "", data: [] as string[] };
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += value;
      const lines = text.split(/\r\n|\n|\r(?!$)/); // a CR at the end may be half of a line's end
      text = lines.pop()!;
      for (const line of lines) {
        if (line !== "") {
          take(event, line);
          continue;
        }
        if (event.data.length > 0) yield { name: event.name || "message", id: event.id, data: event.data.join("\n") };
        event = { name: "", id: event.id, data: [] };
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

function take(event: { name: string; id: string; data: string[] }, line: string): void {
  const [, field = "", value = ""] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
  if (field === "event") event.name = value;
  else if (field === "id") event.id = value;
  else if (field === "data") event.data.push(value);
}
