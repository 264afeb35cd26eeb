"""What providers billed, as their exports say it.

Owns: the formats of OpenRouter's, OpenAI's and Anthropic's CSV exports, and how rows are read.
Keeps: P4: amounts are exact decimals. P10: a row that cannot be read is named, with why, and counts
for nothing. Everything about a file has a named maximum.
Does not: know what is on record (`command_api/invoices`), or fetch anything.
"""
