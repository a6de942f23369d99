// The denoiser, as models/denoiser.py and models/unet.py have it, with their names. Feature maps are addresses in the memory of
// engine.wasm, whose functions compute on them. What is taken of the memory is given back when a call ends, by `free`.

const silu = (x) => x / (1 + Math.exp(-x));

class Denoiser {
  constructor(wasm, config, tensors) {
    const [channels, height, width] = config.image;
    Object.assign(this, { wasm, config, tensors, channels, height, width, at: {}, free: wasm.memory.buffer.byteLength });
    for (const name in tensors) this.at[name] = this.put(tensors[name]);
    this.cosines = [height, width].map((n) => {
      const matrix = Float32Array.from({ length: n * n }, (_, i) => {
        const frequency = Math.floor(i / n);
        return Math.sqrt((frequency ? 2 : 1) / n) * Math.cos((Math.PI / n) * ((i % n) + 0.5) * frequency);
      });
      return { forward: this.put(matrix), backward: this.turned(this.put(matrix), n, n) };
    });
    this.colours = { forward: this.at["linear_denoiser.colours"] };
    this.colours.backward = this.turned(this.colours.forward, channels, channels);
    const variance = this.map(channels);  // turned, as the coefficients are
    for (let c = 0, plane = 4 * height * width; c < channels; c++) {
      wasm.transpose(variance + c * plane, this.at["linear_denoiser.variance"] + c * plane, height, width, 1);
    }
    this.variance = this.read(variance, channels * height * width);
    this.mean = tensors["linear_denoiser.mean"];
    this.base = this.free;
  }

  room(floats) {
    const address = this.free, { memory } = this.wasm;
    this.free += 4 * floats + 64 + ((-4 * floats) & 63);  // the functions may touch what follows
    if (this.free > memory.buffer.byteLength) memory.grow(Math.ceil((this.free - memory.buffer.byteLength) / 65536) + 64);
    return address;
  }
  map(channels) { return this.room(channels * this.height * this.width); }
  view(address, floats) { return new Float32Array(this.wasm.memory.buffer, address, floats); }
  read(address, floats) { return this.view(address, floats).slice(); }
  put(values) {
    const address = this.room(values.length);
    this.view(address, values.length).set(values);
    return address;
  }
  copy(from, floats, to = this.room(floats)) {
    this.view(to, floats).set(this.view(from, floats));
    return to;
  }
  turned(matrix, h, w, factor = 1) {
    const out = this.room(h * w);
    this.wasm.transpose(out, matrix, h, w, factor);
    return out;
  }

  linear(name, x) {
    const weight = this.tensors[`${name}.weight`];
    return Float32Array.from(this.tensors[`${name}.bias`], (sum, i) => {
      for (let j = 0; j < x.length; j++) sum += weight[i * x.length + j] * x[j];
      return sum;
    });
  }
  norm(name, x, c, n, modulate = 0, act = 1) {
    const out = this.room(c * n);
    this.wasm.norm(out, x, this.at[`${name}.weight`], this.at[`${name}.bias`], modulate, c, n, act);
    return out;
  }
  conv1(name, x, ci, n, out = 0) {
    const co = this.tensors[`${name}.bias`].length, to = out || this.room(co * n);
    this.wasm.matmul(to, x, this.at[`${name}.weight`], this.at[`${name}.bias`], ci, co, n, n, n, out ? 1 : 0);
    return to;
  }
  conv3(name, x, ci, { h, w }, { zoom = 1, stride = 1, out = 0 } = {}) {  // added to `out`, if that is given
    const co = this.tensors[`${name}.bias`].length, height = (h * zoom) / stride, width = (w * zoom) / stride;
    const padded = this.room(ci * (h * zoom + 2) * (w * zoom + 2)), to = out || this.room(co * height * width);
    this.wasm.pad(padded, x, ci, h, w, zoom);
    const [weight, bias] = [this.at[`${name}.weight`], this.at[`${name}.bias`]];
    this.wasm.conv3(to, padded, weight, bias, ci, co, height, width, 9 * ci, stride, out ? 1 : 0);
    return to;
  }

  // x (D, H, W) -> its coefficients by frequency and colour, each plane turned; and back.
  transform(x) { return this.both(x, "forward", this.cosines, [this.height, this.width]); }
  inverse(z) { return this.both(z, "backward", [...this.cosines].reverse(), [this.width, this.height]); }
  both(x, way, [first, second], [h, w]) {
    const n = h * w, c = this.channels, out = this.map(c), between = this.map(1);
    let from = this.put(x);
    const mix = (input) => {
      const mixed = this.map(c);
      this.wasm.matmul(mixed, input, this.colours[way], 0, c, c, n, n, n, 0);
      return mixed;
    };
    if (way === "forward") from = mix(from);
    for (let i = 0; i < c; i++) {
      this.wasm.matmul(between, from + 4 * i * n, first[way], 0, h, h, w, w, w, 0);
      this.wasm.matmul(out + 4 * i * n, this.turned(between, h, w), second[way], 0, w, w, h, h, h, 0);
    }
    return this.read(way === "forward" ? out : mix(out), c * n);
  }

