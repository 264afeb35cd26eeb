// Drives /mcp with the official npm client and prints what came back, for a Python test to judge.
// Usage: node mcp.mjs URL API_KEY
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [url, apiKey] = process.argv.slice(2);

async function connected(key) {
  const client = new Client({ name: "gatewayz-tests", version: "1.0.0" });
  const requestInit = { headers: { Authorization: `Bearer ${key}` } };
  await client.connect(new StreamableHTTPClientTransport(new URL(`${url}/mcp`), { requestInit }));
  return client;
}

const found = {};
const client = await connected(apiKey);
found.server = client.getServerVersion().name;
const { tools } = await client.listTools();
found.tools = tools.map((each) => each.name);
found.readOnly = tools.every((each) => each.annotations.readOnlyHint);
const balance = await client.callTool({ name: "get_balance", arguments: {} });
found.available = balance.structuredContent.available_nano_usd;
found.same = JSON.stringify(JSON.parse(balance.content[0].text)) === JSON.stringify(balance.structuredContent);
const model = await client.callTool({ name: "get_model", arguments: { id: "simulator/echo" } });
found.offers = model.structuredContent.offers.length;
const calls = await client.callTool({ name: "list_calls", arguments: { limit: 3 } });
found.calls = calls.structuredContent.data.length;
const wrong = await client.callTool({ name: "list_calls", arguments: { limit: -1 } });
found.wrong = wrong.isError;
try {
  await client.callTool({ name: "rm_rf", arguments: {} });
} catch (error) {
  found.unknown = error.code;
}
await client.close();
try {
  await connected("gw_live_none");
} catch (error) {
  found.refused = error.code;
}
console.log(JSON.stringify(found));
