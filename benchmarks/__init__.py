"""Speed and memory, beside the report's recipe and a peer. README.md keeps the figures."""
