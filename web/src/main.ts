// Which page it is follows from the address; each is loaded only where it is shown.

import "./style.css";

const [, place = "", name = ""] = location.pathname.split("/");

async function show(): Promise<void> {
  if (place === "watch") {
    document.title = `${name} – Sluice`;
    await import("./watch");
    const page = document.createElement("sluice-watch");
    page.setAttribute("name", name);
    document.body.append(page);
  } else if (place === "embed") {
    document.title = name;
    document.documentElement.classList.add("embed");
    await import("./player");
    const player = document.createElement("sluice-player");
    player.setAttribute("name", name);
    document.body.append(player);
  } else {
    document.title = "Sluice – live streams";
    await import("./home");
    document.body.append(document.createElement("sluice-home"));
  }
}

show().catch((error: unknown) => {
  // The server may be newer than this page and no longer have its files.
  console.error(error);
  const words = document.createElement("p");
  words.className = "warning";
  words.textContent = "This page could not be loaded whole. Please reload it.";
  document.body.replaceChildren(words);
});
