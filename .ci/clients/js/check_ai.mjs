// The ai package with @ai-sdk/openai-compatible.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import {
  FINE,
  HELLO,
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

globalThis.AI_SDK_LOG_WARNINGS = false;
const settings = { name: "hearth", baseURL: `${SERVER}/v1`, includeUsage: true };
const provider = createOpenAICompatible(settings);
const structured = createOpenAICompatible({ ...settings, supportsStructuredOutputs: true });
const hi = { model: provider(MODEL), prompt: "hi", maxRetries: 0 };
const city = z.object({ city: z.string() });
const tools = {
  get_weather: tool({
    description: "The weather",
    inputSchema: city,
    execute: async (given) => `sunny in ${given.city}`,
  }),
};

await run({
  async c150_generate_text() {
    const { text, finishReason, usage } = await generateText(hi);
    equal([text, finishReason], [HELLO, "stop"]);
    ok(usage.inputTokens > 0 && usage.outputTokens > 0);
  },
  async c150_stream_text() {
    const result = streamText(hi);
    let text = "";
    for await (const part of result.textStream) text += part;
    equal([text, await result.finishReason], [HELLO, "stop"]);
    ok((await result.usage).totalTokens > 0);
  },
  async c150_tools_in_two_steps() {
    for (const work of [generateText, async (options) => streamText(options)]) {
      const result = await work({ ...hi, tools, stopWhen: stepCountIs(3) });
      equal(await result.text, FINE);
      const steps = await result.steps;
      equal(steps[0].toolResults[0].output, "sunny in Oslo");
    }
  },
  async c150_tool_required() {
    const { toolCalls } = await generateText({
      ...hi,
      tools: { get_weather: tool({ inputSchema: city }) },
      toolChoice: "required",
    });
    equal(
      toolCalls.map((call) => [call.toolName, call.input]),
      [["get_weather", { city: "Oslo" }]],
    );
  },
  async c151_generate_object() {
    for (const model of [provider(MODEL), structured(MODEL)]) {
      const { object } = await generateObject({ ...hi, model, schema: city });
      equal(object, { city: "Oslo" });
    }
  },
  async c152_reasoning() {
    const providerOptions = { hearth: { reasoningEffort: "high" } };
    const { text, reasoningText } = await generateText({ ...hi, providerOptions });
    equal([text, reasoningText], [HELLO, THOUGHT]);
    const result = streamText({ ...hi, providerOptions });
    const kinds = [];
    for await (const part of result.fullStream) kinds.push(part.type);
    ok(kinds.includes("reasoning-delta"), kinds.join());
  },
  async c155_embed_many() {
    const { embeddings } = await embedMany({
      model: provider.embeddingModel(encoder()),
      values: ["red", "green"],
    });
    equal([embeddings.length, embeddings[0].length > 0], [2, true]);
  },
  async c158_unknown_model() {
    const error = await refused(
      () => generateText({ ...hi, model: provider("no-such-model") }),
      "no-such-model",
    );
    equal(error.statusCode, 404);
  },
  async c159_abort_frees_the_slot() {
    const control = new AbortController();
    const result = streamText({
      ...hi,
      prompt: "something endless",
      abortSignal: control.signal,
      onError() {},
    });
    for await (const part of result.fullStream) {
      if (part.type !== "text-delta" || control.signal.aborted) continue;
      await slotIsTaken();
      control.abort();
    }
    await slotIsFree();
    equal((await generateText(hi)).text, HELLO);
  },
});
