// The face in the page's address: #seed=7&say=Smiling:1,Male:-0.5&lock=Male&guidance=2&steps=15. It is only ever read as numbers
// and known names; what else it holds is left out, and named.

function writeAddress({ names }, { seed, values, locks, guidance, steps }) {
  const said = names.map((name, i) => [name, values[i]]).filter(([, value]) => value !== 0);
  const parts = [`seed=${seed}`];
  if (said.length) parts.push("say=" + said.map(([name, value]) => `${name}:${+value.toFixed(3)}`).join(","));
  if (locks.size) parts.push("lock=" + [...locks].join(","));
  if (guidance !== null) parts.push(`guidance=${guidance}`);
  if (steps !== null) parts.push(`steps=${steps}`);
  return "#" + parts.map((part) => encodeURI(part)).join("&");
}

function readAddress({ names }, hash) {
  const state = { seed: null, values: null, locks: new Set(), guidance: null, steps: null }, ignored = [];
  const number = (text, least, most, whole) => {
    const value = /^-?\d{1,16}(\.\d{1,12})?$/.test(text) ? Number(text) : NaN;
    return value >= least && value <= most && (!whole || Number.isInteger(value)) ? value : null;
  };
  const keep = (part, value) => { if (value === null) ignored.push(part); return value; };
  let parts = [];
  try { parts = decodeURIComponent(hash.replace(/^#/, "")).split("&").filter(Boolean); } catch { ignored.push(hash); }
  for (const part of parts) {
    const [key, text = ""] = part.split(/=(.*)/s);
    if (key === "seed") state.seed = keep(part, number(text, 0, Number.MAX_SAFE_INTEGER, true));
    else if (key === "guidance") state.guidance = keep(part, number(text, 0, 10));
    else if (key === "steps") state.steps = keep(part, number(text, 1, 100, true));
    else if (key === "lock") text.split(",").forEach((name) => (names.includes(name) ? state.locks.add(name) : ignored.push(name)));
    else if (key === "say") {
      state.values = names.map(() => 0);
      for (const entry of text.split(",")) {
        const [name, value = ""] = entry.split(":"), parsed = number(value, -1, 1);
        if (names.includes(name) && parsed !== null) state.values[names.indexOf(name)] = parsed;
        else ignored.push(entry);
      }
    } else ignored.push(part);
  }
  return { state, ignored };
}
