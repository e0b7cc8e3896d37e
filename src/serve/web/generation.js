// One answer on its way: sends a chat, and fills the assistant's message as chunks come.
import {streamChat} from './api.js';

// Arguments that are whole: only then can a call be answered and sent back.
export function callIsWhole(call) {
  try {
    const value = JSON.parse(call.arguments || '{}');
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

function assistantMessage(message) {
  const sent = {role: 'assistant', content: message.content};
  if (message.reasoning) sent.reasoning_content = message.reasoning;
  const calls = (message.calls ?? []).filter(callIsWhole);
  if (calls.length > 0) {
    sent.tool_calls = calls.map(({id, name, arguments: text}) => (
        {id, type: 'function', function: {name, arguments: text || '{}'}}));
  }
  return sent;
}

// A chat in the API's form. Results of tools follow the message that called them.
export function requestMessages(messages, systemPrompt) {
  const sent = systemPrompt.trim() ? [{role: 'system', content: systemPrompt}] : [];
  for (const message of messages) {
    if (message.role !== 'assistant') {
      sent.push({role: message.role, content: message.content});
      continue;
    }
    const entry = assistantMessage(message);
    if (!entry.content && !entry.tool_calls) continue;  // failed before it said anything
    sent.push(entry);
    for (const call of (message.calls ?? []).filter(callIsWhole)) {
      if (call.result === undefined) continue;
      sent.push({role: 'tool', tool_call_id: call.id, content: call.result});
    }
  }
  return sent;
}

export class Generation {
  #abort = new AbortController();
  #sentAt = 0;
  #firstTokens = 0;  // of the chunk that came first
  #frame = 0;

  // `message` is filled; `onUpdate` is called at most once a frame, and at the end.
  constructor(message, onUpdate) {
    this.message = message;
    this.onUpdate = onUpdate;
    this.stopped = false;
  }

  stop() {
    this.stopped = true;
    this.#abort.abort();
  }

  // Never throws: what went wrong is in message.error.
  async run(body) {
    const {message} = this;
    this.#sentAt = performance.now();
    message.stats = {};
    try {
      for await (const chunk of streamChat(body, this.#abort.signal)) this.#take(chunk);
      if (!message.finish) message.error = 'The answer ended without a reason.';
      if (message.finish === 'error') message.error = 'The server could not finish this answer.';
    } catch (error) {
      if (this.stopped) {
        message.finish = 'stopped';
      } else {
        message.error = error.message;
        message.errorStatus = error.status ?? 0;
        message.requestId = error.requestId ?? '';
      }
    }
    this.#end();
  }

  #end() {
    const {stats} = this.message;
    stats.totalMs = performance.now() - this.#sentAt;
    this.#endReasoning();
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.onUpdate();
  }

  #take(chunk) {
    const choice = chunk.choices?.[0];
    if (choice) this.#takeChoice(choice);
    if (chunk.usage) this.#takeUsage(chunk.usage);
    // No frames come while the page is in the background: its end is shown in any case.
    if (!this.#frame) {
      this.#frame = requestAnimationFrame(() => {
        this.#frame = 0;
        this.onUpdate();
      });
    }
  }

  #takeChoice({delta = {}, finish_reason: finish}) {
    const {message} = this;
    const now = performance.now();
    const reasoning = delta.reasoning_content ?? delta.reasoning ?? '';
    const calls = delta.tool_calls ?? [];
    if (reasoning || delta.content || calls.length > 0) {
      message.stats.firstMs ??= now - this.#sentAt;
      message.stats.lastMs = now - this.#sentAt;
    }
    if (reasoning) {
      message.stats.reasoningFrom ??= now - this.#sentAt;
      message.reasoning = (message.reasoning ?? '') + reasoning;
    }
    if (delta.content || calls.length > 0) this.#endReasoning();
    if (delta.content) message.content += delta.content;
    for (const call of calls) this.#takeCall(call);
    if (finish) message.finish = finish;
  }

  #takeCall({index = 0, id, function: part = {}}) {
    const calls = (this.message.calls ??= []);
    const call = (calls[index] ??= {id: '', name: '', arguments: ''});
    if (id) call.id = id;
    call.name += part.name ?? '';
    call.arguments += part.arguments ?? '';
  }

  #takeUsage(usage) {
    const {stats} = this.message;
    stats.tokens = usage.completion_tokens;
    stats.promptTokens = usage.prompt_tokens;
    stats.cachedTokens = usage.prompt_tokens_details?.cached_tokens;
    stats.reasoningTokens = usage.completion_tokens_details?.reasoning_tokens;
    if (stats.firstMs !== undefined && !this.#firstTokens) this.#firstTokens = stats.tokens;
    // The first chunk's tokens cost the prompt too: the rate is that of those after it.
    const ms = stats.lastMs - stats.firstMs;
    const after = stats.tokens - this.#firstTokens;
    if (ms > 0 && after > 0) stats.tokensPerSecond = (after * 1000) / ms;
  }

  #endReasoning() {
    const {stats} = this.message;
    if (stats.reasoningFrom === undefined || stats.reasoningMs !== undefined) return;
    stats.reasoningMs = performance.now() - this.#sentAt - stats.reasoningFrom;
  }
}
