// The ollama package.
import { Ollama } from "ollama";
import { z } from "zod";
import {
  CITY,
  CONTEXT,
  ENDLESS,
  FINE,
  HELLO,
  HI,
  MODEL,
  SERVER,
  THOUGHT,
  encoder,
  equal,
  ok,
  refused,
  run,
  slotIsFree,
  slotIsTaken,
} from "./checks.mjs";

const client = new Ollama({ host: SERVER });
const hi = { model: MODEL, messages: HI };
const tools = [
  { type: "function", function: { name: "get_weather", description: "The weather", parameters: CITY } },
];

async function last(stream) {
  let text = "";
  let frame;
  for await (frame of stream) text += frame.message?.content ?? frame.response ?? "";
  return [text, frame.done, frame.done_reason];
}

await run({
  async c080_chat() {
    const answer = await client.chat(hi);
    equal([answer.message.content, answer.done_reason], [HELLO, "stop"]);
  },
  async c104_streams_end() {
    equal(await last(await client.chat({ ...hi, stream: true })), [HELLO, true, "stop"]);
    const stopped = { ...hi, stream: true, options: { stop: [" there"] } };
    equal(await last(await client.chat(stopped)), ["Hello", true, "stop"]);
    const limited = { model: MODEL, messages: ENDLESS, stream: true, options: { num_predict: 3 } };
    equal((await last(await client.chat(limited))).slice(1), [true, "length"]);
    equal(await last(await client.generate({ model: MODEL, prompt: "hi", stream: true })), [
      HELLO,
      true,
      "stop",
    ]);
  },
  async c105_names() {
    await client.copy({ source: MODEL, destination: "from-js" });
    await client.delete({ model: "from-js" });
    await refused(() => client.delete({ model: "from-js" }), "from-js");
    await refused(() => client.pull({ model: "127.0.0.1:1/library/none", insecure: true }));
  },
  async c106_version() {
    const { version } = await client.version();
    ok(/^\d+\.\d+\.\d+$/.test(version), version);
  },
  async c082_zod_schema() {
    const format = z.toJSONSchema(z.object({ city: z.string() }));
    equal(JSON.parse((await client.chat({ ...hi, format })).message.content), { city: "Oslo" });
  },
  async c083_tool_loop() {
    const { message } = await client.chat({ ...hi, tools });
    equal(message.tool_calls[0].function.arguments, { city: "Oslo" });
    const messages = [...HI, message, { role: "tool", content: "sunny", tool_name: "get_weather" }];
    equal((await client.chat({ model: MODEL, messages, tools })).message.content, FINE);
  },
  async c086_think() {
    const { message } = await client.chat({ ...hi, think: true });
    equal([message.thinking, message.content], [THOUGHT, HELLO]);
  },
  async c094_embed() {
    equal((await client.embed({ model: encoder(), input: ["red", "green"] })).embeddings.length, 2);
  },
  async c095_c097_list_and_show() {
    const { models } = await client.list();
    ok(models.some((model) => model.name.split(":")[0] === MODEL));
    const shown = await client.show({ model: MODEL });
    equal([...shown.capabilities].sort(), ["completion", "thinking", "tools"]);
    ok(shown.model_info["llama.context_length"] === CONTEXT);
  },
  async c102_unknown_model() {
    const error = await refused(() => client.chat({ ...hi, model: "no-such-model" }), "no-such-model");
    equal(error.status_code, 404);
  },
  async c107_abort_frees_the_slot() {
    const stream = await client.chat({ model: MODEL, messages: ENDLESS, stream: true });
    let taken = false;
    await refused(async () => {
      for await (const _ of stream) {
        if (taken) continue;
        await slotIsTaken();
        taken = true;
        stream.abort();
      }
    }, "abort");
    await slotIsFree();
    equal((await client.chat(hi)).message.content, HELLO);
  },
  async c108_leaving_the_loop() {
    for await (const _ of await client.chat({
      model: MODEL,
      messages: ENDLESS,
      stream: true,
      options: { num_predict: 2000 },
    }))
      break;
    equal((await client.chat(hi)).message.content, HELLO);
    // This package reads on; the answer ends at its limit.
    await slotIsFree(60_000);
  },
});
