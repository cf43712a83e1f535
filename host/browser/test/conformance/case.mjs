// Runs one case of host/conformance (README.md there has its keys) on a host's `load`; in a page as in Node.

/**
 * @param load the package's `load`
 * @param one the case: a line of a driver's input, parsed
 * @param mode how guests run: load's option
 * @returns the outcome: a line of a driver's output, not yet written as JSON
 */
export async function runCase(load, one, mode) {
  const { private: addresses, hosts, ceilings, defaults } = one.operator ?? {};
  const operator = { private: addresses, hosts, ceilings, defaults }; // secrets are nothing for these hosts
  let plugin;
  try {
    plugin = await load(bytes(one.wasm), one.manifest, { mode, operator });
  } catch (error) {
    if (typeof error?.code !== "string") throw error;
    return { id: one.id, refused: { code: error.code, message: error.message }, answers: [] };
  }
  try {
    const answers = [];
    for (const request of one.requests) {
      const answer = invoke(plugin, request);
      answers.push(one.concurrent ? answer : await answer);
    }
    return { id: one.id, refused: null, answers: await Promise.all(answers) };
  } finally {
    await plugin.close();
  }
}

async function invoke(plugin, request) {
  const caller = new AbortController();
  if (request.abort_at) {
    // The upstream answers this when the time has come. An invocation that ends before leaves it unanswered.
    fetch(request.abort_at, { signal: caller.signal }).then(() => caller.abort(), () => {});
  }
  const init = { method: request.method, headers: request.headers, signal: caller.signal };
  if (request.pieces) Object.assign(init, { body: stream(request.pieces.map(bytes)), duplex: "half" });
  else if (request.body) init.body = bytes(request.body);
  const before = plugin.lastReport;
  let response;
  try {
    response = await plugin.fetch(new Request(request.url, init));
  } catch (error) {
    if (!caller.signal.aborted) throw error;
    return { aborted: true, headers: [], body: "", report: await newer(plugin, before) };
  }
  const { body, cut } = await drain(response);
  const report = await plugin.reportOf(response);
  if (request.abort_at) caller.abort();
  return { status: response.status, headers: [...response.headers], body: base64(body), cut, report };
}

/** Reads a body to its end, or to where it breaks off. */
async function drain(response) {
  const pieces = [];
  let cut = false;
  try {
    const reader = response.body?.getReader();
    for (let next = await reader?.read(); next && !next.done; next = await reader.read()) pieces.push(next.value);
  } catch {
    cut = true;
  }
  const body = new Uint8Array(pieces.reduce((n, piece) => n + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    body.set(piece, at);
    at += piece.length;
  }
  return { body, cut };
}

/** The report of an invocation that nobody waits for any more; it is there soon after. */
async function newer(plugin, before) {
  for (let tries = 0; plugin.lastReport === before && tries < 200; tries++) await new Promise((done) => setTimeout(done, 10));
  return plugin.lastReport;
}

function stream(pieces) {
  let next = 0;
  return new ReadableStream({
    pull(controller) {
      if (next < pieces.length) controller.enqueue(pieces[next++]);
      else controller.close();
    },
  }, { highWaterMark: 0 });
}

function bytes(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

function base64(data) {
  let text = "";
  for (const byte of data) text += String.fromCharCode(byte);
  return btoa(text);
}