  resBlock(name, x, ci, { h, w }, temb) {
    const n = h * w, modulate = this.put(this.linear(`${name}.time`, temb.map(silu)));
    const a = this.conv3(`${name}.conv1`, this.norm(`${name}.norm1`, x, ci, n), ci, { h, w });
    const co = this.tensors[`${name}.conv1.bias`].length, b = this.norm(`${name}.norm2`, a, co, n, modulate);
    const out = `${name}.shortcut.bias` in this.tensors ? this.conv1(`${name}.shortcut`, x, ci, n) : this.copy(x, ci * n);
    return this.conv3(`${name}.conv2`, b, co, { h, w }, { out });
  }
  attention(name, x, c, n) {
    const heads = 4, d = c / heads, plane = (n + 7) & ~7, out = this.copy(x, c * n);
    const qkv = this.conv1(`${name}.qkv`, this.norm(`${name}.norm`, x, c, n, 0, 0), c, n), values = this.room(c * n);
    const scores = this.room(n * plane);
    for (let i = 0; i < heads; i++) {
      const [q, k, v] = [0, 1, 2].map((part) => qkv + 4 * n * (part * c + i * d));
      this.wasm.matmul(scores, q, this.turned(k, d, n, d ** -0.5), 0, d, n, n, n, plane, 0);
      this.wasm.softmax(scores, n, plane);
      this.wasm.matmul(values + 4 * n * i * d, scores, v, 0, n, d, n, plane, n, 0);
    }
    return this.conv1(`${name}.out`, values, c, n, out);
  }
  block(name, x, ci, side, temb) {
    const out = this.resBlock(`${name}.res`, x, ci, side, temb), c = this.tensors[`${name}.res.conv1.bias`].length;
    return `${name}.attention.out.bias` in this.tensors ? this.attention(`${name}.attention`, out, c, side.h * side.w) : out;
  }

  // What a condition adds to every call with it: constant planes, convolved by the first layer, and a part of the time embedding.
  show(condition) {
    const { embedding, scales: [present, absent], gain } = this.config, n = this.height * this.width;
    this.free = this.base;
    const entering = 2 * this.channels, weight = this.at["unet.enter.weight"], bias = this.at["unet.enter.bias"];
    const shown = Float32Array.from(condition, (c, i) => gain * c * (c > 0 ? present : absent)[i]);
    const planes = condition.length ? embedding : 0, constant = this.map(planes);
    const padded = this.room(planes * (this.height + 2) * (this.width + 2));
    const co = this.tensors["unet.enter.bias"].length, first = this.map(co);
    if (planes) this.linear("embed", shown).forEach((value, i) => this.view(constant + 4 * i * n, n).fill(value));
    this.wasm.pad(padded, constant, planes, this.height, this.width, 1);
    const rows = 9 * (entering + planes);
    this.wasm.conv3(first, padded, weight + 36 * entering, bias, planes, co, this.height, this.width, rows, 1, 0);
    return { first: this.read(first, co * n), extra: planes ? this.linear("modulate", shown) : null, rows };
  }

  // F(x, estimate, t, c): the U-Net.
  unet(x, estimate, t, { first, extra, rows }) {
    const wave = Array.from({ length: 32 }, (_, i) => t * Math.exp((-Math.log(10000) * i) / 32));
    const hidden = this.linear("unet.time.0", Float32Array.from([...wave.map(Math.cos), ...wave.map(Math.sin)])).map(silu);
    const temb = this.linear("unet.time.2", hidden).map((value, i) => value + (extra ? extra[i] : 0));
    const { channels, blocks } = this.config.unet, side = { h: this.height, w: this.width };
    const input = this.put(new Float32Array([...x, ...estimate])), padded = this.room(2 * this.channels * (side.h + 2) * (side.w + 2));
    let h = this.put(first), width = channels[0];
    this.wasm.pad(padded, input, 2 * this.channels, side.h, side.w, 1);
    this.wasm.conv3(h, padded, this.at["unet.enter.weight"], 0, 2 * this.channels, width, side.h, side.w, rows, 1, 1);
    const skips = [[h, width]];
    channels.forEach((out, level) => {
      if (level) {
        h = this.conv3(`unet.downsample.${level - 1}`, h, width, side, { stride: 2 });
        side.h /= 2;
        side.w /= 2;
        skips.push([h, width]);
      }
      for (let i = 0; i < blocks; i++) {
        h = this.block(`unet.down.${level}.${i}`, h, width, side, temb);
        width = out;
        skips.push([h, width]);
      }
    });
    h = this.block("unet.middle2", this.block("unet.middle1", h, width, side, temb), width, side, temb);
    [...channels].reverse().forEach((out, i, { length }) => {
      for (let j = 0; j <= blocks; j++) {
        const n = side.h * side.w, [skip, more] = skips.pop(), both = this.room((width + more) * n);
        this.copy(h, width * n, both);
        this.copy(skip, more * n, both + 4 * width * n);
        h = this.block(`unet.up.${i}.${j}`, both, width + more, side, temb);
        width = out;
      }
      if (i < length - 1) {
        h = this.conv3(`unet.upsample.${i}`, h, width, side, { zoom: 2 });
        side.h *= 2;
        side.w *= 2;
        width = channels[length - 2 - i];
      }
    });
    const out = this.conv3("unet.exit", this.norm("unet.norm", h, width, side.h * side.w), width, side);
    return this.read(out, this.channels * side.h * side.w);
  }
}
