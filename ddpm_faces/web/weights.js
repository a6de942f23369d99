// The file of weights: safetensors, with matrices as integers of which so many share a scale.

const DECODE = {
  F32: (bytes) => new Float32Array(bytes),
  I16: (bytes) => Float32Array.from(new Int16Array(bytes)),
  I8: (bytes) => Float32Array.from(new Int8Array(bytes)),
};

function readSafetensors(file) {
  const length = Number(new DataView(file).getBigUint64(0, true)), tensors = {};
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(file, 8, length)));
  delete header.__metadata__;
  for (const [name, { dtype, data_offsets: [from, to] }] of Object.entries(header)) {
    tensors[name] = DECODE[dtype](file.slice(8 + length + from, 8 + length + to));
  }
  for (const name of Object.keys(tensors).filter((name) => name.endsWith(".scale"))) {
    const scales = tensors[name], data = tensors[name.slice(0, -6)], sharing = data.length / scales.length;
    for (let i = 0; i < data.length; i++) data[i] *= scales[Math.floor(i / sharing)];
  }
  return tensors;
}
