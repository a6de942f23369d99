// What the sliders say to the network: conditions/labels.py and conditions/paths.py once more.

// Attributes in which `name` becomes `value`; what excludes it gives way as far as it must, unless `fixed` holds it.
function setAttribute({ names, exclusive }, values, name, value, fixed = new Set()) {
  values = values.slice();
  values[names.indexOf(name)] = value;
  const plain = (side) => side.replace(/^-/, ""), sign = (side) => (side.startsWith("-") ? -1 : 1);
  for (const pair of exclusive) {
    for (const [mine, other] of [pair, [...pair].reverse()]) {
      const excluded = plain(other), strength = sign(mine) * value;
      if (plain(mine) !== name || fixed.has(excluded)) continue;
      if (sign(other) * values[names.indexOf(excluded)] > -strength) {
        values = setAttribute({ names, exclusive }, values, excluded, -sign(other) * strength, new Set([...fixed, name]));
      }
    }
  }
  return values;
}

// A slider is even in what the network is shown, from 0 (absent) to 1 (present); a rare attribute's absence is nearly nothing.
class Scale {
  constructor(present, absent) { Object.assign(this, { present, absent, unsaid: absent / (absent + present) }); }
  position(value) { return this.unsaid + (value * (value > 0 ? this.present : this.absent)) / (this.absent + this.present); }
  value(position) {
    if (Math.abs(position - this.unsaid) < 0.006) return 0;
    const shown = (position - this.unsaid) * (this.absent + this.present);
    return Math.max(-1, Math.min(1, shown / (shown > 0 ? this.present : this.absent)));
  }
}

// The guidance that suits a condition: diffusion/guidance.py, scale_by_count.
function suitableGuidance({ guidance, guidance_alone: alone, names }, values) {
  const said = Math.max(1, values.reduce((sum, value) => sum + Math.abs(value), 0));
  return alone + ((guidance - alone) * Math.round((20 * Math.log(said)) / Math.log(Math.max(names.length, 2)))) / 20;
}
