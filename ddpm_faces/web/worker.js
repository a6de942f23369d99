// What the worker answers. `load` makes the model ready. `sample` draws: each state is sent as it comes, and a newer request, or
// `cancel`, ends an older one between two steps. An error is told under the id of the request.

let denoiser, schedule, latest;

const tick = () => new Promise((resolve) => {  // lets messages in; a timeout would cost 4 ms
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => { port1.close(); resolve(); };
  port2.postMessage(0);
});

const REQUESTS = {
  async load({ config, weights, engines }) {
    const bytes = engines.find((engine) => WebAssembly.validate(engine));
    if (!bytes) throw new Error("this browser cannot run the engine: it needs WebAssembly with SIMD");
    const { instance } = await WebAssembly.instantiate(bytes);
    denoiser = new Denoiser(instance.exports, config, readSafetensors(weights));
    schedule = new Schedule(config.schedule);
    return { ready: true };
  },
  async sample({ id, seed, ...settings }) {
    const x = randn(seed, denoiser.channels * denoiser.height * denoiser.width);
    for (const state of sample(denoiser, schedule, { x, ...settings })) {
      if (state.i + 1 === state.steps) return { state, done: true };
      postMessage({ id, state });
      await tick();
      if (latest !== id) return { cancelled: true };
    }
  },
  async cancel() { return {}; },
};

onmessage = async ({ data }) => {
  latest = data.id;
  try {
    postMessage({ id: data.id, ...(await REQUESTS[data.request](data)) });
  } catch (error) {
    postMessage({ id: data.id, error: String(error.message || error) });
  }
};
