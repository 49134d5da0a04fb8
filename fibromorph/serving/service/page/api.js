// Requests to the service: the key, problems, events.

const STORED_KEY = "fibromorph-key";

export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail || `the service answered ${status}`);
    this.status = status;
  }
}

// The key that was refused, null if none was sent: who goes on with a stale one is locked out.
let refused;

const storedKey = () => sessionStorage.getItem(STORED_KEY);
export const setKey = (key) => sessionStorage.setItem(STORED_KEY, key);
export const hasKey = () => Boolean(storedKey());
export const isRefused = () => storedKey() === refused;

function headers() {
  const key = storedKey();
  return key ? { Authorization: `Bearer ${key}` } : {};
}

async function answered(path, options = {}) {
  const key = storedKey();
  const response = await fetch(path, {
    ...options,
    headers: { ...headers(), ...options.headers },
  });
  if (response.ok) return response;
  if (response.status === 401) refused = key;
  throw new Problem(response.status, await response.json().catch(() => null));
}

export async function json(path, options) {
  const response = await answered(path, options);
  return response.status === 204 ? null : response.json();
}

export const blob = async (path, options) => (await answered(path, options)).blob();
export const buffer = async (path, options) => (await answered(path, options)).arrayBuffer();

// fetch cannot tell how much of a body was sent; XMLHttpRequest can.
export function send(path, file, onShare) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => onShare(event.loaded / event.total);
    request.onerror = () => reject(new Error("the service could not be reached"));
    request.onload = () => {
      let body = null;
      try { body = JSON.parse(request.responseText); } catch { /* not ours: a proxy's page */ }
      if (request.status === 202) resolve(body);
      else reject(new Problem(request.status, body));
    };
    request.send(file);
  });
}

// EventSource cannot send a key, so the stream is read by hand: `data:` lines, blank line, repeat.
export async function* events(path, signal) {
  const response = await answered(path, { signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (held + value.replaceAll("\r\n", "\n")).split("\n\n");
    held = parts.pop();
    for (const part of parts) {
      const data = part.split("\n").filter((line) => line.startsWith("data:"));
      if (data.length) yield JSON.parse(data.map((line) => line.slice(5)).join("\n"));
    }
  }
}
