"""The equations: schedule, forward process, loss, guidance, samplers. They know torch only, and raise ValueError."""
