// The schedule and the samplers, as diffusion/schedule.py and diffusion/samplers.py have them.

class Schedule {
  constructor({ kind, steps }) {
    const f = (i) => Math.cos(((i / steps + 0.008) / 1.008) * (Math.PI / 2)) ** 2;
    const cosine = (i) => 1 - f(i + 1) / f(i), linear = (i) => ((1e-4 + (0.02 - 1e-4) * i / (steps - 1)) * 1000) / steps;
    this.steps = steps;
    this.alphaBar = new Float64Array(steps);
    for (let i = 0, product = 1; i < steps; i++) {
      product *= 1 - Math.min((kind === "linear" ? linear : cosine)(i), 0.999);
      this.alphaBar[i] = product;
    }
  }

  timesteps(n, spacing) {
    if (spacing === "open") return n < this.steps ? this.timesteps(n + 1, "karras").slice(0, -1) : this.timesteps(n, "even");
    if (spacing === "even") return Array.from({ length: n }, (_, i) => Math.ceil((this.steps * (n - i)) / n) - 1);
    const sigma = Array.from(this.alphaBar, (ab) => Math.sqrt((1 - ab) / ab)), steps = [this.steps - 1];
    const root = (x) => x ** (1 / 7), most = root(Math.min(sigma[this.steps - 1], 80)), least = root(sigma[0]);
    for (let i = 1; i < n; i++) {
      const wanted = (most + ((least - most) * i) / (n - 1)) ** 7, found = sigma.findIndex((s) => s >= wanted);
      const above = Math.min(Math.max(found < 0 ? this.steps : found, 1), this.steps - 1);
      const nearest = wanted - sigma[above - 1] < sigma[above] - wanted ? above - 1 : above;
      steps.push(Math.max(Math.min(nearest, steps[i - 1] - 1), n - 1 - i));
    }
    return steps;
  }
}

// ---- Sampling ------------------------------------------------------------------------------------------------------------------

// Where the guided network's noise points: the clean image, held to [-1, 1]. Formed from eps in float32 it would be noise itself at
// the noisiest steps; written out, it is linear in the network's output F, so guidance acts on F:
// x0 = mean + inverse(z alpha s^2 / V) - sigma sqrt(mean(s^2 / V)) F, with z and V as in models/linear_denoiser.py.
function cleanImage(denoiser, x, t, alphaBar, conditions, scale) {
  const alpha = Math.sqrt(alphaBar), sigma = Math.sqrt(1 - alphaBar), { variance, mean } = denoiser;
  denoiser.free = denoiser.base;
  const z = denoiser.transform(x.map((value, i) => value - alpha * mean[i]));
  const share = variance.map((s2) => s2 / (alphaBar * s2 + 1 - alphaBar));
  const estimate = denoiser.inverse(z.map((value, i) => (value * sigma) / (alphaBar * variance[i] + 1 - alphaBar)));
  const linear = denoiser.inverse(z.map((value, i) => value * alpha * share[i]));
  const unknown = sigma * Math.sqrt(share.reduce((sum, value) => sum + value, 0) / share.length);
  const outputs = conditions.map((condition) => denoiser.unet(x, estimate, t, condition));
  const F = outputs.length === 1 ? outputs[0] : outputs[0].map((none, i) => none + scale * (outputs[1][i] - none));  // CFG (6)
  return x.map((_, i) => Math.min(1, Math.max(-1, mean[i] + linear[i] - unknown * F[i])));
}

// DPM-Solver++(2M), DDIM, and DDIM on a student's few steps, as in diffusion/samplers.py: a State {i, steps, x0} a step.
function* sample(denoiser, schedule, { x, condition, guidance, sampler, steps }) {
  const timesteps = schedule.timesteps(steps, { dpm: "karras", ddim: "even", few: "open" }[sampler]);
  const guided = guidance !== 1 && guidance !== 0 && condition.some((c) => c !== 0);
  const shown = guided || guidance !== 0 ? [denoiser.show(condition)] : [];
  if (guided || guidance === 0) shown.unshift(denoiser.show(condition.map(() => 0)));
  const logSNR = (ab) => 0.5 * Math.log(ab / (1 - ab));
  for (let i = 0, last = x, lastWidth = Infinity; i < steps; i++) {
    const ab = schedule.alphaBar[timesteps[i]], landing = i + 1 < steps ? schedule.alphaBar[timesteps[i + 1]] : 1;
    const x0 = cleanImage(denoiser, x, timesteps[i], ab, shown, guidance), width = logSNR(landing) - logSNR(ab);
    const ahead = sampler === "dpm" && landing < 1 ? width / lastWidth / 2 : 0;
    const keep = Math.sqrt((1 - landing) / (1 - ab)), take = Math.sqrt(landing) - keep * Math.sqrt(ab);
    x = x.map((value, j) => keep * value + take * (x0[j] + ahead * (x0[j] - last[j])));  // DDIM (12)
    [last, lastWidth] = [x0, width];
    yield { i, steps, x0 };
  }
}
