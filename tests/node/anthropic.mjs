// Drives the gateway with Anthropic's npm client and prints what came back, for a Python test to judge.
// Usage: node anthropic.mjs URL API_KEY
import Anthropic from "@anthropic-ai/sdk";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new Anthropic({ baseURL, apiKey, maxRetries: 0 });
const asked = {
  model: "simulator/echo",
  max_tokens: 50,
  messages: [{ role: "user", content: "one two three" }],
};
const found = {};

const whole = await client.messages.create(asked);
found.whole = [whole.type, whole.content[0].text, whole.usage.output_tokens, whole.stop_reason];

const stream = client.messages.stream(asked);
found.text = "";
stream.on("text", (text) => (found.text += text));
const final = await stream.finalMessage();
found.final = [final.content[0].text, final.usage.output_tokens];

const tools = [{ name: "roll", input_schema: { type: "object", properties: {} } }];
const called = await client.messages.create({ ...asked, tools, tool_choice: { type: "any" } });
const use = called.content.find((each) => each.type === "tool_use");
found.tool = [use.name, called.stop_reason];
const answered = await client.messages.create({
  ...asked,
  tools,
  messages: [
    ...asked.messages,
    { role: "assistant", content: called.content },
    { role: "user", content: [{ type: "tool_result", tool_use_id: use.id, content: "four" }] },
  ],
});
found.answered = answered.content[0].text;

const { max_tokens: _, ...countable } = asked;
found.counted = (await client.messages.countTokens(countable)).input_tokens > 0;

try {
  await client.messages.create({ ...asked, model: "no/such" });
} catch (error) {
  found.unknown = [error.constructor.name, error.status, error.error.error.type];
}
console.log(JSON.stringify(found));
