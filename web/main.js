// main.js -- what both views share: the header, the tabs, the colours.
import { getJson } from "./api.js";
import { startChat } from "./chat.js";
import { startLive } from "./live.js";

const views = ["chat", "live"];

function show(view) {
  for (const name of views) {
    document.getElementById(`view-${name}`).hidden = name !== view;
    document.getElementById(`tab-${name}`).setAttribute("aria-selected", name === view);
  }
  history.replaceState(null, "", `#${view}`);
  document.dispatchEvent(new CustomEvent("view", { detail: view }));
}

for (const name of views)
  document.getElementById(`tab-${name}`).addEventListener("click", () => show(name));

const themes = ["", "light", "dark"];
function wear(theme) {
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
  document.dispatchEvent(new CustomEvent("theme"));
}
wear(localStorage.getItem("theme") ?? "");
document.getElementById("theme").addEventListener("click", () =>
  wear(themes[(themes.indexOf(document.documentElement.dataset.theme) + 1) % themes.length]));

getJson("v1/models").then(
  models => { document.getElementById("model").textContent = models.data[0]?.id ?? ""; },
  error => { document.getElementById("model").textContent = error.message; });

startChat();
startLive();
show(location.hash === "#live" ? "live" : "chat");
