"use strict";
// Figures carry the light palette; on dark every colour is swapped for its partner before drawing.
const read = (id) => document.getElementById(id).textContent;
const figures = JSON.parse(read("figures"));
const partner = JSON.parse(read("swaps"));
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const config = { displayModeBar: false, responsive: true };

function draw(onDark) {
  for (const figure of figures) {
    let text = JSON.stringify({ data: figure.data, layout: figure.layout });
    if (onDark) text = text.replace(/#[0-9a-f]{6}|rgba\(\d+,\d+,\d+,/g, (found) => partner[found] ?? found);
    const { data, layout } = JSON.parse(text);
    Plotly.react(figure.id, data, layout, config);
  }
}

draw(dark.matches);
dark.addEventListener("change", () => draw(dark.matches));
window.addEventListener("beforeprint", () => draw(false));
window.addEventListener("afterprint", () => draw(dark.matches));
