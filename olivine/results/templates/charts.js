// Gives plotly's charts the page's colours, and its legends their effect.
const darkPaper = matchMedia("(prefers-color-scheme: dark)");

function pageTemplate() {
  const style = getComputedStyle(document.documentElement);
  const [ink, muted, line, paper, soft] = ["ink", "muted", "line", "paper", "soft"].map(
    (name) => style.getPropertyValue(`--${name}`).trim(),
  );
  const axis = { gridcolor: line, zerolinecolor: muted, linecolor: muted, tickcolor: muted };
  const text = { color: ink };
  return {
    layout: {
      font: text,
      paper_bgcolor: paper,
      plot_bgcolor: paper,
      xaxis: axis,
      yaxis: axis,
      hoverlabel: { bgcolor: soft, bordercolor: muted, font: text },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: muted, activecolor: ink },
    },
    data: {
      bar: [{ error_x: { color: ink } }],
      parcoords: [{
        labelfont: text,
        tickfont: text,
        rangefont: { color: muted },
        unselected: { line: { color: line, opacity: 0.4 } },
      }],
    },
  };
}

function paintCharts() {
  for (const chart of document.querySelectorAll(".js-plotly-plot")) {
    Plotly.relayout(chart, { template: pageTemplate() });
    Plotly.Plots.resize(chart); // it was drawn before the page around it was there
  }
}

function showLines(name, isShown) {
  for (const chart of document.querySelectorAll(".js-plotly-plot")) {
    const lines = [...chart.data.keys()].filter((i) => chart.data[i].legendgroup === name);
    if (lines.length) Plotly.restyle(chart, { visible: isShown }, lines);
  }
  for (const button of document.querySelectorAll(".legend button")) {
    if (button.dataset.name === name) button.setAttribute("aria-pressed", isShown);
  }
}

for (const button of document.querySelectorAll(".legend button")) {
  button.addEventListener("click", () => {
    showLines(button.dataset.name, button.getAttribute("aria-pressed") !== "true");
  });
}
darkPaper.addEventListener("change", paintCharts);
paintCharts();
