/* Keeps parts of a page up to date by fetching their HTML again. A part names its address in data-live and its pace
   in data-live-seconds. It waits while the tab is hidden, while somebody types or has marked text inside it, and
   backs off while the server does not answer. Changes are announced through the part's own role="status" line. */
"use strict";
(() => {
  const SLOWEST = 60;
  /* Masked anew in each answer: no change to show. */
  const TOKEN = /name="csrfmiddlewaretoken" value="[^"]*"/g;

  const isBusy = (part) => {
    const focused = document.activeElement;
    if (focused && part.contains(focused) && focused.matches("input, textarea, select")) {
      return true;
    }
    if ([...part.querySelectorAll("input, textarea")].some((each) => each.value !== each.defaultValue)) {
      return true;
    }
    const marked = document.getSelection();
    return Boolean(marked && !marked.isCollapsed && part.contains(marked.anchorNode));
  };

  const openDetails = (part) => [...part.querySelectorAll("details[open][id]")].map((each) => each.id);

  const scrolled = (part) => [...part.querySelectorAll(".scroll[id]")].map((each) => [each.id, each.scrollTop]);

  const show = (part, html) => {
    const focused = part.contains(document.activeElement) ? document.activeElement.id : "";
    const left = part.scrollLeft;
    const opened = openDetails(part);
    const places = scrolled(part);
    part.innerHTML = html;
    opened.forEach((id) => document.getElementById(id)?.setAttribute("open", ""));
    part.scrollLeft = left;
    places.forEach(([id, top]) => document.getElementById(id)?.scrollTo(0, top));
    if (focused) {
      document.getElementById(focused)?.focus({ preventScroll: true });
    }
  };

  const announce = (part) => {
    const said = part.querySelector("[data-live-summary]")?.textContent.trim() ?? "";
    const line = document.getElementById(part.dataset.liveStatus);
    if (line && said && line.textContent !== said) {
      line.textContent = said;
    }
  };

  const keep = (part) => {
    const pace = Number(part.dataset.liveSeconds) || 5;
    const notice = document.getElementById("live-notice");
    let wait = pace;
    let before = null;

    const again = () => window.setTimeout(step, wait * 1000);

    const step = async () => {
      if (document.hidden || isBusy(part)) {
        again();
        return;
      }
      try {
        const answer = await fetch(part.dataset.live, {
          credentials: "same-origin",
          headers: { "X-Requested-With": "fetch" },
          redirect: "manual",
        });
        if (answer.type === "opaqueredirect" || answer.status === 404 || answer.status === 403) {
          notice.textContent = "This page is no longer up to date: you are signed out, or it is gone. Reload it.";
          notice.hidden = false;
          return;
        }
        if (!answer.ok) {
          throw new Error(String(answer.status));
        }
        const html = await answer.text();
        const now = html.replace(TOKEN, "");
        if (before !== now && !isBusy(part)) {
          show(part, html);
          announce(part);
          before = now;
        }
        wait = pace;
        notice.hidden = true;
      } catch {
        wait = Math.min(wait * 2, SLOWEST);
        notice.textContent = "No answer from the server. What you see may be out of date; it tries again by itself.";
        notice.hidden = false;
      }
      again();
    };

    again();
  };

  document.querySelectorAll("[data-live]").forEach(keep);
})();
