// Runs the checks of one client, as ../python/checks.py does: `run` takes them by name, and each outcome is one line of
// JSON on standard output.
import assert from "node:assert/strict";

export const SERVER = process.env.HEARTH_URL;
export const ENCODER = process.env.HEARTH_ENCODER ?? "";
export const MODEL = "scripted";
export const CONTEXT = 16384;
export const HELLO = "Hello there!";
export const FINE = "The weather is fine.";
export const THOUGHT = "I should greet.";
export const HI = [{ role: "user", content: "hi" }];
export const ENDLESS = [{ role: "user", content: "something endless" }];
export const CITY = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
export const equal = (found, expected) => assert.deepStrictEqual(found, expected);
export const ok = assert.ok;

class Skipped extends Error {}

/** The name of the model that makes vectors. */
export function encoder() {
  if (!ENCODER) throw new Skipped("no encoder model");
  return ENCODER;
}

/** `work` has to throw an error with all these words in its text, case aside; gives the error. */
export async function refused(work, ...words) {
  let answer;
  try {
    answer = await work();
  } catch (error) {
    for (const word of words)
      ok(String(error).toLowerCase().includes(word), `expected '${word}' in ${error}`);
    return error;
  }
  throw new assert.AssertionError({ message: `expected an error, found ${JSON.stringify(answer)}` });
}

/** Requests under way, this one aside. */
async function running() {
  const text = await (await fetch(`${SERVER}/metrics`)).text();
  const found = text.match(/^hearth_requests_in_flight (\d+)/m);
  ok(found, `expected hearth_requests_in_flight in /metrics, found ${text.slice(0, 300)}`);
  return Number(found[1]) - 1;
}

/** An answer is under way; without this, that the slot is free later would say nothing. */
export async function slotIsTaken() {
  equal(await running(), 1);
}

/** Waits until nothing runs. */
export async function slotIsFree(milliseconds = 1500) {
  const end = Date.now() + milliseconds;
  for (;;) {
    const left = await running();
    if (left <= 0) return;
    ok(Date.now() < end, `expected the slot to be free, found ${left} requests running`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

function describe(error) {
  const here = new URL(".", import.meta.url).href;
  const own = (line) => line.includes(here) && !/checks\.mjs|node_modules/.test(line);
  const frames = (error.stack ?? "").split("\n").filter(own);
  const where = frames.length ? `${frames[0].trim().replace(here, "")}: ` : "";
  return `${where}${error.name}: ${String(error.message).slice(0, 1500)}`;
}

/** Runs the checks whose names begin with one of the arguments, or all. */
export async function run(checks) {
  const wanted = process.argv.slice(2);
  let failures = 0;
  for (const [check, work] of Object.entries(checks)) {
    if (wanted.length && !wanted.some((start) => check.startsWith(start))) continue;
    const begin = Date.now() / 1000;
    let [outcome, why] = ["passed", ""];
    try {
      await work();
    } catch (error) {
      [outcome, why] = error instanceof Skipped ? ["skipped", error.message] : ["failed", describe(error)];
      failures += outcome === "failed";
    }
    console.log(JSON.stringify({ check, outcome, why, begin, end: Date.now() / 1000 }));
  }
  process.exit(failures > 0 ? 1 : 0);
}
