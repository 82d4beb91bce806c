// live.js -- the engine at work: what GET ridge/state says, drawn twice a second while somebody looks.
import { getJson, getText } from "./api.js";
import { drawBlocks, drawLines } from "./draw.js";

const SECONDS = 0.5, KEPT = 240, PICTURE_SECONDS = 3;
const find = id => document.getElementById(id);
const history = [];      // {seconds, prompt, generated, ttft}
let timer = null, last = null, pictured = -Infinity;

const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

function number(title, value, unit = "") {
  const box = document.createElement("div");
  box.append(title, Object.assign(document.createElement("b"), { textContent: `${value}${unit}` }));
  return box;
}

function showNumbers(state) {
  const { requests, step, totals } = state, point = history.at(-1) ?? {};
  find("numbers").replaceChildren(
    number("running", requests.running), number("waiting", requests.queued + requests.waiting),
    number("generated", short.format(point.generated ?? 0), " tok/s"), number("read of prompts", short.format(point.prompt ?? 0), " tok/s"),
    number("from the cache", totals.prompt_tokens ? (100 * totals.reused_tokens / totals.prompt_tokens).toFixed(0) : 0, "%"),
    number("step", ((step.seconds ?? 0) * 1000).toFixed(2), " ms"), number("rows of it", step.rows ?? 0),
    number("reads", ((step.bytes_per_second ?? 0) / 1e9).toFixed(1), " GB/s"),
    number("preempted", totals.preemptions ?? 0));
}

function showSequences(state) {
  find("sequences").replaceChildren(...state.sequences.map(sequence => {
    const row = document.createElement("tr"), colour = document.createElement("i");
    colour.style.background = sequence.slot >= 0 ? colourOf(sequence.slot) : "transparent";
    row.insertCell().append(colour);
    for (const name of ["request", "sample", "state", "prompt", "known", "computed"])
      row.insertCell().textContent = sequence[name] ?? "";
    row.insertCell().textContent = (sequence.seconds ?? 0).toFixed(1);
    return row;
  }));
}

// Neighbouring slots get colours far apart: the golden angle.
export const colourOf = slot => `hsl(${(210 + slot * 137.508) % 360} 60% 55%)`;

function showBlocks(state) {
  const { blocks } = state, box = find("blocks");
  find("blocks-text").textContent = blocks.groups.map(group =>
    `${group.kind}: ${group.held} held, ${group.shared} shared, ${group.cached} kept, ${group.free} free of ${group.count}, ` +
    `${(group.wasted_percent ?? 0).toFixed(1)}% wasted`).join("; ");
  while (box.children.length < blocks.groups.length)
    box.append(document.createElement("canvas"));
  blocks.groups.forEach((group, i) => drawBlocks(box.children[i], group, colourOf));
}

function remember(state) {
  if (last && state.uptime_seconds > last.uptime_seconds) {
    const seconds = state.uptime_seconds - last.uptime_seconds;
    history.push({
      seconds: state.uptime_seconds,
      generated: (state.totals.generation_tokens - last.totals.generation_tokens) / seconds,
      prompt: (state.totals.prompt_tokens_computed - last.totals.prompt_tokens_computed) / seconds,
    });
  }
  while (history.length > KEPT)
    history.shift();
  last = state;
}

function showCharts(state) {
  drawLines(find("chart-rate"), [
    { name: "generated", points: history.map(point => [point.seconds, point.generated]) },
    { name: "read of prompts", points: history.map(point => [point.seconds, point.prompt]) },
  ]);
  drawLines(find("chart-ttft"), [
    { name: "first token", points: state.ttft.map(([at, seconds]) => [at, 1000 * seconds]), dots: true },
  ]);
}

function showVerdicts(state) {
  find("verdicts").replaceChildren(...state.verdicts.map(verdict => {
    const line = document.createElement("div");
    line.textContent = `${verdict.sentence}.`;
    return line;
  }));
}

// The server draws them, as `ridge bench --profile` does.
async function showPictures(seconds) {
  if (seconds - pictured < PICTURE_SECONDS && seconds >= pictured)
    return;
  pictured = seconds;
  for (const [id, path] of [["picture-roof", "ridge/roofline.svg"], ["picture-batches", "ridge/batches.svg"]]) {
    const picture = new DOMParser().parseFromString(await getText(path), "image/svg+xml").documentElement;
    find(id).replaceChildren(document.adoptNode(picture));
  }
  find("picture-letters").textContent = [...find("picture-roof").querySelectorAll("circle.measured")].map(point =>
    `${point.nextElementSibling.textContent} ${point.textContent.split(":")[0]}`).join("; ");
}

async function look() {
  try {
    const state = await getJson("ridge/state");
    find("pulse").textContent = `${state.requests.running} running, ${state.requests.queued + state.requests.waiting} waiting`;
    find("pulse").classList.remove("error");
    remember(state);
    showNumbers(state);
    showSequences(state);
    showBlocks(state);
    showCharts(state);
    showVerdicts(state);
    await showPictures(state.uptime_seconds);
  } catch (error) {
    find("pulse").textContent = error.message;
    find("pulse").classList.add("error");
  }
}

export function startLive() {
  document.addEventListener("view", event => {
    clearInterval(timer);
    if (event.detail !== "live")
      return;
    look();
    timer = setInterval(() => { if (!document.hidden) look(); }, 1000 * SECONDS);
  });
}
