"""The mathematics: schedule, forward process, guidance, samplers. No file here knows what is on the pictures."""
