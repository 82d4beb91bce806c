// chat.js -- a conversation: what was said, how to answer, and answers that appear as they are made.
import { key, stream } from "./api.js";

const find = id => document.getElementById(id);
const make = (tag, className, text = "") => Object.assign(document.createElement(tag), { className, textContent: text });

let said = [];          // messages, as the API takes them
let running = null;     // the AbortController of the answer that is being made

// ---- how to answer ----

const fields = () => document.querySelectorAll("aside [name]");
const field = name => document.querySelector(`aside [name=${name}]`);
const number = name => field(name).value === "" ? undefined : Number(field(name).value);

function keepFields() {
  for (const input of fields()) {
    const kept = input.name === "key" ? key.get() : localStorage.getItem(`field-${input.name}`);
    if (kept !== null && input.type === "checkbox")
      input.checked = kept === "true";
    else if (kept !== null)
      input.value = kept;
    const changed = () => {
      const output = input.parentElement.querySelector("output");
      if (output)
        output.textContent = input.value;
      if (input.name === "key")
        key.set(input.value);
      else
        localStorage.setItem(`field-${input.name}`, input.type === "checkbox" ? input.checked : input.value);
      find("messages").classList.toggle("coloured", field("colours").checked);
    };
    input.addEventListener("input", changed);
    changed();
  }
}

function request() {
  const system = field("system").value.trim();
  return {
    model: find("model").textContent,
    messages: [...(system ? [{ role: "system", content: system }] : []), ...said],
    temperature: number("temperature"), top_p: number("top_p"), min_p: number("min_p"), top_k: number("top_k"),
    max_tokens: number("max_tokens"), n: number("n"), seed: number("seed"),
    logprobs: true, top_logprobs: 5, stream: true, stream_options: { include_usage: true },
    ...(field("json").checked ? { response_format: { type: "json_object" } } : {}),
  };
}

// ---- one sample of an answer ----

class Sample {
  constructor(parent) {
    this.content = "";
    this.box = parent.appendChild(make("div", "sample"));
    this.text = this.box.appendChild(make("div", "text"));
    this.facts = this.box.appendChild(make("div", "facts"));
    this.calls = [];
  }

  take(delta, logprobs) {
    if (delta.reasoning_content) {
      this.reasoning ??= this.box.insertBefore(make("div", "reasoning"), this.text);
      this.reasoning.append(delta.reasoning_content);
    }
    for (const call of delta.tool_calls ?? []) {
      this.calls[call.index] ??= this.box.insertBefore(make("div", "call"), this.facts);
      this.calls[call.index].append(`${call.function?.name ?? ""}${call.function?.name ? " " : ""}${call.function?.arguments ?? ""}`);
    }
    if (delta.content) {
      this.content += delta.content;
      this.append(delta.content, logprobs?.content ?? []);
    }
  }

  // Each token is a span that knows its probability, where the tokens spell the text; else plain text.
  append(text, tokens) {
    if (tokens.map(token => token.token).join("") !== text) {
      this.text.append(text);
      return;
    }
    for (const token of tokens) {
      const span = this.text.appendChild(make("span", "", token.token));
      span.token = token;
      span.style.setProperty("--p", Math.exp(token.logprob));
    }
  }

  end(reason) {
    this.reason = reason;
  }
}

// ---- probabilities on hover ----

const percent = logprob => `${(100 * Math.exp(logprob)).toFixed(1)}%`;

function hint(event) {
  const token = event.target.token, box = find("hint");
  box.hidden = !token;
  if (!token)
    return;
  const table = make("table");
  for (const choice of token.top_logprobs.some(other => other.token === token.token) ? token.top_logprobs : [token, ...token.top_logprobs]) {
    const row = table.insertRow();
    row.insertCell().append(make("code", "", JSON.stringify(choice.token).slice(1, -1)));
    row.insertCell().textContent = percent(choice.logprob);
    row.style.fontWeight = choice.token === token.token ? "bold" : "";
  }
  box.replaceChildren(table);
  box.style.left = `${Math.min(event.clientX + 12, innerWidth - box.offsetWidth - 8)}px`;
  box.style.top = `${Math.min(event.clientY + 16, innerHeight - box.offsetHeight - 8)}px`;
}

// ---- asking ----

function busy(on) {
  find("send").hidden = on;
  find("stop").hidden = !on;
  find("again").disabled = on || said.length === 0;
}

function choose(samples, chosen) {
  said = said.filter(message => message.samples !== samples);
  said.push({ role: "assistant", content: samples[chosen].content });
  Object.defineProperty(said.at(-1), "samples", { value: samples });      // not sent: JSON leaves it out
  samples.forEach((sample, i) => sample.box.classList.toggle("chosen", i === chosen && samples.length > 1));
}

function tell(samples, started, first, usage) {
  const seconds = (performance.now() - started) / 1000, ttft = first ? (first - started).toFixed(0) : "-";
  const tokens = usage?.completion_tokens ?? 0;
  for (const sample of samples)
    sample.facts.textContent = `${sample.reason ?? "…"}`;
  if (usage)
    samples.at(-1).facts.textContent += `   first token ${ttft} ms, ${tokens} tokens, ` +
      `${(tokens / Math.max(seconds - (first - started) / 1000, 1e-3)).toFixed(0)} tokens/s, ` +
      `${usage.prompt_tokens} of prompt (${usage.prompt_tokens_details?.cached_tokens ?? 0} cached)`;
}

async function answer() {
  const turn = find("messages").appendChild(make("div", "turn")), row = turn.appendChild(make("div", "samples"));
  const body = request(), samples = Array.from({ length: body.n ?? 1 }, () => new Sample(row));
  const started = performance.now();
  let first = 0, usage;
  running = new AbortController();
  busy(true);
  try {
    await stream("v1/chat/completions", body, running.signal, chunk => {
      usage = chunk.usage ?? usage;
      for (const choice of chunk.choices ?? []) {
        first ||= performance.now();
        samples[choice.index].take(choice.delta ?? {}, choice.logprobs);
        if (choice.finish_reason)
          samples[choice.index].end(choice.finish_reason);
      }
      find("messages").scrollTop = find("messages").scrollHeight;
    });
  } catch (error) {
    if (error.name !== "AbortError")
      turn.append(make("div", "error", error.message));
    else
      samples.forEach(sample => sample.end("stopped"));
  }
  running = null;
  if (samples.some(sample => sample.content)) {
    choose(samples, 0);
    samples.forEach((sample, i) => sample.box.addEventListener("click", () => choose(samples, i)));
  }
  tell(samples, started, first, usage);
  busy(false);
}

function ask(event) {
  event.preventDefault();
  const question = find("question"), text = question.value.trim();
  if (!text || running)
    return;
  question.value = "";
  said.push({ role: "user", content: text });
  find("messages").appendChild(make("div", "turn user", text));
  answer();
}

function again() {
  if (said.at(-1)?.role === "assistant") {
    said.pop();
    find("messages").lastElementChild.remove();
  }
  answer();
}

export function startChat() {
  keepFields();
  find("ask").addEventListener("submit", ask);
  find("question").addEventListener("keydown", event => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing)
      ask(event);
  });
  find("stop").addEventListener("click", () => running?.abort());
  find("again").addEventListener("click", again);
  find("clear").addEventListener("click", () => {
    running?.abort();
    said = [];
    find("messages").replaceChildren();
    busy(false);
  });
  find("messages").addEventListener("mousemove", hint);
  find("messages").addEventListener("mouseleave", () => { find("hint").hidden = true; });
}
