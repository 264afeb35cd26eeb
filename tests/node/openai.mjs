// Drives the gateway with OpenAI's npm client and prints what came back, for a Python test to judge.
// Usage: node openai.mjs URL API_KEY
import OpenAI from "openai";

const [url, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });
const messages = [{ role: "user", content: "one two three" }];
const found = {};

const whole = await client.chat.completions.create({ model: "simulator/echo", messages });
found.whole = whole.choices[0].message.content;

const stream = await client.chat.completions.create({
  model: "simulator/echo",
  messages,
  stream: true,
  stream_options: { include_usage: true },
});
found.text = "";
for await (const chunk of stream) {
  found.text += chunk.choices[0]?.delta?.content ?? "";
  if (chunk.usage) found.usage = chunk.usage.completion_tokens;
}

const tools = [{ type: "function", function: { name: "roll", parameters: { type: "object" } } }];
const called = await client.chat.completions.create({
  model: "simulator/echo",
  messages,
  tools,
  tool_choice: "required",
});
found.tool = called.choices[0].message.tool_calls[0].function.name;

// The client asks for base64 by itself and decodes it.
const vectors = await client.embeddings.create({ model: "simulator/embed", input: ["a", "b"] });
found.vectors = vectors.data.map((each) => each.embedding.length);
found.first = Math.max(...vectors.data[0].embedding);

const images = await client.images.generate({ model: "simulator/paint", prompt: "x", n: 2 });
found.images = images.data.length;

found.models = [];
for await (const model of client.models.list()) found.models.push(model.id);

const refused = async (body) => {
  try {
    await client.chat.completions.create(body);
    return null;
  } catch (error) {
    return [error.constructor.name, error.status, error.code];
  }
};
found.unknown = await refused({ model: "no/such", messages });
found.limited = await refused({ model: "simulator/echo", messages, simulator: { status: 429 } });
console.log(JSON.stringify(found));
