// What moves in a report: charts are drawn when they come near the screen, tables sort, small multiples reorder. The page
// reads as a whole without it. Text of the tables enters the page as text only (the charts draw it into SVG or a canvas).
const { specs, charts } = JSON.parse(document.getElementById("charts").textContent);
const MOST_CELLS_AS_SVG = 900; // larger heatmaps are drawn on a canvas
const CANVAS_SPECS = ["components", "codes"]; // thousands of points
const LEVEL_HEIGHT = 16; // of the bars of one level, as in charts.cpp
const drawn = new Map(); // element -> the view drawn into it
document.documentElement.classList.add("scripts");

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// In SVG the page's colours are named, so that dark, light and print follow by themselves; a canvas and the scales that mix
// colours need values.
function theme(renderer) {
  const named = (name) => (renderer === "svg" ? `var(${name})` : colour(name));
  const font = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif";
  const scale = ["--negative", "--zero", "--positive"].map(colour);
  return {
    background: null,
    font,
    padding: 2,
    view: { stroke: null },
    range: { category: [named("--real"), named("--synthetic")], diverging: scale, heatmap: scale.slice(1) },
    axis: {
      labelColor: named("--quiet"), titleColor: named("--quiet"), titleFontWeight: "normal", labelFontSize: 11, titleFontSize: 11,
      domainColor: named("--line"), tickColor: named("--line"), gridColor: named("--line"), grid: false,
    },
    legend: { labelColor: named("--quiet"), labelFontSize: 11 },
    text: { fill: named("--ink"), fontSize: 11 },
    rule: { color: named("--quiet") },
  };
}

async function draw(element) {
  const chart = charts[element.dataset.chart];
  if (!chart || element.dataset.state === "drawing") return;
  element.dataset.state = "drawing";
  const renderer = CANVAS_SPECS.includes(chart.spec) || (chart.cells ?? 0) > MOST_CELLS_AS_SVG ? "canvas" : "svg";
  drawn.get(element)?.finalize();
  const spec = { ...specs[chart.spec], ...chart.with, config: theme(renderer) };
  drawn.set(element, await vegaEmbed(element, spec, { mode: "vega-lite", renderer, actions: false }));
  element.dataset.state = "drawn";
}

const observer = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    observer.unobserve(entry.target);
    draw(entry.target);
  }
}, { rootMargin: "600px" });
const elements = [...document.querySelectorAll(".chart")];
for (const element of elements) observer.observe(element);

// The rest is drawn while the page is idle, so that printing and searching find everything.
const idle = window.requestIdleCallback ?? ((work) => setTimeout(work, 30));
async function draw_rest() {
  const next = elements.find((element) => !element.dataset.state && charts[element.dataset.chart]);
  if (!next) return;
  observer.unobserve(next);
  await draw(next);
  idle(draw_rest);
}
idle(draw_rest);

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const element of drawn.keys()) draw(element);
});

addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});

// Small multiples
const multiples = document.querySelector(".multiples");
const compare_names = new Intl.Collator(undefined, { numeric: true }).compare;
const score_of = (figure) => Number.parseFloat(figure.dataset.score);
const orders = {
  score: (a, b) => (score_of(a) || 2) - (score_of(b) || 2) || a.dataset.position - b.dataset.position,
  name: (a, b) => compare_names(a.dataset.name, b.dataset.name),
  position: (a, b) => a.dataset.position - b.dataset.position,
};
for (const button of document.querySelectorAll("[data-order]")) {
  button.addEventListener("click", () => {
    for (const other of button.parentElement.children) other.setAttribute("aria-pressed", other === button);
    multiples.append(...[...multiples.children].sort(orders[button.dataset.order]));
  });
}
document.getElementById("find")?.addEventListener("input", (event) => {
  const wanted = event.target.value.trim().toLowerCase();
  for (const figure of multiples.children) figure.hidden = !figure.dataset.name.toLowerCase().includes(wanted);
});
for (const button of document.querySelectorAll(".more")) {
  const text = button.textContent;
  button.addEventListener("click", () => {
    const view = drawn.get(button.previousElementSibling)?.view;
    if (!view) return;
    const expand = button.getAttribute("aria-expanded") === "false";
    const { levels, with: { params, height } } = charts[button.previousElementSibling.dataset.chart];
    view.signal("most", expand ? levels : params[0].value).height(expand ? levels * LEVEL_HEIGHT : height).runAsync();
    button.setAttribute("aria-expanded", expand);
    button.textContent = expand ? "fewer levels" : text;
  });
}

// Sortable tables: numbers by value, undefined ones last, anything else by its text.
const number_of = (cell) => Number.parseFloat(cell.textContent.replaceAll(",", ""));
function sort_table(table, column, descending) {
  const numeric = table.tHead.rows[0].cells[column].classList.contains("number");
  const sign = descending ? -1 : 1;
  const compare = (a, b) => {
    const [first, second] = [a.cells[column], b.cells[column]];
    if (!numeric) return sign * compare_names(first.textContent, second.textContent);
    const [x, y] = [number_of(first), number_of(second)];
    return Number.isNaN(x) || Number.isNaN(y) ? Number.isNaN(x) - Number.isNaN(y) : sign * (x - y);
  };
  table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
}
for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((heading, column, headings) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const descending = heading.ariaSort === "ascending";
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
      sort_table(table, column, descending);
    });
  });
}
