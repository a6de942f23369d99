"""The page: the model in one HTML file, run by WebAssembly in the browser."""
