"""Speed and learning, side by side with the report's recipe and the peers. README.md keeps the figures."""
