/* Shows what is being written while it is written. A form names the address that makes the preview in data-preview and
   the part it goes into in data-preview-into. Without this script the form's own Preview button does the same. */
"use strict";
(() => {
  const PAUSE = 350;

  const keep = (form) => {
    const part = document.getElementById(form.dataset.previewInto);
    const line = document.getElementById(`${form.dataset.previewInto}-status`);
    let timer = 0;
    let asked = 0;

    const look = async () => {
      asked += 1;
      const mine = asked;
      try {
        const answer = await fetch(form.dataset.preview, {
          method: "POST",
          body: new FormData(form),
          credentials: "same-origin",
          headers: { "X-Requested-With": "fetch" },
          redirect: "manual",
        });
        if (!answer.ok) {
          throw new Error(String(answer.status));
        }
        const html = await answer.text();
        if (mine === asked) {
          part.innerHTML = html;
          line.textContent = [...part.querySelectorAll(".finding")].map((each) => each.textContent.trim()).join(" ");
        }
      } catch {
        line.textContent = "The preview is not up to date: the server did not answer. Press Preview.";
      }
    };

    form.addEventListener("input", () => {
      window.clearTimeout(timer);
      timer = window.setTimeout(look, PAUSE);
    });
  };

  document.querySelectorAll("form[data-preview]").forEach(keep);
})();
