// The openai package.
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import {
  CITY,
  ENDLESS,
  FINE,
  HELLO,
  HI,
  MODEL,
  SERVER,
  encoder,
  equal,
  ok,
  refused,
  run,
  slotIsFree,
  slotIsTaken,
} from "./checks.mjs";

const client = new OpenAI({ baseURL: `${SERVER}/v1`, apiKey: "any", maxRetries: 0, timeout: 60_000 });
const chat = client.chat.completions;
const hi = { model: MODEL, messages: HI };

function weather(asked) {
  const get_weather = (given) => {
    asked.push(given.city);
    return `sunny in ${given.city}`;
  };
  return {
    type: "function",
    function: { name: "get_weather", parameters: CITY, parse: JSON.parse, function: get_weather },
  };
}

await run({
  async c028_create_returns_text() {
    const answer = await chat.create(hi);
    equal([answer.choices[0].message.content, answer.choices[0].finish_reason], [HELLO, "stop"]);
    ok(answer.usage.total_tokens > 0);
  },
  async c027_models_list() {
    const ids = [];
    for await (const model of client.models.list()) ids.push(model.id.split(":")[0]);
    ok(ids.includes(MODEL), `found ${ids}`);
  },
  async c051_embeddings() {
    const answer = await client.embeddings.create({ model: encoder(), input: ["red", "green"] });
    equal(answer.data.length, 2);
    ok(answer.data[0].embedding.length > 0);
  },
  async c052_zod_schema() {
    const format = zodResponseFormat(z.object({ city: z.string() }), "weather");
    const answer = await chat.parse({ ...hi, response_format: format });
    equal(answer.choices[0].message.parsed, { city: "Oslo" });
  },
  async c053_run_tools() {
    const asked = [];
    equal(await chat.runTools({ ...hi, tools: [weather(asked)] }).finalContent(), FINE);
    equal(asked, ["Oslo"]);
  },
  async c054_run_tools_streams() {
    const asked = [];
    equal(await chat.runTools({ ...hi, tools: [weather(asked)], stream: true }).finalContent(), FINE);
    equal(asked, ["Oslo"]);
  },
  async c055_stream_helper() {
    const stream = chat.stream(hi);
    equal(await stream.finalContent(), HELLO);
    equal((await stream.finalMessage()).role, "assistant");
  },
  async c056_streamed_calls() {
    const tools = [{ type: "function", function: { name: "get_weather", parameters: CITY } }];
    const calls = [];
    for await (const chunk of await chat.create({ ...hi, tools, stream: true })) {
      calls.push(...(chunk.choices[0]?.delta.tool_calls ?? []));
    }
    equal([calls[0].type, calls[0].index, calls[0].function.name], ["function", 0, "get_weather"]);
    equal(JSON.parse(calls.map((call) => call.function.arguments ?? "").join("")), { city: "Oslo" });
  },
  async c057_responses_stream() {
    const stream = client.responses.stream({ model: MODEL, input: "hi" });
    equal((await stream.finalResponse()).output_text, HELLO);
    equal((await client.responses.create({ model: MODEL, input: "hi" })).output_text, HELLO);
  },
  async c058_abort_frees_the_slot() {
    const stream = await chat.create({ model: MODEL, messages: ENDLESS, stream: true });
    for await (const _ of stream) {
      await slotIsTaken();
      stream.controller.abort();
      break;
    }
    await slotIsFree();
    for await (const _ of await chat.create({ model: MODEL, messages: ENDLESS, stream: true })) {
      await slotIsTaken();
      break;
    }
    await slotIsFree();
    equal((await chat.create(hi)).choices[0].message.content, HELLO);
  },
  async c059_preflight() {
    const names =
      "authorization,content-type,dangerously-allow-browser,x-stainless-lang,x-stainless-retry-count";
    const headers = {
      Origin: "http://localhost:3000",
      "Access-Control-Request-Method": "POST",
      "Access-Control-Request-Headers": names,
    };
    const answer = await fetch(`${SERVER}/v1/chat/completions`, { method: "OPTIONS", headers });
    ok(answer.ok, `status ${answer.status}`);
    equal(answer.headers.get("access-control-allow-origin"), "http://localhost:3000");
    const allowed = (answer.headers.get("access-control-allow-headers") ?? "").toLowerCase().split(/,\s*/);
    equal(
      names.split(",").filter((name) => !allowed.includes(name)),
      [],
    );
  },
  async c042_length() {
    const answer = await chat.create({ model: MODEL, messages: ENDLESS, max_tokens: 5 });
    equal([answer.choices[0].finish_reason, answer.usage.completion_tokens], ["length", 5]);
  },
  async c043_unknown_model() {
    const error = await refused(() => chat.create({ ...hi, model: "no-such-model" }), "no-such-model");
    equal([error.status, error.code], [404, "model_not_found"]);
  },
});
