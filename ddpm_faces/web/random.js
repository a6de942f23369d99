// Noise as torch.randn makes it from a seed: the Mersenne Twister (Matsumoto & Nishimura 1998), then Box and Muller's transform.

function* mersenneTwister(seed) {
  const state = new Uint32Array(624);
  state[0] = seed;
  for (let i = 1; i < 624; i++) state[i] = Math.imul(state[i - 1] ^ (state[i - 1] >>> 30), 1812433253) + i;
  for (;;) {
    for (let i = 0; i < 624; i++) {
      const y = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
      state[i] = state[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    for (let y of state) {
      y ^= y >>> 11;
      y ^= (y << 7) & 0x9d2c5680;
      y ^= (y << 15) & 0xefc60000;
      yield (y ^ (y >>> 18)) >>> 0;
    }
  }
}

function randn(seed, n) {
  const bits = mersenneTwister(Number(BigInt(seed) & 0xffffffffn)), x = new Float32Array(n);
  const uniform = () => (bits.next().value & 0xffffff) / 0x1000000;
  const f = Math.fround, turn = f(2 * Math.PI);
  const normal = (from) => {  // sixteen at a time, in float32, as torch does
    for (let j = from; j < from + 8; j++) {
      const radius = f(Math.sqrt(f(-2 * f(Math.log(f(1 - x[j])))))), angle = f(turn * x[j + 8]);
      x[j] = radius * Math.cos(angle);
      x[j + 8] = radius * Math.sin(angle);
    }
  };
  for (let i = 0; i < n; i++) x[i] = uniform();
  for (let i = 0; i + 16 <= n; i += 16) normal(i);
  if (n % 16) {
    for (let i = n - 16; i < n; i++) x[i] = uniform();
    normal(n - 16);
  }
  return x;
}
