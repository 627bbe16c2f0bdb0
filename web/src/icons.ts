// Line icons, drawn for this page; 24 units square, in the colour of the text around them.

import { svg, type SVGTemplateResult, html, type TemplateResult } from "lit";

const icon = (shape: SVGTemplateResult): TemplateResult =>
  html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">${shape}</svg>`;

export const play = icon(svg`<path class="solid" d="M7 4.6v14.8L19.5 12z"/>`);
export const pause = icon(svg`<path class="solid" d="M6.5 5h3.8v14H6.5zM13.7 5h3.8v14h-3.8z"/>`);
export const sound = icon(
  svg`<path class="solid" d="M4 9.5v5h3.5L12 18.5v-13L7.5 9.5z"/><path d="M15 9a4.2 4.2 0 0 1 0 6M17.5 6.5a7.8 7.8 0 0 1 0 11"/>`,
);
export const muted = icon(svg`<path class="solid" d="M4 9.5v5h3.5L12 18.5v-13L7.5 9.5z"/><path d="m15.5 9.5 5 5m0-5-5 5"/>`);
export const gear = icon(svg`<path d="M4 7h9m4 0h3M4 17h3m4 0h9"/><circle cx="15" cy="7" r="2"/><circle cx="9" cy="17" r="2"/>`);
export const expand = icon(svg`<path d="M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5"/>`);
export const shrink = icon(svg`<path d="M9 4v5H4M20 9h-5V4M15 20v-5h5M4 15h5v5"/>`);
export const inset = icon(svg`<rect x="3" y="5" width="18" height="14" rx="2"/><rect class="solid" x="12" y="11.5" width="6.5" height="5" rx="1"/>`);
export const check = icon(svg`<path d="m5 12.5 4.5 4.5L19 7.5"/>`);
export const signal = icon(
  svg`<circle class="solid" cx="12" cy="12" r="2"/><path d="M8 16a5.7 5.7 0 0 1 0-8m8 0a5.7 5.7 0 0 1 0 8M5 19a9.9 9.9 0 0 1 0-14m14 0a9.9 9.9 0 0 1 0 14"/>`,
);
export const logo = html`<svg class="logo" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
  <rect width="32" height="32" rx="8" />
  <path
    transform="translate(0 -2.3)"
    d="M6 11c3.3 0 3.3 2.6 6.7 2.6S16 11 19.3 11s3.3 2.6 6.7 2.6M6 17c3.3 0 3.3 2.6 6.7 2.6S16 17 19.3 17s3.3 2.6 6.7 2.6M6 23c3.3 0 3.3 2.6 6.7 2.6S16 23 19.3 23s3.3 2.6 6.7 2.6"
  />
</svg>`;
