// Talking to the server: JSON calls and the event stream of an answer.
//
// Addresses are relative to the page, so that it also works behind a proxy under a path.

const KEY = 'glmoe.api_key';
let memoryKey = '';  // where the browser refuses session storage

export function apiKey() {
  try {
    return sessionStorage.getItem(KEY) ?? '';
  } catch {
    return memoryKey;
  }
}

// Kept until the tab closes, never in local storage.
export function setApiKey(key) {
  memoryKey = key;
  try {
    if (key) sessionStorage.setItem(KEY, key); else sessionStorage.removeItem(KEY);
  } catch {
    // Held in memory then.
  }
}

export class ApiError extends Error {
  constructor(message, {status = 0, code = '', requestId = ''} = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.requestId = requestId;
  }
}

function headers(extra = {}) {
  const key = apiKey();
  return key ? {...extra, Authorization: `Bearer ${key}`} : extra;
}

async function errorOf(response) {
  const facts = {status: response.status, requestId: response.headers.get('X-Request-Id') ?? ''};
  let text = '';
  try {
    text = await response.text();
    const {error} = JSON.parse(text);
    return new ApiError(String(error.message), {...facts, code: String(error.code ?? '')});
  } catch {
    const shown = text.trim().slice(0, 200);
    return new ApiError(`The server answered with status ${response.status}` +
                        (shown ? `: ${shown}` : '.'), facts);
  }
}

async function send(path, options) {
  try {
    return await fetch(path, {...options, cache: 'no-store', credentials: 'same-origin'});
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError('The server cannot be reached: is it running, and is the network up?');
  }
}

// The JSON under `path`. Throws ApiError.
export async function getJson(path, {signal, anyStatus = false} = {}) {
  const response = await send(path, {headers: headers(), signal});
  if (!response.ok && !anyStatus) throw await errorOf(response);
  try {
    return await response.json();
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError(`${path} did not answer with JSON.`, {status: response.status});
  }
}

// Cuts a stream of text into the data of server-sent events (WHATWG HTML, section 9.2.6).
export class EventParser {
  #rest = '';
  #data = [];

  // The data of the events that `text` completes.
  feed(text) {
    this.#rest += text;
    const events = [];
    const line = /\r\n|\n|\r(?!$)/g;  // a last CR may be half of a CRLF
    let from = 0;
    for (let end = line.exec(this.#rest); end; end = line.exec(this.#rest)) {
      this.#line(this.#rest.slice(from, end.index), events);
      from = line.lastIndex;
    }
    this.#rest = this.#rest.slice(from);
    return events;
  }

  #line(line, events) {
    if (line === '') {
      if (this.#data.length > 0) events.push(this.#data.join('\n'));
      this.#data = [];
    } else if (line.startsWith('data:')) {
      this.#data.push(line.slice(line[5] === ' ' ? 6 : 5));
    } else if (line === 'data') {
      this.#data.push('');
    }
  }
}

// The chunks of an answer as they come. Throws ApiError, and AbortError after signal's abort.
export async function* streamChat(body, signal) {
  const response = await send('v1/chat/completions', {
    method: 'POST',
    headers: headers({'Content-Type': 'application/json'}),
    body: JSON.stringify(body),
    signal,
  });
  if (!response.ok) throw await errorOf(response);
  const requestId = response.headers.get('X-Request-Id') ?? '';
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const parser = new EventParser();
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (error) {
      if (error.name === 'AbortError') throw error;
      throw new ApiError('The connection was lost before the answer ended.', {requestId});
    }
    if (part.done) break;
    for (const data of parser.feed(part.value)) {
      if (data === '[DONE]') return;
      yield readChunk(data, requestId);
    }
  }
  throw new ApiError('The connection was closed before the answer ended.', {requestId});
}

function readChunk(data, requestId) {
  let chunk;
  try {
    chunk = JSON.parse(data);
  } catch {
    throw new ApiError('The server sent an event that is not JSON.', {requestId});
  }
  if (chunk?.error) {
    throw new ApiError(String(chunk.error.message ?? 'The server reported an error.'),
                       {code: String(chunk.error.code ?? ''), requestId});
  }
  return chunk;
}
