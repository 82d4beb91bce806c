// draw.js -- pictures on a canvas, in the colours of the sheet: blocks, lines over time.

const colour = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);
const FONT = "11px system-ui, sans-serif", LEFT = 44, BOTTOM = 20, TOP = 8, RIGHT = 10;

function begin(canvas) {
  const scale = devicePixelRatio, width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const c = canvas.getContext("2d");
  c.scale(scale, scale);
  c.font = FONT;
  return { c, width, height };
}

// A square a block: group.map has for each the slot of a holder, -1 for kept, -2 for free; group.references how many hold it.
export function drawBlocks(canvas, group, colourOf) {
  const count = group.map.length, across = Math.min(count, 128), size = 8;
  canvas.width = across * size;
  canvas.height = Math.ceil(count / across) * size;
  const c = canvas.getContext("2d"), cached = colour("cached"), free = colour("free"), shared = colour("warm");
  for (let i = 0; i < count; i++) {
    const x = (i % across) * size, y = Math.floor(i / across) * size, holder = group.map[i];
    c.fillStyle = holder >= 0 ? colourOf(holder) : holder === -1 ? cached : free;
    c.fillRect(x, y, size - 1, size - 1);
    if (group.references[i] > 1) {
      c.fillStyle = shared;
      c.beginPath();
      c.moveTo(x + size - 1, y);
      c.lineTo(x + size - 1, y + size - 1);
      c.lineTo(x, y + size - 1);
      c.fill();
    }
  }
}

// 1, 2 or 5 times a power of ten, not below n / 4: four lines or fewer.
function stepOf(n) {
  const power = 10 ** Math.floor(Math.log10(n / 4));
  return [1, 2, 5, 10].map(times => times * power).find(step => step >= n / 4);
}

export function drawLines(canvas, series) {
  const { c, width, height } = begin(canvas), all = series.flatMap(line => line.points);
  if (all.length === 0)
    return;
  const from = Math.min(...all.map(point => point[0])), to = Math.max(...all.map(point => point[0]), from + 10);
  const most = Math.max(...all.map(point => point[1]), 1) * 1.1, step = stepOf(most);
  const x = at => LEFT + (at - from) / (to - from) * (width - LEFT - RIGHT);
  const y = value => height - BOTTOM - value / most * (height - BOTTOM - TOP);
  c.fillStyle = colour("quiet");
  c.strokeStyle = colour("line");
  for (let value = 0; value <= most; value += step) {
    c.fillText(value.toLocaleString("en"), 2, y(value) + 4);
    line(c, [[LEFT, y(value)], [width - RIGHT, y(value)]]);
  }
  c.fillText(`${from.toFixed(0)} s`, LEFT, height - 4);
  c.fillText(`${to.toFixed(0)} s`, width - RIGHT - c.measureText(`${to.toFixed(0)} s`).width, height - 4);
  series.forEach(({ name, points, dots }, i) => {
    c.strokeStyle = c.fillStyle = colour(i ? "warm" : "strong");
    c.lineWidth = 1.5;
    if (!dots)
      line(c, points.map(point => [x(point[0]), y(point[1])]));
    for (const point of dots ? points : [])
      dot(c, x(point[0]), y(point[1]), 2.5);
    c.fillText(name, LEFT + 8 + i * 110, TOP + 8);
  });
}

function line(c, points) {
  c.beginPath();
  points.forEach(([x, y], i) => i ? c.lineTo(x, y) : c.moveTo(x, y));
  c.stroke();
}

function dot(c, x, y, radius) {
  c.beginPath();
  c.arc(x, y, radius, 0, 2 * Math.PI);
  c.fill();
}
