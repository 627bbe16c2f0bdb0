import { html, type TemplateResult } from "lit";
import { logo } from "./icons";

/** The top of every page but the embedded one. */
export function header(): TemplateResult {
  return html`<header class="site">
    <a href="/" aria-label="Sluice: all live streams">${logo}<span>Sluice</span></a>
  </header>`;
}
