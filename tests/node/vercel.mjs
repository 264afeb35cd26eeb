// Drives the gateway with Vercel's AI SDK and prints what came back, for a Python test to judge.
// Usage: node vercel.mjs URL API_KEY
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

globalThis.AI_SDK_LOG_WARNINGS = false; // They are told where the answer is read.
const [url, apiKey] = process.argv.slice(2);
const baseURL = `${url}/v1`;
const openai = createOpenAI({ baseURL, apiKey });
const compatible = createOpenAICompatible({ name: "gatewayz", baseURL, apiKey, includeUsage: true });
const name = "simulator/echo";
// One model by each of the three protocols that the gateway speaks.
const models = {
  chat: openai.chat(name),
  compatible: compatible(name),
  messages: createAnthropic({ baseURL, apiKey })(name),
  responses: openai.responses(name),
};
const roll = tool({
  description: "Rolls dice",
  inputSchema: z.object({}),
  execute: async () => ({ rolled: 4 }),
});
const found = {};
for (const [protocol, model] of Object.entries(models)) {
  const prompt = "one two three";
  const whole = await generateText({ model, prompt, maxRetries: 0 });
  const stream = streamText({ model, prompt, maxRetries: 0 });
  let text = "";
  for await (const piece of stream.textStream) text += piece;
  const steps = await generateText({
    model,
    prompt,
    maxRetries: 0,
    tools: { roll },
    prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber ? "auto" : "required" }),
    stopWhen: stepCountIs(2),
  });
  found[protocol] = {
    whole: whole.text,
    usage: whole.usage.outputTokens,
    text,
    streamed: (await stream.usage).outputTokens,
    finish: await stream.finishReason,
    called: steps.steps[0].toolCalls.map((each) => each.toolName),
    answered: steps.text,
  };
}
const embedder = openai.embedding("simulator/embed");
const vectors = await embedMany({ model: embedder, values: ["a", "b"] });
found.vectors = vectors.embeddings.map((each) => each.length);
try {
  await generateText({ model: openai.chat("no/such"), prompt: "x", maxRetries: 0 });
} catch (error) {
  found.unknown = [error.name, error.statusCode, error.data.error.code];
}
console.log(JSON.stringify(found));
