"""A local stand-in for OpenAI's and Anthropic's APIs that keeps a ledger of all that it has billed."""
