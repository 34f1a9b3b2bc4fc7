// The token: read once from the address (`#token=…`), kept for this tab, and taken out of the address bar.

import { thisTab } from "./remember.js";

/** Takes a token out of the address; true if there was one. */
export function takeToken() {
  const found = /^#token=([0-9A-Za-z_-]+)$/.exec(location.hash);
  if (!found) return false;
  thisTab.set("token", found[1]);
  history.replaceState(null, "", location.pathname + location.search);
  return true;
}

// An answer that takes longer will not come.
const PATIENCE_MS = 8000;

const token = () => thisTab.get("token");

/** The subprotocols of the WebSocket: browsers let a page send nothing else with its opening. */
export const subprotocols = () => (token() ? ["vultus", `token.${token()}`] : ["vultus"]);

/** Calls the API and gives the answer's object; throws an error that says what to do. */
export async function api(method, path) {
  const headers = token() ? { Authorization: `Bearer ${token()}` } : {};
  let response;
  try {
    response = await fetch(path, { method, headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
  } catch {
    throw Object.assign(new Error("vultus does not answer; is it still running?"), { status: 0 });
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw Object.assign(new Error(body.error ?? `vultus answered ${response.status}`), { status: response.status });
  return body;
}
