/* Counts down to the moment in data-until, by the second below an hour. Without this script the page says how long it
   was when it was opened. It says nothing aloud: a screen reader would hear every second. */
"use strict";
(() => {
  const MINUTE = 60;
  const HOUR = 3600;

  const said = (seconds) => {
    if (seconds <= 0) {
      return "over";
    }
    const rest = String(seconds % MINUTE).padStart(2, "0");
    if (seconds < HOUR) {
      return `${Math.floor(seconds / MINUTE)}:${rest} min`;
    }
    return `${Math.floor(seconds / HOUR)} h ${Math.floor((seconds % HOUR) / MINUTE)} min`;
  };

  const show = (part) => {
    const seconds = Math.round((Date.parse(part.dataset.until) - Date.now()) / 1000);
    part.textContent = said(seconds);
    part.closest(".timer").classList.toggle("over", seconds <= 0);
  };

  const parts = [...document.querySelectorAll("[data-until]")];
  if (parts.length) {
    parts.forEach(show);
    window.setInterval(() => parts.forEach(show), 1000);
  }
})();
