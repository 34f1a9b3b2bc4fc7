// Numbers as text. What is not known is a dash, never "NaN" and never a zero.

const DASH = "–";
const known = Number.isFinite;

export const number = (value, digits = 1) => (known(value) ? value.toFixed(digits).replace("-", "−") : DASH);

export const count = (value) => (known(value) ? String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, "\u202f") : DASH);

export const percent = (share) => (known(share) ? `${Math.round(share * 100)} %` : DASH);

export const degrees = (value) => (known(value) ? `${number(value, 0)}°` : DASH);

export function bytes(value) {
  if (!known(value)) return DASH;
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, value)) / 3)));
  const scaled = value / 1000 ** power;
  return `${scaled.toFixed(power > 0 && scaled < 100 ? 1 : 0)} ${units[power]}`;
}

/** 75 seconds: 1:15; from an hour on 1:01:15. */
export function clock(seconds) {
  if (!known(seconds)) return DASH;
  const whole = Math.max(0, Math.floor(seconds));
  const pad = (part) => String(part).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours ? `${hours}:${pad(minutes)}:${pad(whole % 60)}` : `${minutes}:${pad(whole % 60)}`;
}

/** A length of time in words, as exact as a person needs it. */
export function roughly(seconds) {
  if (!known(seconds)) return DASH;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}
