// The two ends of a driver of host/conformance: a case a line comes in, an outcome a line goes out.
import { createInterface } from "node:readline";

/** How long what runs at the input's end is waited for, in ms: nobody takes the answer of a guest that never returns. */
const patience = 2000;

/**
 * Answers each line of the standard input, several at once, until it ends.
 *
 * @param run gives the outcome of a case
 */
export async function serve(run) {
  const running = new Set();
  for await (const line of createInterface({ input: process.stdin })) {
    const one = JSON.parse(line);
    const answer = run(one)
      .catch((error) => ({ id: one.id, answers: [], error: String(error?.stack ?? error) }))
      .then((outcome) => process.stdout.write(`${JSON.stringify(outcome)}\n`))
      .finally(() => running.delete(answer));
    running.add(answer);
  }
  await Promise.race([Promise.all(running), new Promise((resolve) => setTimeout(resolve, patience).unref())]);
}
